"""The DRAM cells of a bank, as a behavioural model."""

from functools import cached_property

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.memory import Memory, MemoryData
from amaranth.lib.wiring import In, Out

from hw.config import DieConfig
from hw.protocol.commands import bus_layout

__all__ = ["CellArray", "cell_fill", "cell_write", "word_columns"]

#: Cycles between the activation and the first RD or PIM_GEMV that are not for words of the row:
#: one to take the command, one from the cells to the row buffer.
_FILL_OVERHEAD = 2


def word_columns(config: DieConfig) -> int:
    """Return how many columns a word of the cells holds.

    A word is what a row buffer takes from the cells in a cycle: a burst, or as many bursts as let
    the row be complete nRCD after its activation, and before the first WR reaches it.

    Raises
    ------
    ValueError
        If nRCD leaves no time for a single word.

    >>> from hw.presets import PAPER, TINY
    >>> word_columns(TINY), word_columns(PAPER)
    (2, 4)
    """
    timing = config.memory.timing
    words = min(timing.nRCD, timing.write_delay + timing.nCWL) - _FILL_OVERHEAD
    if words < 1:
        raise ValueError(
            f"nRCD must be above {_FILL_OVERHEAD} cycles to fill a row buffer, not {timing.nRCD!r}"
        )
    columns = 2
    while columns * words < config.memory.columns:
        columns *= 2
    return columns


def cell_write(config: DieConfig) -> wiring.Signature:
    """Return the interface that writes a column of the cells: ``data`` into ``row``, ``column``."""
    bus = bus_layout(config)
    return wiring.Signature(
        {
            "enable": Out(1),
            "row": Out(bus["row"].shape),
            "column": Out(bus["column"].shape),
            "data": Out(8 * config.memory.column_bytes),
        }
    )


def cell_fill(config: DieConfig) -> wiring.Signature:
    """Return the interface that reads a word of a row; ``data`` is there a cycle later."""
    width = word_columns(config)
    return wiring.Signature(
        {
            "enable": Out(1),
            "row": Out(bus_layout(config)["row"].shape),
            "word": Out(range(config.memory.columns // width)),
            "data": In(8 * config.memory.column_bytes * width),
        }
    )


class CellArray(wiring.Component):
    """DRAM cells of a bank: the one part that is not synthesized.

    In simulation the cells are a memory, submodule ``cells``, of words of :func:`word_columns`
    columns: byte b of row r is byte ``r * row_bytes + b`` of the memory, its words little-endian
    and in order. In an exported design the component is a black box.

    One column a cycle is written and one word a cycle is read for each row buffer, with a latency
    of one cycle; a word read in the cycle in which it is written is the old one. There is no
    backpressure, no timing is checked, and the cells need no refresh.

    Parameters
    ----------
    config
        Sizes: rows, row_bytes, column_bytes, row_buffers.

    Members
    -------
    write : ``In(cell_write(config))``
        A column into the cells.
    fills : ``In(cell_fill(config)).array(row_buffers)``
        A word of a row, for the row buffer of that number: 0 MEM, 1 PIM.
    """

    def __init__(self, config: DieConfig):
        self._config = config
        self._word_columns = word_columns(config)
        super().__init__(
            {
                "write": In(cell_write(config)),
                "fills": In(cell_fill(config)).array(config.pim.row_buffers),
            }
        )

    @cached_property
    def data(self) -> MemoryData:
        """The words, for a testbench to read and write."""
        config = self._config
        return MemoryData(
            shape=unsigned(8 * config.memory.column_bytes * self._word_columns),
            depth=config.memory.rows * config.memory.columns // self._word_columns,
            init=[],
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.cells = cells = Memory(self.data)

        column_bits = 8 * config.memory.column_bytes
        within = (self._word_columns - 1).bit_length()  # address bits of a column in its word
        row_bits = (config.memory.rows - 1).bit_length()
        write_port = cells.write_port(granularity=column_bits)
        column = self.write.column[: (config.memory.columns - 1).bit_length()]
        m.d.comb += [
            write_port.addr.eq(Cat(column[within:], self.write.row[:row_bits])),
            write_port.data.eq(self.write.data.replicate(self._word_columns)),
            write_port.en.eq(self.write.enable << column[:within]),
        ]
        word_bits = (config.memory.columns // self._word_columns - 1).bit_length()
        for fill in self.fills:
            read_port = cells.read_port()
            m.d.comb += [
                read_port.addr.eq(Cat(fill.word[:word_bits], fill.row[:row_bits])),
                read_port.en.eq(fill.enable),
                fill.data.eq(read_port.data),
            ]
        return m
