"""Row buffer: the copy of an open row that column commands work on."""

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.config import DieConfig
from hw.die.cell_array import cell_fill, word_columns
from hw.protocol.commands import bus_layout

__all__ = ["RowBuffer"]


class RowBuffer(wiring.Component):
    """A row of a bank, copied from the cells when it is opened.

    From the cycle after ``open`` on, one word a cycle comes from the cells; the row is complete
    before the first read that nRCD allows. The copy is the row as it was then: what is written to
    the cells later does not change it. Reads have a latency of one cycle and an interval of one
    cycle; there is no backpressure. A closed buffer can be neither read nor written (``o`` keeps
    its value); whether the row is complete is not checked.

    Members
    -------
    open : ``In(1)``
        Open ``row``.
    row : ``In(row)``
        The row to open.
    close : ``In(1)``
        Close the row.
    read : ``In(1)``
        Read the column ``read_column``.
    read_column : ``In(column)``
        A column of the row.
    write : ``In(1)``
        Write ``write_data`` into the column ``write_column`` of the copy.
    write_column : ``In(column)``
        A column of the row.
    write_data : ``In(8 * column_bytes)``
        A column.
    o : ``Out(8 * column_bytes)``
        The column read in the cycle before.
    o_open : ``Out(1)``
        Whether a row is open.
    o_row : ``Out(row)``
        The open row, or the last one.
    fill : ``Out(cell_fill(config))``
        To the cells.
    """

    def __init__(self, config: DieConfig):
        self._config = config
        bus = bus_layout(config)
        row, column = bus["row"].shape, bus["column"].shape
        super().__init__(
            {
                "open": In(1),
                "row": In(row),
                "close": In(1),
                "read": In(1),
                "read_column": In(column),
                "write": In(1),
                "write_column": In(column),
                "write_data": In(8 * config.memory.column_bytes),
                "o": Out(8 * config.memory.column_bytes),
                "o_open": Out(1),
                "o_row": Out(row),
                "fill": Out(cell_fill(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        width = word_columns(config)
        words = config.memory.columns // width
        column_bits = 8 * config.memory.column_bytes
        within = (width - 1).bit_length()
        m.submodules.columns = columns = Memory(
            shape=unsigned(column_bits * width), depth=words, init=[]
        )
        write_port = columns.write_port(granularity=column_bits)
        read_port = columns.read_port()

        # Open and close.
        filling = Signal()
        word = Signal(range(words))
        with m.If(self.open):
            m.d.sync += [self.o_open.eq(1), self.o_row.eq(self.row), filling.eq(1), word.eq(0)]
        with m.Elif(self.close):
            m.d.sync += self.o_open.eq(0)
        m.d.comb += [
            self.fill.enable.eq(filling),
            self.fill.row.eq(self.o_row),
            self.fill.word.eq(word),
        ]
        with m.If(filling & ~self.open):
            m.d.sync += word.eq(word + 1)
            with m.If(word == words - 1):
                m.d.sync += filling.eq(0)

        # The word that the cells were asked for in the cycle before, or a column written.
        filled = Signal()
        filled_word = Signal.like(word)
        m.d.sync += [filled.eq(filling), filled_word.eq(word)]
        with m.If(filled):
            m.d.comb += [
                write_port.addr.eq(filled_word),
                write_port.data.eq(self.fill.data),
                write_port.en.eq(~0),
            ]
        with m.Else():
            m.d.comb += [
                write_port.addr.eq(self.write_column[within:]),
                write_port.data.eq(self.write_data.replicate(width)),
                write_port.en.eq((self.write & self.o_open) << self.write_column[:within]),
            ]

        # Read a word, then take the column from it.
        chosen = Signal(within)
        with m.If(self.read & self.o_open):
            m.d.sync += chosen.eq(self.read_column[:within])
        m.d.comb += [
            read_port.addr.eq(self.read_column[within:]),
            read_port.en.eq(self.read & self.o_open),
            self.o.eq(read_port.data.word_select(chosen, column_bits)),
        ]
        return m
