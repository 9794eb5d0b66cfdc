"""Walks the columns of a PIM command: which column of which slot, and when."""

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import DieConfig
from hw.protocol.commands import Command, bus_layout

__all__ = ["ColumnWalker"]


class ColumnWalker(wiring.Component):
    """Turns PIM_GEMV, PIM_DOTPRODUCT and PIM_RDRESULT into operations, one every nCCDL cycles.

    PIM_DOTPRODUCT is a PIM_GEMV of one column without a result; PIM_RDRESULT is the result of a
    slot without a column. The first operation comes one cycle after its command. A command that
    comes before the last operation of the one before replaces the rest of it.

    Members
    -------
    command : ``In(bus_layout(config))``
        The C/A bus.
    valid : ``Out(1)``
        There is an operation.
    multiply : ``Out(1)``
        It has a column (held between operations, as all that follows).
    read : ``Out(1)``
        It ends a slot whose result is wanted.
    slot : ``Out(slot)``
        Its slot.
    column : ``Out(column)``
        Its column of the row.
    half, offset : ``Out(1)``, ``Out(offset)``
        Its column of the vector.
    """

    def __init__(self, config: DieConfig):
        self._nCCDL = config.memory.timing.nCCDL
        bus = bus_layout(config)
        super().__init__(
            {
                "command": In(bus),
                "valid": Out(1),
                "multiply": Out(1),
                "read": Out(1),
                "slot": Out(bus["slot"].shape),
                "column": Out(bus["column"].shape),
                "half": Out(1),
                "offset": Out(bus["offset"].shape),
            }
        )

    def elaborate(self, platform):
        m = Module()
        command = self.command
        reads = Signal()  # the results of the slots are wanted
        last = Signal()  # the last column of a slot
        wait = Signal(range(self._nCCDL))
        k_less_1 = Signal.like(command.k)
        columns_left = Signal.like(command.k)  # in this slot, after this one
        slots_left = Signal.like(command.slots)  # after this one
        column_step, offset_step = Signal.like(command.column), Signal.like(command.offset)
        slot_column, slot_offset = Signal.like(command.column), Signal.like(command.offset)

        is_gemv = command.command == Command.PIM_GEMV
        is_product = command.command == Command.PIM_DOTPRODUCT
        is_result = command.command == Command.PIM_RDRESULT
        starts = Signal()
        first_k_less_1 = Signal.like(command.k)
        next_column, next_offset = Signal.like(command.column), Signal.like(command.offset)
        m.d.comb += [
            starts.eq(is_gemv | is_product | is_result),
            first_k_less_1.eq(Mux(is_gemv, command.k - 1, 0)),
            last.eq(columns_left == 0),
            self.read.eq(reads & last),
            next_column.eq(slot_column + column_step),
            next_offset.eq(slot_offset + offset_step),
        ]

        m.d.sync += self.valid.eq(0)
        with m.If(starts):
            m.d.sync += [
                self.valid.eq(1),
                self.multiply.eq(~is_result),
                self.slot.eq(command.slot),
                self.column.eq(command.column),
                self.half.eq(command.half),
                self.offset.eq(command.offset),
                reads.eq((is_gemv & command.read) | is_result),
                wait.eq(self._nCCDL - 1),
                k_less_1.eq(first_k_less_1),
                columns_left.eq(first_k_less_1),
                slots_left.eq(Mux(is_gemv, command.slots - 1, 0)),
                slot_column.eq(command.column),
                slot_offset.eq(command.offset),
                column_step.eq(command.column_step),
                offset_step.eq(command.offset_step),
            ]
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.Elif(~last):
            m.d.sync += [
                self.valid.eq(1),
                self.column.eq(self.column + 1),
                self.offset.eq(self.offset + 1),
                wait.eq(self._nCCDL - 1),
                columns_left.eq(columns_left - 1),
            ]
        with m.Elif(slots_left != 0):
            m.d.sync += [
                self.valid.eq(1),
                self.slot.eq(self.slot + 1),
                self.column.eq(next_column),
                self.offset.eq(next_offset),
                wait.eq(self._nCCDL - 1),
                columns_left.eq(k_less_1),
                slots_left.eq(slots_left - 1),
                slot_column.eq(next_column),
                slot_offset.eq(next_offset),
            ]
        return m
