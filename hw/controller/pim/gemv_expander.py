"""GEMVs as single commands: a PIM_DOTPRODUCT a column, a PIM_RDRESULT a result."""

from amaranth.hdl import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import ChannelConfig
from hw.controller.pim.operation import operation_layout
from hw.protocol.commands import PimOperation, bus_layout
from hw.protocol.results import result_cycles, result_latency

__all__ = ["GemvExpander"]


class GemvExpander(wiring.Component):
    """Stands behind the queue of PIM operations and takes its GEMVs apart.

    The operations that a GEMV becomes come one after the other, as they are taken; all others pass.
    No latency, no cycle in between. It is the baseline that PIM_GEMV is compared with: the banks do
    the same, but every column and every result takes a slot of the C/A bus, and a result one of
    the slots of nCCDL cycles that columns share.

    Members
    -------
    i : ``In(operation_layout(config))``, i_pop : ``Out(1)``
        The oldest operation of the queue; it leaves.
    o : ``Out(operation_layout(config))``, o_pop : ``In(1)``
        The operation to be done next; it is taken.
    """

    def __init__(self, config: ChannelConfig):
        self._config = config
        layout = operation_layout(config)
        super().__init__({"i": In(layout), "i_pop": Out(1), "o": Out(layout), "o_pop": In(1)})

    def elaborate(self, platform):
        m = Module()
        config, gemv, bus = self._config, self.i, bus_layout(self._config)
        names = ("slot", "column", "offset", "slots", "k")
        walk = data.StructLayout(
            {
                **{name: bus[name].shape for name in names},
                "slot_column": bus["column"].shape,
                "slot_offset": bus["offset"].shape,
                "result": 1,
            }
        )
        # The next operation of a GEMV; ``slots`` and ``k`` count what is left after it.
        started = Signal()
        kept, now, following = Signal(walk), Signal(walk), Signal(walk)
        m.d.comb += now.eq(kept)
        with m.If(~started):
            m.d.comb += [
                *(now[name].eq(gemv[name]) for name in ("slot", "column", "offset")),
                now.slots.eq(gemv.slots - 1),
                now.k.eq(gemv.k - 1),
                now.slot_column.eq(gemv.column),
                now.slot_offset.eq(gemv.offset),
                now.result.eq(0),
            ]
        next_column = Signal.like(now.slot_column)
        next_offset = Signal.like(now.slot_offset)
        last = Signal()
        m.d.comb += [
            next_column.eq(now.slot_column + gemv.column_step),
            next_offset.eq(now.slot_offset + gemv.offset_step),
            following.eq(now),
        ]
        with m.If(~now.result & (now.k != 0)):
            m.d.comb += [
                following.column.eq(now.column + 1),
                following.offset.eq(now.offset + 1),
                following.k.eq(now.k - 1),
            ]
        with m.Elif(~now.result & gemv.read):
            m.d.comb += following.result.eq(1)
        with m.Else():
            m.d.comb += [
                last.eq(now.slots == 0),
                following.result.eq(0),
                following.slot.eq(now.slot + 1),
                following.slots.eq(now.slots - 1),
                following.k.eq(gemv.k - 1),
                following.column.eq(next_column),
                following.offset.eq(next_offset),
                following.slot_column.eq(next_column),
                following.slot_offset.eq(next_offset),
            ]

        turn = config.memory.timing.nTURN if config.memory.ranks > 1 else 0
        m.d.comb += [self.o.eq(gemv), self.i_pop.eq(self.o_pop)]
        with m.If(gemv.operation == PimOperation.GEMV):
            m.d.comb += [
                self.o.operation.eq(
                    Mux(now.result, PimOperation.RDRESULT, PimOperation.DOTPRODUCT)
                ),
                *(self.o[name].eq(now[name]) for name in ("slot", "column", "offset")),
                self.o.slots.eq(1),
                self.o.k.eq(1),
                self.o.read.eq(now.result),
                self.o.extent.eq(0),
                self.o.step.eq(0),
                self.o.first.eq(result_latency(config)),
                self.o.end.eq(result_latency(config) + result_cycles(config) + turn),
                self.i_pop.eq(self.o_pop & last),
            ]
            with m.If(self.o_pop):
                m.d.sync += [kept.eq(following), started.eq(~last)]
        return m
