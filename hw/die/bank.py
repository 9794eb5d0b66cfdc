"""A bank: DRAM cells, row buffers and MAC unit."""

from amaranth.hdl import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.arith.bf16 import BF16
from hw.arith.binary32 import Binary32
from hw.config import DieConfig
from hw.die.cell_array import CellArray, cell_fill, cell_write
from hw.die.mac_unit import MacUnit, mac_control
from hw.die.row_buffer import RowBuffer
from hw.protocol.commands import bus_layout
from hw.repeated import repeated

__all__ = ["Bank", "BankPeripheral", "bank_control"]


def bank_control(config: DieConfig) -> wiring.Signature:
    """Return the interface from the channel's decoder to a bank.

    The strobes are a bank's own, the operands are those of all banks.

    Members
    -------
    open, pim_open
        Open ``row`` in the MEM row buffer, or in the PIM row buffer.
    close, pim_close
        Close that row buffer.
    read, column
        Read a column of the MEM row buffer.
    write, write_column, write_data
        Write a column of the MEM row buffer and of the cells.
    pim_read, pim_column
        Read a column of the PIM row buffer for the MAC unit.
    vector
        The MAC unit's other operand, two cycles later.
    mac
        Steering of the MAC unit.
    """
    bus = bus_layout(config)
    column = Out(bus["column"].shape)
    return wiring.Signature(
        {
            "open": Out(1),
            "pim_open": Out(1),
            "close": Out(1),
            "pim_close": Out(1),
            "row": Out(bus["row"].shape),
            "read": Out(1),
            "column": column,
            "write": Out(1),
            "write_column": column,
            "write_data": Out(8 * config.memory.column_bytes),
            "pim_read": Out(1),
            "pim_column": column,
            "vector": Out(data.ArrayLayout(BF16, config.mac_lanes)),
            "mac": Out(mac_control(config)),
        }
    )


class BankPeripheral(wiring.Component):
    """Everything of a bank but its cells.

    With two row buffers, MEM and PIM row buffer open, fill and close independently of each other,
    and each is a copy: a write goes to the cells and the MEM row buffer and leaves a row in the PIM
    row buffer as it is. With one row buffer, both roles are played by the same.

    A column read is on ``o`` one cycle later, for one cycle, and zero otherwise or when no row is
    open; writes without an open row are dropped. The bank takes a column of each kind a cycle and
    has no backpressure. Every timing, and that a row is not open in both row buffers, is the
    controller's care.

    Parameters
    ----------
    config
        Sizes and timing.

    Members
    -------
    control : ``In(bank_control(config))``
        From the channel.
    o : ``Out(8 * column_bytes)``
        The column read.
    result : ``Out(Binary32)``
        The result of the MAC unit.
    cell_write : ``Out(cell_write(config))``
        To the cells.
    fills : ``Out(cell_fill(config)).array(row_buffers)``
        To the cells: 0 MEM, 1 PIM row buffer.
    """

    def __init__(self, config: DieConfig):
        self._config = config
        super().__init__(
            {
                "control": In(bank_control(config)),
                "o": Out(8 * config.memory.column_bytes),
                "result": Out(Binary32),
                "cell_write": Out(cell_write(config)),
                "fills": Out(cell_fill(config)).array(config.pim.row_buffers),
            }
        )

    def elaborate(self, platform):
        m = Module()
        control = self.control
        m.submodules.mem_row_buffer = mem = RowBuffer(self._config)
        m.submodules.mac_unit = mac = MacUnit(self._config)
        connect(m, mem.fill, flipped(self.fills[0]))
        connect(m, mac.control, flipped(control.mac))

        if self._config.pim.row_buffers == 2:
            m.submodules.pim_row_buffer = pim = RowBuffer(self._config)
            connect(m, pim.fill, flipped(self.fills[1]))
            m.d.comb += [
                mem.open.eq(control.open),
                mem.close.eq(control.close),
                mem.read.eq(control.read),
                mem.read_column.eq(control.column),
                pim.open.eq(control.pim_open),
                pim.row.eq(control.row),
                pim.close.eq(control.pim_close),
                pim.read.eq(control.pim_read),
                pim.read_column.eq(control.pim_column),
            ]
        else:
            pim = mem
            m.d.comb += [
                mem.open.eq(control.open | control.pim_open),
                mem.close.eq(control.close | control.pim_close),
                mem.read.eq(control.read | control.pim_read),
                mem.read_column.eq(Mux(control.pim_read, control.pim_column, control.column)),
            ]
        m.d.comb += [
            mem.row.eq(control.row),
            mem.write.eq(control.write),
            mem.write_column.eq(control.write_column),
            mem.write_data.eq(control.write_data),
            self.cell_write.enable.eq(control.write & mem.o_open),
            self.cell_write.row.eq(mem.o_row),
            self.cell_write.column.eq(control.write_column),
            self.cell_write.data.eq(control.write_data),
        ]

        # A column for the data bus.
        driving = Signal()
        m.d.sync += driving.eq(control.read & mem.o_open)
        with m.If(driving):
            m.d.comb += self.o.eq(mem.o)

        # A column for the MAC unit, in a register.
        multiplying = Signal()
        m.d.sync += multiplying.eq(control.pim_read)
        with m.If(multiplying):
            m.d.sync += mac.row.eq(pim.o)
        m.d.comb += [mac.vector.eq(control.vector), self.result.eq(mac.result)]
        return m


@repeated
class Bank(wiring.Component):
    """A bank: its cells, and what :class:`BankPeripheral` says.

    Members
    -------
    control : ``In(bank_control(config))``
        From the channel.
    o : ``Out(8 * column_bytes)``
        The column read.
    result : ``Out(Binary32)``
        The result of the MAC unit.
    """

    def __init__(self, config: DieConfig):
        self.cells = CellArray(config)
        self._peripheral = BankPeripheral(config)
        super().__init__(
            {
                "control": In(bank_control(config)),
                "o": Out(8 * config.memory.column_bytes),
                "result": Out(Binary32),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.cells = cells = self.cells
        m.submodules.peripheral = peripheral = self._peripheral
        connect(m, peripheral.cell_write, cells.write)
        for fill, cell in zip(peripheral.fills, cells.fills, strict=True):
            connect(m, fill, cell)
        connect(m, peripheral.control, flipped(self.control))
        m.d.comb += [self.o.eq(peripheral.o), self.result.eq(peripheral.result)]
        return m
