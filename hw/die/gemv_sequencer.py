"""Sequencer of the MAC units: turns a PIM command into column products and results."""

from amaranth.hdl import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.adder import Adder
from hw.arith.dot import Dot
from hw.config import DieConfig
from hw.delay_line import delayed
from hw.die.column_walker import ColumnWalker
from hw.die.mac_unit import fold_latency, mac_control
from hw.die.result_driver import ResultDriver
from hw.protocol.commands import bus_layout
from hw.protocol.results import result_cycles, result_latency, result_schedule

__all__ = ["GemvSequencer", "result_cycles", "result_latency", "result_schedule"]


class GemvSequencer(wiring.Component):
    """Steers every MAC unit of a channel.

    Takes PIM_GEMV, PIM_DOTPRODUCT and PIM_RDRESULT from the C/A bus, as :class:`ColumnWalker`
    says: the next command may come ``slots * k * nCCDL`` cycles after a PIM_GEMV, nCCDL cycles
    after the others. That results do not meet other data on the bus is the controller's care
    (:func:`result_schedule`).

    The column of a command's cycle c is read from the PIM row buffers and from the global vector
    buffer in c + 1. The sequencer counts the columns of each slot since it was cleared: that says
    which partial sum comes next, and which of them hold anything. A read clears the slot, so the
    MAC units need no reset.

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
        A result is driven, and is on the data bus in the next cycle.
    position : ``Out(cycle)``
        Which cycle of a slot's result it is, from 0 on; turn-arounds count.
    """

    def __init__(self, config: DieConfig):
        self._config = config
        self._result_driver = ResultDriver(config)
        bus = bus_layout(config)
        super().__init__(
            {
                "command": In(bus),
                "read": Out(1),
                "column": Out(bus["column"].shape),
                "half": Out(1),
                "offset": Out(bus["offset"].shape),
                "mac": Out(mac_control(config)),
                "drive": Out(1),
                "position": Out(self._result_driver.position.shape()),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, mac = self._config, self.mac
        partial_sums = config.pim.partial_sums
        m.submodules.column_walker = operation = ColumnWalker(config)
        m.submodules.result_driver = results = self._result_driver
        m.d.comb += [
            operation.command.eq(self.command),
            self.read.eq(operation.valid & operation.multiply),
            self.column.eq(operation.column),
            self.half.eq(operation.half),
            self.offset.eq(operation.offset),
        ]

        # Columns of each slot since it was cleared: modulo the partial sums, and whether more.
        width = range(2 * partial_sums)
        counts = Array(Signal(width, name=f"count_{slot}") for slot in range(config.pim.slots))
        count, count_next = Signal(width), Signal(width)
        m.d.comb += count.eq(counts[operation.slot])
        with m.If(operation.multiply & (count == 2 * partial_sums - 1)):
            m.d.comb += count_next.eq(partial_sums)
        with m.Else():
            m.d.comb += count_next.eq(count + operation.multiply)
        with m.If(operation.valid):
            m.d.sync += counts[operation.slot].eq(Mux(operation.read, 0, count_next))

        # The stages of the MAC units, which the operands reach two cycles after the operation.
        stage = Signal(
            data.StructLayout(
                {
                    "add": 1,
                    "slot": range(config.pim.slots),
                    "partial": range(partial_sums),
                    "first": 1,
                    "fold": 1,
                    "valid": partial_sums,
                }
            )
        )
        m.d.comb += [
            stage.add.eq(self.read),
            stage.slot.eq(operation.slot),
            stage.partial.eq(count),
            stage.first.eq(count < partial_sums),
            stage.fold.eq(operation.valid & operation.read),
            stage.valid.eq(Cat(count_next > partial for partial in range(partial_sums))),
        ]
        add = delayed(m, stage, Dot.latency_of(config.mac_lanes) + 1, "add")
        write = delayed(m, add, Adder.latency + 1, "write")
        fold = delayed(m, write, 1, "fold")
        keep = delayed(m, fold.fold, fold_latency(config), "keep")
        m.d.comb += [
            mac.read.eq(add.add),
            mac.read_slot.eq(add.slot),
            mac.read_partial.eq(add.partial),
            mac.read_first.eq(add.first),
            mac.write.eq(write.add),
            mac.write_slot.eq(write.slot),
            mac.write_partial.eq(write.partial),
            mac.fold.eq(fold.fold),
            mac.fold_slot.eq(fold.slot),
            mac.fold_valid.eq(fold.valid),
            mac.keep.eq(keep),
        ]

        # Results.
        m.d.comb += [
            results.keep.eq(keep),
            mac.keep_place.eq(results.keep_place),
            mac.take.eq(results.take),
            mac.take_place.eq(results.take_place),
            self.drive.eq(results.drive),
            self.position.eq(results.position),
        ]
        return m
