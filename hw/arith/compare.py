"""Comparison of binary32 numbers."""

import numpy as np
import numpy.typing as npt
from amaranth.hdl import *

from hw.arith.binary32 import flush

__all__ = ["greater", "is_greater"]


def greater(a: npt.ArrayLike, b: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Whether ``a`` is larger than ``b``, elementwise.

    Zeros of either sign are equal, a NaN is never larger, and every number is larger than a NaN.

    >>> greater([1.0, 0.0, float("nan"), float("-inf")], [0.5, -0.0, 1.0, float("nan")]).tolist()
    [True, False, False, True]
    """
    a, b = flush(a), flush(b)
    return (a > b) | (np.isnan(b) & ~np.isnan(a))


def is_greater(a, b):
    """Return the value of :func:`greater` for two :class:`Binary32` views: a comparator deep."""
    a_magnitude = Mux(a.exponent.any(), a.as_value()[:31], 0)
    b_magnitude = Mux(b.exponent.any(), b.as_value()[:31], 0)
    a_nan, b_nan = (x.exponent.all() & x.fraction.any() for x in (a, b))
    ordered = Mux(
        a.sign,
        b.sign & (a_magnitude < b_magnitude),
        Mux(b.sign, (a_magnitude | b_magnitude).any(), a_magnitude > b_magnitude),
    )
    return ~a_nan & (b_nan | ordered)
