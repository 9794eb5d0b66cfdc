"""Systolic array: weights stay, activations pass, sums go down the columns chunk by chunk."""

import numpy as np
import numpy.typing as npt
from amaranth.hdl import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.adder import Adder
from hw.arith.bf16 import BF16
from hw.arith.binary32 import Binary32, add, canonical, flush
from hw.arith.dot import dot
from hw.npu.matrix.column_chunk import ColumnChunk
from hw.repeated import repeated

__all__ = ["SystolicArray", "gemm_golden"]

Floats = npt.NDArray[np.float32]

#: Rows of the array that one adder tree sums, at most.
_CHUNK = 16

_BLOCK = 1 << 18  # products that are held at a time: they stay in a processor's cache


def gemm_golden(activations: Floats, weights: Floats, start: Floats | None = None) -> Floats:
    """Multiply matrices in the order of the systolic array and its accumulators.

    Weight tiles are taken one after the other. In a tile the exact products of a chunk of
    ``min(16, R)`` rows are summed in a balanced tree, the chunks in a chain from +0 on, top down;
    the column sum of the first tile replaces the accumulators or, if they are given, is added to
    them, and so are those of all other tiles. Everything is binary32 with subnormal results
    flushed to zero and NaN canonical.

    Parameters
    ----------
    activations
        ``float32[T, M, R]``, bfloat16 numbers.
    weights
        ``float32[T, R, C]``, bfloat16 numbers. R is a power of two.
    start
        ``float32[M, C]``, the accumulators before; ``None`` replaces them.

    Returns
    -------
    numpy.ndarray
        ``float32[M, C]``, the accumulators after.

    Raises
    ------
    ValueError
        If the shapes do not fit one another, or R is not a power of two.

    Examples
    --------
    >>> gemm_golden(np.float32([[[1, 2]], [[3, 4]]]), np.float32([[[5], [6]], [[7], [8]]]))
    array([[70.]], dtype=float32)
    """
    tiles, rows, depth = activations.shape
    columns = weights.shape[2]
    if weights.shape[:2] != (tiles, depth) or not tiles:
        raise ValueError(
            f"weights must have shape ({tiles}, {depth}, columns) with at least one tile, "
            f"not {weights.shape!r}"
        )
    if depth & (depth - 1):
        raise ValueError(f"rows of a weight tile must be a power of two, not {depth!r}")
    terms = np.empty((tiles + 1, rows, columns), np.float32)
    terms[0] = 0 if start is None else flush(start)
    sums = terms[1:]
    m = max(1, _BLOCK // (depth * columns))
    t = max(1, m // rows)
    for tile in range(0, tiles, t):
        for row in range(0, rows, m):
            block = slice(tile, tile + t), slice(row, row + m)
            sums[block] = _column_sums(activations[block], weights[tile : tile + t])
    return _sum_in_order(sums if start is None else terms)


def _column_sums(activations: Floats, weights: Floats) -> Floats:
    """Return the column sums of weight tiles, ``float32[T, M, C]``."""
    tiles, rows, depth = activations.shape
    chunk = min(_CHUNK, depth)
    # The rows of a chunk come first, so that its tree adds long contiguous arrays.
    a = activations.reshape(tiles, rows, -1, chunk).transpose(3, 2, 0, 1)[..., None]
    w = weights.reshape(tiles, -1, chunk, weights.shape[2]).transpose(2, 1, 0, 3)[:, :, :, None]
    dots = dot(a, w, axis=0)
    total = add(np.float32(0), dots[0])
    for following in dots[1:]:
        total = add(total, following)
    return total


def _sum_in_order(terms: Floats) -> Floats:
    """Add along the first axis, one after the other.

    The sums are first formed without flushing. Only where one of them is subnormal, so that
    flushing would have changed what follows, are they formed again.
    """
    with np.errstate(all="ignore"):
        sums: Floats = np.add.accumulate(terms, axis=0)
    if flush(sums) is sums:
        return canonical(sums[-1].copy())
    total: Floats = terms[0]
    for term in terms[1:]:
        total = add(total, term)
    return total


@repeated
class SystolicArray(wiring.Component):
    """Weight-stationary array: every row of activations gives one sum a column.

    A column is cut into chunks of ``min(16, rows)`` rows. The dot products of the chunks are
    chained from +0 on, top down, and the activations of a lower chunk are held back until the sum
    from above arrives. Across, a row of activations reaches all columns at once, through a register
    in every processing element: so all sums of a row leave together, and a row of weights is loaded
    in one cycle.

    Sums leave :attr:`latency` cycles after their activations, which may enter every cycle. The unit
    runs freely: there is no valid and no backpressure.

    Every weight has a shadow. The swap travels with the activations that bring it: row r of
    the shadow may be loaded from :meth:`swap_delay` of r cycles after ``swap`` on, at the earliest
    in that very cycle, and must be loaded before that cycle of the next swap.

    Parameters
    ----------
    rows, columns : int
        Size of the array; ``rows`` is a power of two.

    Attributes
    ----------
    latency : int
        Cycles from activations to sums.

    Members
    -------
    activations : ``In(ArrayLayout(BF16, rows))``
        Activations of one row of the left matrix.
    swap : ``In(1)``
        From these activations on, the shadow weights are used.
    load : ``In(columns)``
        In which columns a weight of the shadow is replaced.
    load_row : ``In(range(rows))``
        In which row.
    weights : ``In(ArrayLayout(BF16, columns))``
        The new weights.
    o : ``Out(ArrayLayout(Binary32, columns))``
        Column sums.

    Raises
    ------
    ValueError
        If ``rows`` is not a power of two.
    """

    def __init__(self, rows: int, columns: int):
        self._rows = rows
        self._columns = columns
        self._chunk = min(_CHUNK, rows)
        self.latency = self.latency_of(rows)
        super().__init__(
            {
                "activations": In(data.ArrayLayout(BF16, rows)),
                "swap": In(1),
                "load": In(columns),
                "load_row": In(range(rows)),
                "weights": In(data.ArrayLayout(BF16, columns)),
                "o": Out(data.ArrayLayout(Binary32, columns)),
            }
        )

    @staticmethod
    def latency_of(rows: int) -> int:
        """Return the latency of an array of so many rows, without building one."""
        if rows < 1 or rows & (rows - 1):
            raise ValueError(f"rows must be a power of two, not {rows!r}")
        chunk = min(_CHUNK, rows)
        return ColumnChunk.latency_of(chunk) + (rows // chunk - 1) * Adder.latency

    @staticmethod
    def swap_delay(row: int) -> int:
        """Return the cycles from the swap at the array's input to that of a row's weights."""
        return max(0, row // _CHUNK - 1) * Adder.latency

    def elaborate(self, platform):
        m = Module()

        loaded_row = Signal(self._rows)  # one bit a row
        m.d.comb += loaded_row.bit_select(self.load_row, 1).eq(1)

        sums = []
        for index in range(self._rows // self._chunk):
            first = index * self._chunk
            rows = slice(first, first + self._chunk)

            # What enters a lower chunk is held back until the sums from above arrive.
            entering = Cat(self.swap, [self.activations[row] for row in range(self._rows)[rows]])
            for stage in range(self.swap_delay(first)):
                delayed = Signal(len(entering), name=f"entering_{index}_{stage}")
                m.d.sync += delayed.eq(entering)
                entering = delayed

            for column in range(self._columns):
                m.submodules[f"chunk_{index}_{column}"] = chunk = ColumnChunk(self._chunk)
                m.d.comb += [
                    Cat(chunk.swap, chunk.activations).eq(entering),
                    chunk.load.eq(Mux(self.load[column], loaded_row[rows], 0)),
                    chunk.weight.eq(self.weights[column]),
                ]
                if index == 0:
                    # +0 + x is x, unless x is -0.
                    sign = chunk.o.sign & chunk.o.exponent.any()
                    sums.append(Cat(chunk.o.as_value()[:-1], sign))
                else:
                    m.submodules[f"adder_{index}_{column}"] = adder = Adder()
                    m.d.comb += [adder.a.eq(sums[column]), adder.b.eq(chunk.o)]
                    sums[column] = adder.o
        m.d.comb += [self.o[column].eq(total) for column, total in enumerate(sums)]

        return m
