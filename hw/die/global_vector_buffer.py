"""Global vector buffer: the operand vector that all MAC units of a channel share."""

from amaranth.hdl import *
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.arith.bf16 import BF16
from hw.config import DieConfig
from hw.protocol.commands import bus_layout

__all__ = ["GlobalVectorBuffer", "vector_write_latency"]


def vector_write_latency(config: DieConfig) -> int:
    """Return the cycles from a PIM_GWRITE, of either kind, to the first column that may use it.

    >>> from hw.presets import TINY
    >>> vector_write_latency(TINY)
    6
    """
    return config.memory.timing.nCWL + config.memory.timing.nBL


class GlobalVectorBuffer(wiring.Component):
    """Two halves of ``vector_columns`` columns each.

    One half can be written while the other is read, or the same: nothing is checked. A column is
    written and another one read each cycle; there is no backpressure.

    Members
    -------
    write : ``In(1)``
        Write ``write_data``; it can be read from the next cycle on.
    write_half, write_offset : ``In(1)``, ``In(offset)``
        Where.
    write_data : ``In(8 * column_bytes)``
        A column.
    read : ``In(1)``
        Read a column.
    read_half, read_offset : ``In(1)``, ``In(offset)``
        Where.
    o : ``Out(ArrayLayout(BF16, lanes))``
        The column, :attr:`latency` cycles after ``read``; kept until the next one.
    """

    latency = 2  #: Cycles from ``read`` to ``o``: the memory and a register.

    def __init__(self, config: DieConfig):
        self._config = config
        offset = bus_layout(config)["offset"].shape
        super().__init__(
            {
                "write": In(1),
                "write_half": In(1),
                "write_offset": In(offset),
                "write_data": In(8 * config.memory.column_bytes),
                "read": In(1),
                "read_half": In(1),
                "read_offset": In(offset),
                "o": Out(data.ArrayLayout(BF16, config.mac_lanes)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.columns = columns = Memory(
            shape=unsigned(8 * config.memory.column_bytes), depth=2 * config.vector_columns, init=[]
        )
        write_port = columns.write_port()
        read_port = columns.read_port()
        m.d.comb += [
            write_port.addr.eq(Cat(self.write_offset, self.write_half)),
            write_port.data.eq(self.write_data),
            write_port.en.eq(self.write),
            read_port.addr.eq(Cat(self.read_offset, self.read_half)),
            read_port.en.eq(self.read),
        ]
        m.d.sync += self.o.eq(read_port.data)
        return m
