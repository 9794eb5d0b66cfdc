"""A PIM channel: the DRAM die behind one controller."""

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import DieConfig
from hw.die.bank import Bank
from hw.die.burst_decoder import BurstDecoder
from hw.die.column_path import ColumnPath, check_timing
from hw.die.gemv_sequencer import GemvSequencer
from hw.die.global_vector_buffer import GlobalVectorBuffer
from hw.die.mac_unit import check_partial_sums
from hw.die.row_decoder import RowDecoder
from hw.protocol.commands import bus_layout
from hw.repeated import repeated

__all__ = ["PimChannel"]


@repeated
class PimChannel(wiring.Component):
    """Banks, global vector buffer and the decoder of the C/A bus.

    A command of cycle t acts as follows; every other timing is the controller's care, and a command
    that comes too early does what the hardware then happens to do.

    - ACT, PIM_ACTIVATION: the row is complete nRCD later.
    - RD, RDA: two columns on ``o_data`` in cycles t + nCL and t + nCL + 1.
    - WR, WRA: two columns are taken from ``i_data`` in t + nCWL and t + nCWL + 1, into the cells
      and the MEM row buffer.
    - PIM_GWRITE_DATA: the same, into the global vector buffer. PIM_GWRITE: a burst of the MEM row
      buffer, in the same time. Both can be used by a column of cycle t + nCWL + nBL.
    - PRE, PREA, RDA, WRA, PIM_PRECHARGE: close row buffers; the A forms after their last column.
    - REF: nothing, for the cells keep their values.
    - PIM_DOTPRODUCT, PIM_RDRESULT, PIM_GEMV: see :class:`GemvSequencer`. Results are on ``o_data``
      as :func:`hw.protocol.results.result_schedule` says: rank after rank, four bytes a bank, in
      the order of the banks; what remains of a rank's last column is zero.

    RD, WR and PIM_GWRITE commands are at least two cycles apart. Reads and results that fall into
    one cycle collide: the result is driven.

    Parameters
    ----------
    config
        Sizes and timing.

    Members
    -------
    command : ``In(bus_layout(config))``
        The C/A bus, NOP if there is no command.
    i_data : ``In(8 * column_bytes)``
        The data bus into the die.
    o_data : ``Out(8 * column_bytes)``
        The data bus out of the die.
    o_valid : ``Out(1)``
        Whether the die drives the data bus.

    Raises
    ------
    ValueError
        If nCL, nCWL, nRCD, nBL or the partial sums do not fit the pipelines of the die.
    """

    def __init__(self, config: DieConfig):
        check_partial_sums(config)
        check_timing(config)
        self._config = config
        self.banks = [Bank(config) for _ in range(config.memory.banks)]
        super().__init__(
            {
                "command": In(bus_layout(config)),
                "i_data": In(8 * config.memory.column_bytes),
                "o_data": Out(8 * config.memory.column_bytes),
                "o_valid": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.row_decoder = rows = RowDecoder(config)
        m.submodules.burst_decoder = bursts = BurstDecoder(config)
        m.submodules.sequencer = sequencer = GemvSequencer(config)
        m.submodules.vector_buffer = vector_buffer = GlobalVectorBuffer(config)
        m.submodules.column_path = path = ColumnPath(config)
        for number, bank in enumerate(self.banks):
            m.submodules[f"bank_{number}"] = bank

        # Commands.
        read, write = bursts.read, bursts.write
        m.d.comb += [
            rows.command.eq(self.command),
            bursts.command.eq(self.command),
            sequencer.command.eq(self.command),
        ]

        # Data.
        m.d.comb += [
            path.i_data.eq(self.i_data),
            path.read.eq(read.valid & read.drive),
            path.drive.eq(sequencer.drive),
            path.position.eq(sequencer.position),
            path.vector_from_row.eq(bursts.vector_from_row),
            vector_buffer.write.eq(write.vector),
            vector_buffer.write_half.eq(write.half),
            vector_buffer.write_offset.eq(write.offset),
            vector_buffer.write_data.eq(path.vector_data),
            vector_buffer.read.eq(sequencer.read),
            vector_buffer.read_half.eq(sequencer.half),
            vector_buffer.read_offset.eq(sequencer.offset),
            self.o_data.eq(path.o_data),
            self.o_valid.eq(path.o_valid),
        ]

        # Banks.
        for number, bank in enumerate(self.banks):
            control = bank.control
            reads = read.valid & (read.bank == number)
            writes = write.cells & (write.bank == number)
            closes = (reads & read.second & read.close) | (writes & write.second & write.close)
            m.d.comb += [
                control.open.eq(rows.open[number]),
                control.pim_open.eq(rows.pim_open[number]),
                control.close.eq(rows.close[number] | closes),
                control.pim_close.eq(rows.pim_close),
                control.row.eq(rows.row),
                control.read.eq(reads),
                control.column.eq(read.column),
                control.write.eq(writes),
                control.write_column.eq(write.column),
                control.write_data.eq(path.write_data),
                control.pim_read.eq(sequencer.read),
                control.pim_column.eq(sequencer.column),
                control.vector.eq(vector_buffer.o),
                path.columns[number].eq(bank.o),
                path.results[number].eq(bank.result),
            ]
            m.d.comb += [
                getattr(control.mac, name).eq(getattr(sequencer.mac, name))
                for name in sequencer.mac.signature.members
            ]
        return m
