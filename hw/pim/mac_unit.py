"""MAC unit of a bank: columns of a row times the global vector buffer, summed in slots."""

import numpy as np
import numpy.typing as npt

from hw.arith.binary32 import add, tree_sum
from hw.arith.dot import dot

__all__ = ["accumulate_golden", "gemv_golden"]

Floats = npt.NDArray[np.float32]


def accumulate_golden(sums: Floats, count: int, columns: Floats, vector: Floats) -> Floats:
    """Multiply columns by the vector and add the products to a slot's partial sums.

    Parameters
    ----------
    sums
        Partial sums, ``[..., partial sums]``: +0 in a slot that was just cleared.
    count
        Columns since the slot was cleared: the next one goes to partial sum ``count`` modulo their
        number.
    columns, vector
        bfloat16 numbers carried as binary32, ``[..., n, lanes]``, in the order of execution; the
        leading axes (banks, slots) are broadcast. A product by a vector element ±0 is +0, whatever
        the column holds.

    Returns
    -------
    The new partial sums, of the shape of the inputs together.
    """
    products = dot(columns, vector, zero_b=True)
    partial_sums = sums.shape[-1]
    shape = np.broadcast_shapes(sums.shape[:-1], products.shape[:-1])
    sums = np.broadcast_to(sums, (*shape, partial_sums)).copy()
    n = products.shape[-1]
    start = 0
    while start < n:
        first = (count + start) % partial_sums
        stop = min(n, start + partial_sums - first)
        turn = slice(first, first + stop - start)
        sums[..., turn] = add(sums[..., turn], products[..., start:stop])
        start = stop
    return sums


def gemv_golden(columns: Floats, vector: Floats, partial_sums: int) -> Floats:
    """Return what reading a slot gives after these columns, the slot cleared before the first.

    Parameters
    ----------
    columns, vector
        bfloat16 numbers carried as binary32, ``[..., n, lanes]``, in the order of execution over
        all PIM_GEMV commands since the slot was cleared.
    partial_sums
        Of the configuration; column n goes to partial sum n modulo their number.

    Returns
    -------
    binary32 numbers, ``[...]``.

    >>> gemv_golden(np.ones((2, 3, 4), np.float32), np.full((3, 4), 0.5, np.float32), 2).tolist()
    [6.0, 6.0]
    """
    sums = np.zeros(partial_sums, np.float32)
    return tree_sum(accumulate_golden(sums, 0, columns, vector))
