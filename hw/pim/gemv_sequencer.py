"""Sequencer of the MAC units: turns a PIM command into column products and results."""

from amaranth.hdl import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.adder import Adder
from hw.arith.dot import Dot
from hw.config import Config
from hw.memory.commands import Command, bus_layout
from hw.memory.delay_line import delayed
from hw.pim.mac_unit import mac_control
from hw.pim.results import (
    result_backlog,
    result_cycles,
    result_latency,
    result_schedule,
)

__all__ = ["GemvSequencer", "result_cycles", "result_latency", "result_schedule"]


class GemvSequencer(wiring.Component):
    """Steers every MAC unit of a channel.

    Takes PIM_GEMV, PIM_DOTPRODUCT (a PIM_GEMV of one column, without a result) and PIM_RDRESULT
    (the result of a slot, without a column) from the C/A bus. A command may come when all columns
    of the one before have been issued: ``slots * k * nCCDL`` cycles after a PIM_GEMV, nCCDL cycles
    after the others; what comes earlier replaces the rest of it. That results do not meet other
    data on the bus is the controller's care (:func:`result_schedule`), too.

    The column of a command's cycle c is read from the PIM row buffers and from the global vector
    buffer in c + 1. The sequencer counts the columns of each slot since it was cleared: that says
    which partial sum comes next, and which of them hold anything. A read clears the slot.

    Members
    -------
    command : ``In(bus_layout(config))``
        The C/A bus.
    read : ``Out(1)``
        Read a column of the row and of the vector.
    column : ``Out(column)``
        Column of the row.
    half, offset : ``Out(1)``, ``Out(offset)``
        Column of the vector.
    mac : ``Out(mac_control(config))``
        Steering of the MAC units.
    drive : ``Out(1)``
        Results may be driven: in the cycle after this one they are on the data bus.
    position : ``Out(range(...))``
        Which cycle of a slot's result it is, from 0 on; the turn-arounds count.
    """

    def __init__(self, config: Config):
        self._config = config
        bus = bus_layout(config)
        # Cycles from one result to the next on a busy bus.
        self._result_interval = result_cycles(config)
        if config.ranks > 1:
            self._result_interval += config.timing.nTURN
        super().__init__(
            {
                "command": In(bus),
                "read": Out(1),
                "column": Out(bus["column"].shape),
                "half": Out(1),
                "offset": Out(bus["offset"].shape),
                "mac": Out(mac_control(config)),
                "drive": Out(1),
                "position": Out(range(self._result_interval)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, command = self._config, self.command
        partial_sums = config.partial_sums

        # Which column, and of which slot: one operation each nCCDL cycles.
        operation = Signal()
        last = Signal()  # the slot's last column
        slot = Signal.like(command.slot)
        wait = Signal(range(config.timing.nCCDL))
        columns_left = Signal.like(command.k)  # in this slot, after this one
        slots_left = Signal.like(command.slots)
        start_column, start_offset = Signal.like(command.column), Signal.like(command.offset)
        column_step, offset_step = Signal.like(command.column), Signal.like(command.offset)
        k_less_1 = Signal.like(command.k)
        multiplies = Signal()  # not PIM_RDRESULT
        reads = Signal()  # not PIM_DOTPRODUCT, nor a PIM_GEMV without read

        gemv = Signal()
        starts = Signal()
        first_k_less_1 = Signal.like(command.k)
        m.d.comb += [
            gemv.eq(command.command == Command.PIM_GEMV),
            starts.eq(
                gemv
                | (command.command == Command.PIM_DOTPRODUCT)
                | (command.command == Command.PIM_RDRESULT)
            ),
            first_k_less_1.eq(Mux(gemv, command.k - 1, 0)),
            last.eq(columns_left == 0),
            self.read.eq(operation & multiplies),
        ]
        m.d.sync += operation.eq(0)
        with m.If(starts):
            m.d.sync += [
                operation.eq(1),
                multiplies.eq(command.command != Command.PIM_RDRESULT),
                reads.eq((gemv & command.read) | (command.command == Command.PIM_RDRESULT)),
                slot.eq(command.slot),
                self.half.eq(command.half),
                self.column.eq(command.column),
                self.offset.eq(command.offset),
                start_column.eq(command.column),
                start_offset.eq(command.offset),
                column_step.eq(command.column_step),
                offset_step.eq(command.offset_step),
                k_less_1.eq(first_k_less_1),
                columns_left.eq(first_k_less_1),
                slots_left.eq(Mux(gemv, command.slots - 1, 0)),
                wait.eq(config.timing.nCCDL - 1),
            ]
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.Elif(~last):
            m.d.sync += [
                operation.eq(1),
                self.column.eq(self.column + 1),
                self.offset.eq(self.offset + 1),
                columns_left.eq(columns_left - 1),
                wait.eq(config.timing.nCCDL - 1),
            ]
        with m.Elif(slots_left != 0):
            m.d.sync += [
                operation.eq(1),
                slot.eq(slot + 1),
                self.column.eq(start_column + column_step),
                self.offset.eq(start_offset + offset_step),
                start_column.eq(start_column + column_step),
                start_offset.eq(start_offset + offset_step),
                columns_left.eq(k_less_1),
                slots_left.eq(slots_left - 1),
                wait.eq(config.timing.nCCDL - 1),
            ]

        # Columns of each slot since it was cleared: modulo the partial sums, and whether more.
        counts = Array(
            Signal(range(2 * partial_sums), name=f"count_{n}") for n in range(config.slots)
        )
        stages = data.StructLayout(
            {
                "add": 1,
                "slot": range(config.slots),
                "partial": range(partial_sums),
                "first": 1,
                "fold": 1,
                "valid": partial_sums,
            }
        )
        stage = Signal(stages)
        count = Signal(range(2 * partial_sums))
        count_next = Signal.like(count)
        m.d.comb += count.eq(counts[slot])
        with m.If(multiplies & (count == 2 * partial_sums - 1)):
            m.d.comb += count_next.eq(partial_sums)
        with m.Else():
            m.d.comb += count_next.eq(count + multiplies)
        m.d.comb += [
            stage.add.eq(operation & multiplies),
            stage.slot.eq(slot),
            stage.partial.eq(count),
            stage.first.eq(count < partial_sums),
            stage.fold.eq(operation & reads & last),
            stage.valid.eq(Cat(count_next > partial for partial in range(partial_sums))),
        ]
        with m.If(operation):
            m.d.sync += counts[slot].eq(Mux(stage.fold, 0, count_next))

        # The MAC units' stages: the operands enter two cycles after the operation.
        add = delayed(m, stage, Dot.latency_of(config.mac_lanes) + 1, "add")
        write = delayed(m, add, Adder.latency + 1, "write")
        fold = delayed(m, write, 1, "fold")
        fold_latency = 1 + (partial_sums.bit_length() - 1) * Adder.latency
        keep = delayed(m, fold.fold, fold_latency, "keep")
        m.d.comb += [
            self.mac.read.eq(add.add),
            self.mac.read_slot.eq(add.slot),
            self.mac.read_partial.eq(add.partial),
            self.mac.read_first.eq(add.first),
            self.mac.write.eq(write.add),
            self.mac.write_slot.eq(write.slot),
            self.mac.write_partial.eq(write.partial),
            self.mac.fold.eq(fold.fold),
            self.mac.fold_slot.eq(fold.slot),
            self.mac.fold_valid.eq(fold.valid),
            self.mac.keep.eq(keep),
        ]

        # Results take the bus one after the other.
        places = result_backlog(config)
        waiting = Signal(range(places + 1))
        take = self.mac.take
        m.d.comb += take.eq(
            (keep | (waiting != 0)) & (~self.drive | (self.position == self._result_interval - 1))
        )
        m.d.sync += waiting.eq(waiting + keep - take)
        for strobe, place in ((keep, self.mac.keep_place), (take, self.mac.take_place)):
            with m.If(strobe):
                m.d.sync += place.eq(Mux(place == places - 1, 0, place + 1))
        with m.If(take):
            m.d.sync += [self.drive.eq(1), self.position.eq(0)]
        with m.Elif(self.position == self._result_interval - 1):
            m.d.sync += self.drive.eq(0)
        with m.Else():
            m.d.sync += self.position.eq(self.position + 1)
        return m
