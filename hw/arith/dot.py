"""Dot product of bfloat16 vectors in binary32: exact products, summed in a balanced tree."""

import numpy as np
import numpy.typing as npt

from hw.arith.binary32 import multiply, tree_sum

__all__ = ["dot"]


def dot(
    a: npt.ArrayLike, b: npt.ArrayLike, axis: int = -1, *, zero_b: bool = False
) -> npt.NDArray[np.float32]:
    """Dot product along an axis, as :class:`Dot` computes it.

    Parameters
    ----------
    a, b
        bfloat16 numbers carried as binary32; their shapes are broadcast.
    axis
        The axis to sum over; its length is a power of two.
    zero_b
        Whether a product is +0 where ``b`` is ±0, even if ``a`` is infinite or a NaN.

    Returns
    -------
    binary32 numbers, of the broadcast shape without ``axis``.

    >>> dot([1.0, 2.0, 3.0, 4.0], [0.5, 0.5, 0.5, 0.5]).item()
    5.0
    """
    products = multiply(a, b)
    if zero_b:
        zero = np.abs(np.asarray(b, np.float32)) < 2.0**-126
        if zero.any():
            products = np.where(zero, np.float32(0), products)
    return tree_sum(products, axis)
