"""The way of columns between banks, global vector buffer and data bus."""

from functools import reduce
from operator import or_

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.binary32 import Binary32
from hw.config import DieConfig
from hw.delay_line import DelayRing, delayed
from hw.protocol.results import result_beats

__all__ = ["ColumnPath", "check_timing"]

#: Cycles from RD to its first column in the register of the channel: decoder, row buffer, register
#: of the bank group, register of the channel.
_READ_LATENCY = 4


def check_timing(config: DieConfig) -> None:
    """Check that nCL, nCWL and nBL fit the registers on the way of a column.

    Raises
    ------
    ValueError
        If they do not.
    """
    timing = config.memory.timing
    if timing.nCWL < _READ_LATENCY:
        raise ValueError(f"nCWL must be at least {_READ_LATENCY} cycles, not {timing.nCWL!r}")
    if timing.nCL < _READ_LATENCY + 3:
        raise ValueError(f"nCL must be at least {_READ_LATENCY + 3} cycles, not {timing.nCL!r}")
    if timing.nBL != 2:
        raise ValueError(f"nBL must be 2 cycles, one for each column, not {timing.nBL!r}")


class ColumnPath(wiring.Component):
    """Gathers what the banks drive, and hands out what comes in.

    A column a cycle each way, no backpressure. If a read and a result meet, the result is driven.

    Parameters
    ----------
    config
        Sizes and timing.

    Members
    -------
    columns : ``In(8 * column_bytes).array(banks)``
        What the banks read: at most one is not zero.
    read : ``In(1)``
        In the cycle before: a bank reads for the data bus.
    results : ``In(Binary32).array(banks)``
        Results of the MAC units.
    drive, position : ``In(1)``, ``In(cycle)``
        Put that cycle of a slot's result on the data bus.
    vector_from_row : ``In(1)``
        Whether ``vector_data`` comes from a row in the next cycle.
    vector_data : ``Out(8 * column_bytes)``
        For the vector buffer: from the data bus one cycle later, or from a row nCWL cycles after
        the bank was told to read it.
    write_data : ``Out(8 * column_bytes)``
        For the banks: from the data bus, one cycle later.
    i_data, o_data, o_valid : ``In(8 * column_bytes)``, ``Out(8 * column_bytes)``, ``Out(1)``
        The data bus.

    Raises
    ------
    ValueError
        As :func:`check_timing` says.
    """

    def __init__(self, config: DieConfig):
        check_timing(config)
        self._config = config
        column = 8 * config.memory.column_bytes
        cycles = config.memory.ranks * (result_beats(config) + config.memory.timing.nTURN)
        super().__init__(
            {
                "columns": In(column).array(config.memory.banks),
                "read": In(1),
                "results": In(Binary32).array(config.memory.banks),
                "drive": In(1),
                "position": In(range(cycles)),
                "vector_from_row": In(1),
                "vector_data": Out(column),
                "write_data": Out(column),
                "i_data": In(column),
                "o_data": Out(column),
                "o_valid": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, timing = self._config, self._config.memory.timing
        column_bits = 8 * config.memory.column_bytes

        # A register for each bank group, and one for the channel.
        group_columns = [
            Signal(column_bits, name=f"group_{n}") for n in range(config.memory.groups)
        ]
        for number, column in enumerate(group_columns):
            m.d.sync += column.eq(reduce(or_, (self.columns[4 * number + n] for n in range(4))))
        channel_column = Signal(column_bits)
        m.d.sync += channel_column.eq(reduce(or_, group_columns))

        # Into the die: columns of a row arrive as late as those of the data bus.
        from_row = channel_column
        late = timing.nCWL - _READ_LATENCY
        if late >= 2:
            m.submodules.gwrite_ring = gwrite_ring = DelayRing(column_bits, late)
            m.d.comb += gwrite_ring.i.eq(channel_column)
            from_row = gwrite_ring.o
        elif late == 1:
            from_row = delayed(m, channel_column, 1, "gwrite")
        m.d.sync += [
            self.write_data.eq(self.i_data),
            self.vector_data.eq(Mux(self.vector_from_row, from_row, self.i_data)),
        ]

        # Out of the die: a register.
        m.submodules.read_ring = read_ring = DelayRing(column_bits, timing.nCL - _READ_LATENCY - 1)
        read_valid = delayed(m, self.read, timing.nCL - 2, "read_valid")
        m.d.comb += read_ring.i.eq(channel_column)
        m.d.sync += [self.o_data.eq(read_ring.o), self.o_valid.eq(read_valid)]
        beats = result_beats(config)
        with m.If(self.drive):
            with m.Switch(self.position):
                for rank in range(config.memory.ranks):
                    results = Signal(beats * column_bits, name=f"results_{rank}")
                    first = rank * config.memory.banks_per_rank
                    banks = range(first, first + config.memory.banks_per_rank)
                    m.d.comb += results.eq(Cat(self.results[bank] for bank in banks))
                    for beat in range(beats):
                        with m.Case(rank * (beats + timing.nTURN) + beat):
                            m.d.sync += [
                                self.o_data.eq(results.word_select(beat, column_bits)),
                                self.o_valid.eq(1),
                            ]
        return m
