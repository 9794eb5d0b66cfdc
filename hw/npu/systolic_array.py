"""Systolic array: weights stay, activations pass, sums go down the columns chunk by chunk."""

import numpy as np
import numpy.typing as npt

from hw.arith.binary32 import add, canonical, flush
from hw.arith.dot import dot

__all__ = ["gemm_golden"]

Floats = npt.NDArray[np.float32]

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
    chunk = min(16, depth)
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
