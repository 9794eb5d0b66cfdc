"""Completions that are not a single unit's: joined ones, and ones that just take time."""

from amaranth.hdl import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.npu.instruction import operand_layout
from hw.program.instruction_set import Queue

__all__ = ["AllReduce", "Join"]


class Join(wiring.Component):
    """Joins the completions of what several lanes do together.

    The n-th pulse of :attr:`o` comes in the cycle after the last of every lane's n-th pulse.

    Parameters
    ----------
    lanes : int
        Lanes.
    depth : int
        Pulses that a lane may be ahead of :attr:`o`.

    Members
    -------
    i : ``In(lanes)``
        Pulses of each lane.
    o : ``Out(1)``
        Pulse: every lane has had one.
    """

    def __init__(self, lanes: int, depth: int):
        self._lanes = lanes
        self._depth = depth
        super().__init__({"i": In(lanes), "o": Out(1)})

    def elaborate(self, platform):
        m = Module()
        complete = Signal(self._lanes)
        for lane in range(self._lanes):
            count = Signal(range(self._depth + 1), name=f"count_{lane}")
            m.d.sync += count.eq(count + self.i[lane] - self.o)
            m.d.comb += complete[lane].eq(count != 0)
        m.d.comb += self.o.eq(complete.all())
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
