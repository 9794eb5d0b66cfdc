"""Completions that are not a single unit's: joined ones, and ones that just take time."""

from amaranth.hdl import *
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.npu.instruction import operand_layout
from hw.program.instruction_set import Queue

__all__ = ["AllReduce", "Join"]


class Join(wiring.Component):
    """Joins the completions of what several lanes do together, each time those that are named.

    What was started first is joined first, though lanes that it does not name may be far ahead. A
    pulse of :attr:`o` comes in the cycle after the last of its lanes' pulses, or after that of
    :attr:`o` before it; where no lane is named, two cycles after :attr:`start` at the earliest.

    Parameters
    ----------
    lanes : int
        Lanes.
    depth : int
        What may be started and not joined; so many pulses a lane may be ahead.

    Members
    -------
    start, named : ``In(1)``, ``In(lanes)``
        Something is started in these lanes.
    i : ``In(lanes)``
        Pulses of each lane: the oldest that it takes part in is complete there.
    o : ``Out(1)``
        Pulse: the oldest is complete in every lane that it names.
    """

    def __init__(self, lanes: int, depth: int):
        self._lanes = lanes
        self._depth = depth
        super().__init__({"start": In(1), "named": In(lanes), "i": In(lanes), "o": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.started = started = fifo.SyncFIFOBuffered(width=self._lanes, depth=self._depth)
        named = started.r_data
        m.d.comb += [
            started.w_en.eq(self.start),
            started.w_data.eq(self.named),
            started.r_en.eq(self.o),
        ]
        complete = Signal(self._lanes)
        for lane in range(self._lanes):
            count = Signal(range(self._depth + 1), name=f"count_{lane}")
            m.d.sync += count.eq(count + self.i[lane] - (self.o & named[lane]))
            m.d.comb += complete[lane].eq(count != 0)
        m.d.comb += self.o.eq(started.r_rdy & (complete | ~named).all())
        return m


class AllReduce(wiring.Component):
    """The link queue's unit: ALLREDUCE is a loop-back after a latency.

    An instruction taken in cycle t is done in cycle t + ``cycles``, at the earliest t + 1; until
    then no other one is taken.

    Members
    -------
    i : ``In(stream.Signature(operand_layout(Queue.LINK)))``
        Instructions.
    done : ``Out(1)``
        Pulse: the instruction is complete.
    """

    i: In(stream.Signature(operand_layout(Queue.LINK)))
    done: Out(1)

    def elaborate(self, platform):
        m = Module()
        active = Signal()
        left = Signal(16)  # cycles after this one
        m.d.comb += [self.i.ready.eq(~active), self.done.eq(active & (left == 0))]
        with m.If(active):
            m.d.sync += [left.eq(left - 1), active.eq(left != 0)]
        with m.Elif(self.i.valid):
            cycles = self.i.payload.cycles
            m.d.sync += [active.eq(1), left.eq(Mux(cycles == 0, 0, cycles - 1))]
        return m
