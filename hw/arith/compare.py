"""Comparison of binary32 numbers."""

import numpy as np
import numpy.typing as npt

from hw.arith.binary32 import canonical, flush

__all__ = ["greater", "maximum"]


def greater(a: npt.ArrayLike, b: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Whether ``a`` is larger than ``b``, elementwise.

    Zeros of either sign are equal, a NaN is never larger, and every number is larger than a NaN.

    >>> greater([1.0, 0.0, float("nan"), float("-inf")], [0.5, -0.0, 1.0, float("nan")]).tolist()
    [True, False, False, True]
    """
    a, b = flush(a), flush(b)
    return (a > b) | (np.isnan(b) & ~np.isnan(a))


def maximum(a: npt.ArrayLike, b: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Return the larger number, elementwise; ``a`` of equals; a NaN only if both are.

    >>> maximum([1.0, -0.0], [float("nan"), 0.0]).tolist()
    [1.0, -0.0]
    """
    a, b = flush(a), flush(b)
    return canonical(np.where(greater(b, a), b, a))
