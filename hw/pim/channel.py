"""A PIM channel: the DRAM die behind one controller."""

from functools import reduce
from operator import or_

from amaranth.hdl import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config
from hw.memory.bank import Bank
from hw.memory.commands import Command, bus_layout
from hw.memory.delay_line import DelayRing, delayed
from hw.pim.gemv_sequencer import GemvSequencer
from hw.pim.global_vector_buffer import GlobalVectorBuffer
from hw.pim.mac_unit import check_partial_sums
from hw.pim.results import result_beats

__all__ = ["PimChannel"]

#: Cycles from RD to its first column in the register of the channel: decode, row buffer, bank
#: group, channel.
_READ_PATH = 4


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
      as :func:`hw.pim.results.result_schedule` says: rank after rank, four bytes a bank, in the
      order of the banks; what remains of a rank's last column is zero.

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

    def __init__(self, config: Config):
        timing = config.timing
        if timing.nCWL < _READ_PATH:
            raise ValueError(f"nCWL must be at least {_READ_PATH} cycles, not {timing.nCWL!r}")
        if timing.nCL < _READ_PATH + 3:
            raise ValueError(f"nCL must be at least {_READ_PATH + 3} cycles, not {timing.nCL!r}")
        if timing.nBL != 2:
            raise ValueError(f"nBL must be 2 cycles, one for each column, not {timing.nBL!r}")
        check_partial_sums(config)
        self._config = config
        self.banks = [Bank(config) for _ in range(config.banks)]
        super().__init__(
            {
                "command": In(bus_layout(config)),
                "i_data": In(8 * config.column_bytes),
                "o_data": Out(8 * config.column_bytes),
                "o_valid": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, timing = self._config, self._config.timing
        column_bits = 8 * config.column_bytes
        m.submodules.sequencer = sequencer = GemvSequencer(config)
        m.submodules.vector_buffer = vector_buffer = GlobalVectorBuffer(config)
        for number, bank in enumerate(self.banks):
            m.submodules[f"bank_{number}"] = bank

        bus = self.command
        is_command = {command: Signal(name=f"is_{command.name.lower()}") for command in Command}
        m.d.comb += [signal.eq(bus.command == command) for command, signal in is_command.items()]
        is_read = is_command[Command.RD] | is_command[Command.RDA]
        is_write = is_command[Command.WR] | is_command[Command.WRA]
        is_vector = is_command[Command.PIM_GWRITE_DATA] | is_command[Command.PIM_GWRITE]

        # Row commands, decoded for each bank.
        row = Signal.like(bus.row)
        bank_open = Signal(config.banks)
        bank_pim_open = Signal(config.banks)
        bank_close = Signal(config.banks)
        pim_close = Signal()
        m.d.sync += [row.eq(bus.row), pim_close.eq(is_command[Command.PIM_PRECHARGE])]
        bank_bits = (config.banks - 1).bit_length()
        rank_start = (config.banks_per_rank - 1).bit_length()
        for number in range(config.banks):
            same_bank = bus.bank == number
            same_group = bus.bank[2:bank_bits] == number >> 2
            same_rank = bus.bank[rank_start:bank_bits] == number >> rank_start
            m.d.sync += [
                bank_open[number].eq(is_command[Command.ACT] & same_bank),
                bank_pim_open[number].eq(is_command[Command.PIM_ACTIVATION] & same_group),
                bank_close[number].eq(
                    (is_command[Command.PRE] & same_bank) | (is_command[Command.PREA] & same_rank)
                ),
            ]

        # Reads: the first column in the cycle after the command, the second one in the next.
        read = Signal(
            data.StructLayout(
                {"valid": 1, "second": 1, "bank": bus.bank.shape(), "close": 1, "drive": 1}
            )
        )
        read_column = Signal.like(bus.column)
        m.d.sync += read.valid.eq(0)
        with m.If(is_read | is_command[Command.PIM_GWRITE]):
            m.d.sync += [
                read.valid.eq(1),
                read.second.eq(0),
                read.bank.eq(bus.bank),
                read.close.eq(is_command[Command.RDA]),
                read.drive.eq(is_read),
                read_column.eq(bus.column),
            ]
        with m.Elif(read.valid & ~read.second):
            m.d.sync += [read.valid.eq(1), read.second.eq(1), read_column[0].eq(1)]

        # Writes: the same when the data arrives.
        arrival_layout = data.StructLayout(
            {
                "write": 1,
                "vector": 1,
                "from_row": 1,
                "close": 1,
                "bank": bus.bank.shape(),
                "column": bus.column.shape(),
                "half": 1,
                "offset": bus.offset.shape(),
            }
        )
        arriving = Signal(arrival_layout)
        m.d.comb += [
            arriving.write.eq(is_write),
            arriving.vector.eq(is_vector),
            arriving.from_row.eq(is_command[Command.PIM_GWRITE]),
            arriving.close.eq(is_command[Command.WRA]),
            arriving.bank.eq(bus.bank),
            arriving.column.eq(bus.column),
            arriving.half.eq(bus.half),
            arriving.offset.eq(bus.offset),
        ]
        arrival = delayed(m, arriving, timing.nCWL, "arrival")
        write = Signal(arrival_layout)
        write_second = Signal()
        write_data = Signal(column_bits)
        m.d.sync += [write.write.eq(0), write.vector.eq(0), write_data.eq(self.i_data)]
        with m.If(arrival.write | arrival.vector):
            m.d.sync += [write.eq(arrival), write_second.eq(0)]
        with m.Elif((write.write | write.vector) & ~write_second):
            m.d.sync += [
                write.write.eq(write.write),
                write.vector.eq(write.vector),
                write_second.eq(1),
                write.column[0].eq(1),
                write.offset[0].eq(1),
            ]

        # The banks.
        for number, bank in enumerate(self.banks):
            control = bank.control
            reads = read.valid & (read.bank == number)
            writes = write.write & (write.bank == number)
            m.d.comb += [
                control.open.eq(bank_open[number]),
                control.pim_open.eq(bank_pim_open[number]),
                control.close.eq(
                    bank_close[number]
                    | (reads & read.second & read.close)
                    | (writes & write_second & write.close)
                ),
                control.pim_close.eq(pim_close),
                control.row.eq(row),
                control.read.eq(reads),
                control.column.eq(read_column),
                control.write.eq(writes),
                control.write_column.eq(write.column),
                control.write_data.eq(write_data),
                control.pim_read.eq(sequencer.read),
                control.pim_column.eq(sequencer.column),
                control.vector.eq(vector_buffer.o),
            ]
            m.d.comb += [
                getattr(control.mac, name).eq(getattr(sequencer.mac, name))
                for name in sequencer.mac.signature.members
            ]
        m.d.comb += [
            sequencer.command.eq(bus),
            vector_buffer.read.eq(sequencer.read),
            vector_buffer.read_half.eq(sequencer.half),
            vector_buffer.read_offset.eq(sequencer.offset),
        ]

        # What a bank reads passes a register of its group and one of the channel.
        group_columns = [Signal(column_bits, name=f"group_{n}") for n in range(config.groups)]
        for number, column in enumerate(group_columns):
            a, b, c, d = (bank.o for bank in self.banks[4 * number : 4 * number + 4])
            m.d.sync += column.eq(a | b | c | d)
        channel_column = Signal(column_bits)
        m.d.sync += channel_column.eq(reduce(or_, group_columns))

        # Into the vector buffer.
        from_row = channel_column
        if timing.nCWL > _READ_PATH:
            from_row = _delay_wide(m, channel_column, timing.nCWL - _READ_PATH, "gwrite_ring")
        vector_data = Signal(column_bits)
        vector_from_row = Signal()
        m.d.comb += vector_from_row.eq(Mux(arrival.vector, arrival.from_row, write.from_row))
        m.d.sync += vector_data.eq(Mux(vector_from_row, from_row, self.i_data))
        m.d.comb += [
            vector_buffer.write.eq(write.vector),
            vector_buffer.write_half.eq(write.half),
            vector_buffer.write_offset.eq(write.offset),
            vector_buffer.write_data.eq(vector_data),
        ]

        # Onto the data bus, a register.
        m.submodules.read_ring = read_ring = DelayRing(column_bits, timing.nCL - _READ_PATH - 1)
        read_valid = delayed(m, read.valid & read.drive, timing.nCL - 2, "read_valid")
        m.d.comb += read_ring.i.eq(channel_column)
        m.d.sync += [self.o_data.eq(read_ring.o), self.o_valid.eq(read_valid)]
        beats = result_beats(config)
        with m.If(sequencer.drive):
            with m.Switch(sequencer.position):
                for rank in range(config.ranks):
                    first = rank * config.banks_per_rank
                    banks = self.banks[first : first + config.banks_per_rank]
                    results = Signal(beats * column_bits, name=f"results_{rank}")
                    m.d.comb += results.eq(Cat(bank.result for bank in banks))
                    for beat in range(beats):
                        with m.Case(rank * (beats + timing.nTURN) + beat):
                            m.d.sync += [
                                self.o_data.eq(results.word_select(beat, column_bits)),
                                self.o_valid.eq(1),
                            ]
        return m


def _delay_wide(m, column, cycles, name):
    """Delay a column of the data path, in a ring if it is long."""
    if cycles < 2:
        return delayed(m, column, cycles, name)
    m.submodules[name] = ring = DelayRing(len(column), cycles)
    m.d.comb += ring.i.eq(column)
    return ring.o
