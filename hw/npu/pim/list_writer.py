"""LIST: entries of an instruction go into the channel's row list."""

from amaranth.hdl import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import TileConfig
from hw.npu.instruction import operand_layout
from hw.npu.memories.row_list import list_layout
from hw.program.instruction_set import LIST_ENTRIES, Queue, bit_layout

__all__ = ["ListWriter"]

#: Bits of an entry.
_ENTRY = bit_layout(Queue.PIM)[0]["entry_0"][1]


class ListWriter(wiring.Component):
    """Writes the entries of a LIST, one a cycle.

    The first one is written in the cycle after the instruction was taken; the next instruction is
    taken at the earliest in the cycle after the last one. Entries shift through a register, so that
    the one that is written is always the lowest.

    Members
    -------
    i : ``In(stream.Signature(operand_layout(Queue.PIM)))``
        LIST instructions.
    write : ``Out(list_layout(config))``
        To the row list.
    done : ``Out(1)``
        Pulse in the cycle after the last entry was written.
    bad_address : ``Out(1)``
        The entry is outside of the row list; it is not written.
    """

    def __init__(self, config: TileConfig):
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(operand_layout(Queue.PIM))),
                "write": Out(list_layout(config)),
                "done": Out(1),
                "bad_address": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config

        active = Signal()
        index = Signal(17)  # a carry out of the field's width is kept, to be refused
        left = Signal(range(LIST_ENTRIES))  # entries after this one
        entries = Signal(data.ArrayLayout(_ENTRY, LIST_ENTRIES))
        written = self.write.enable
        m.d.comb += [
            self.i.ready.eq(~active),
            self.bad_address.eq(active & (index >= config.npu.row_list_entries)),
            self.write.enable.eq(active & ~self.bad_address),
            self.write.index.eq(index),
            self.write.row.eq(Mux(entries[0] < config.memory.rows, entries[0], config.memory.rows)),
        ]
        with m.If(self.i.valid & self.i.ready):
            operands = self.i.payload
            listed = (operands[f"entry_{number}"] for number in range(LIST_ENTRIES))
            m.d.sync += [
                active.eq(1),
                index.eq(operands.list),
                left.eq(operands.entries - 1),
                entries.eq(Cat(listed)),
            ]
        with m.If(written):
            m.d.sync += [
                active.eq(left != 0),
                index.eq(index + 1),
                left.eq(left - 1),
                entries.eq(entries.as_value()[_ENTRY:]),
            ]
        m.d.sync += self.done.eq(written & (left == 0))

        return m
