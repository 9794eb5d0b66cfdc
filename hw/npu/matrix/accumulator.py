"""Accumulators of one systolic array: two halves of memory, and an adder a column."""

from amaranth.hdl import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2, exact_log2

from hw.arith.adder import Adder
from hw.arith.binary32 import Binary32
from hw.npu.memories.tile_memory import TileMemory
from hw.repeated import repeated

__all__ = ["Accumulator"]

_MINUS_ZERO = 1 << 31


@repeated
class Accumulator(wiring.Component):
    """Adds rows of column sums to rows of accumulators, or replaces these.

    A row may arrive every cycle, without backpressure. It is written :attr:`latency` cycles after
    its sums arrived; the same row of the same half may arrive again :attr:`interval` cycles later
    at the earliest, which the user guarantees. Each half has one read port: while rows of it are
    taken out through ``read``, none may be added to (``accumulate``) in the same cycle.

    Replacing adds to -0, which changes nothing.

    Parameters
    ----------
    rows : int
        Rows of a half; rounded up to a power of two.
    columns : int
        Accumulators of a row, a power of two.

    Members
    -------
    valid : ``In(1)``
        A row of sums arrives in the next cycle.
    half, row : ``In(1)``, ``In(range(rows))``
        Where its accumulators are.
    accumulate : ``In(1)``
        Whether it is added to them.
    sums : ``In(ArrayLayout(Binary32, columns))``
        The row, one cycle after ``valid``.
    read : ``In(1)``
        Take out a row.
    read_half, read_row : ``In(1)``, ``In(range(rows))``
        Which row.
    o : ``Out(ArrayLayout(Binary32, columns))``
        That row, one cycle after ``read``.
    """

    latency = Adder.latency  #: Cycles from a row of sums to its being written.
    interval = latency + 2  #: Least cycles between two arrivals at the same row.

    def __init__(self, rows: int, columns: int):
        self._row_bits = ceil_log2(rows)
        self._columns = columns
        vector = data.ArrayLayout(Binary32, columns)
        super().__init__(
            {
                "valid": In(1),
                "half": In(1),
                "row": In(range(rows)),
                "accumulate": In(1),
                "sums": In(vector),
                "read": In(1),
                "read_half": In(1),
                "read_row": In(range(rows)),
                "o": Out(vector),
            }
        )

    def elaborate(self, platform):
        m = Module()
        row_bytes = 4 * self._columns
        address_bits = exact_log2(row_bytes)
        halves = []
        for half in range(2):
            memory = TileMemory(
                size_bytes=row_bytes << self._row_bits,
                word_bytes=row_bytes,
                reads=[row_bytes],
                writes=[(row_bytes, row_bytes)],
            )
            m.submodules[f"half_{half}"] = memory
            halves.append(memory)

        # Stage 1: read the accumulators.
        for half, memory in enumerate(halves):
            added = self.valid & self.accumulate & (self.half == half)
            taken = self.read & (self.read_half == half)
            row = Mux(taken, self.read_row, self.row)
            m.d.comb += [
                memory.read_0.enable.eq(added | taken),
                memory.read_0.address.eq(row << address_bits),
            ]

        # Stage 2: the sums are here; start to add.
        accumulate = Signal()
        half_read = Signal()
        half_taken = Signal()
        m.d.sync += [
            accumulate.eq(self.accumulate),
            half_read.eq(self.half),
            half_taken.eq(self.read_half),
        ]
        data_read = [memory.read_0.data for memory in halves]
        m.d.comb += self.o.eq(Mux(half_taken, data_read[1], data_read[0]))
        before = Signal(self.sums.shape())
        replaced = Const(_MINUS_ZERO, 32).replicate(self._columns)
        m.d.comb += before.eq(Mux(accumulate, Mux(half_read, data_read[1], data_read[0]), replaced))
        totals = []
        for column in range(self._columns):
            m.submodules[f"adder_{column}"] = adder = Adder()
            m.d.comb += [adder.a.eq(before[column]), adder.b.eq(self.sums[column])]
            totals.append(adder.o)

        # After the adders: write.
        target = Cat(self.valid, self.half, self.row)
        for stage in range(1 + self.latency):
            delayed = Signal(len(target), name=f"target_{stage}")
            m.d.sync += delayed.eq(target)
            target = delayed
        for half, memory in enumerate(halves):
            m.d.comb += [
                memory.write_0.enable.eq(target[0] & (target[1] == half)),
                memory.write_0.address.eq(target[2:] << address_bits),
                memory.write_0.data.eq(Cat(totals)),
            ]

        return m
