"""binary32 (IEEE 754 single precision), and the golden models of sum, product and adder tree."""

import numpy as np
import numpy.typing as npt
from amaranth.hdl import unsigned
from amaranth.lib import data

__all__ = [
    "NAN",
    "NAN_BITS",
    "Binary32",
    "add",
    "canonical",
    "flush",
    "multiply",
    "multiply_scaled",
    "subtract",
    "tree_sum",
]

Floats = npt.NDArray[np.float32]

#: The only NaN that any unit produces: its bits, and the number.
NAN_BITS = 0x7FC00000
NAN = np.uint32(NAN_BITS).view(np.float32)

_LEAST_NORMAL = np.float32(2.0**-126)
#: From here on a sum is the same whether or not subnormal terms are read as zero.
_NO_SUBNORMAL = np.float32(2.0**-100)
#: Up to here 2²⁰ terms cannot overflow.
_NO_OVERFLOW = np.float32(2.0**100)


class Binary32(data.Struct):
    """An IEEE 754 binary32 number. A number with exponent 0 is zero whatever its fraction."""

    fraction: unsigned(23)
    exponent: unsigned(8)
    sign: unsigned(1)


def flush(x: npt.ArrayLike) -> Floats:
    """Read subnormal numbers as zero of their sign.

    >>> flush([1e-40, -1e-40, 1.5]).tolist()
    [0.0, -0.0, 1.5]
    """
    x = np.asarray(x, np.float32)
    if _least(x) >= _LEAST_NORMAL:
        return x
    return np.where(np.abs(x) < _LEAST_NORMAL, np.copysign(np.float32(0), x), x)


def canonical(x: npt.ArrayLike) -> Floats:
    """Replace every NaN by :data:`NAN`."""
    x = np.asarray(x, np.float32)
    nan = np.isnan(x)
    return np.where(nan, NAN, x) if nan.any() else x


def _least(x: Floats) -> np.float32:
    """Return the least magnitude of the numbers that are not zero, in three fast passes.

    Zeros wrap around to the largest integers, which, like NaNs, come after every number.
    """
    twice = np.asarray(x.view(np.uint32) << np.uint32(1))
    np.subtract(twice, 1, out=twice)
    least = np.uint32((int(twice.min(initial=0xFFFFFFFF)) + 1) >> 1)
    return np.float32(np.inf) if least > 0x7F800000 else least.view(np.float32)


def _ordinary(x: Floats, least: np.float32) -> bool:
    """Whether every number is zero or of at least this magnitude, and none is a NaN."""
    return bool(_least(x) >= least) and not np.isnan(x.max(initial=-np.inf))


def add(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """Sum of binary32 numbers, elementwise, rounded to nearest, ties to even.

    Subnormal terms are read as zero and a result below 2⁻¹²⁶ is zero, both of their sign; an exact
    cancellation is +0; every NaN is :data:`NAN`.

    >>> add([1.0, -0.0, 1.5], [2.0**-24, -0.0, -1.5]).tolist()
    [1.0, -0.0, 0.0]
    """
    a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
    with np.errstate(all="ignore"):
        total = np.asarray(a + b)
        if _ordinary(total, _NO_SUBNORMAL):
            return total
        # A sum below 2⁻¹²⁶ is exact, so there is no rounding up to 2⁻¹²⁶ to get right.
        return canonical(flush(flush(a) + flush(b)))


def subtract(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """Difference of binary32 numbers, elementwise: the sum of ``a`` and ``-b``."""
    return add(a, np.negative(np.asarray(b, np.float32)))


def multiply(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """Product of binary32 numbers, elementwise, rounded to nearest, ties to even.

    Subnormal factors are read as zero; a product below 2⁻¹²⁶ after rounding to 24 bits is zero of
    its sign; every NaN is :data:`NAN`.

    >>> multiply([3.0, -1e-30], [0.5, 1e-30]).tolist()
    [1.5, -0.0]
    """
    with np.errstate(all="ignore"):
        a, b = flush(a), flush(b)
        product = np.asarray(a * b)
        if _ordinary(product, np.nextafter(_LEAST_NORMAL, np.float32(1))):
            return product
        # Among subnormals the processor rounds to fewer than 24 bits, perhaps up to 2⁻¹²⁶.
        edge = np.abs(product) == _LEAST_NORMAL
        if edge.any():
            a_edge = np.broadcast_to(a, product.shape)[edge].astype(np.float64)
            b_edge = np.broadcast_to(b, product.shape)[edge]
            kept = np.abs(a_edge * b_edge) >= 2.0**-126 - 2.0**-151
            product[edge] *= kept
        return canonical(flush(product))


def multiply_scaled(a: npt.ArrayLike, b: npt.ArrayLike, power: int) -> Floats:
    """Product of binary32 numbers times a power of two, as :func:`multiply`, rounded once.

    >>> multiply_scaled(2.0**120, 2.0**100, -100).item() == 2.0**120
    True
    """
    with np.errstate(all="ignore"):
        wide = flush(a).astype(np.float64) * flush(b) * 2.0**power
        product = wide.astype(np.float32)
        least = 2.0**-126 - 2.0**-151  # what 24 bits round up to 2⁻¹²⁶
        return canonical(np.where(np.abs(wide) < least, np.copysign(np.float32(0), wide), product))


def tree_sum(x: npt.ArrayLike, axis: int = -1) -> Floats:
    """Sum along an axis in a balanced binary tree: neighbours first, (x0 + x1) + (x2 + x3).

    Parameters
    ----------
    x
        binary32 numbers of any shape.
    axis
        The axis to sum over; its length is a power of two.

    Returns
    -------
    Sums, of the shape of ``x`` without ``axis``.

    Raises
    ------
    ValueError
        If the length is not a power of two.

    >>> tree_sum([1.0, 2.0**-24, 2.0**-24, 2.0**-24]).item() == 1 + 2.0**-23
    True
    """
    x = np.moveaxis(np.asarray(x, np.float32), axis, 0)
    width = x.shape[0]
    if width < 1 or width & (width - 1):
        raise ValueError(f"the length of axis must be a power of two, not {width!r}")
    # Multiples of 2⁻¹²³ that stay below 2¹²⁸: no sum of them is subnormal, infinite or a NaN.
    bounded = width <= 2**20 and _ordinary(x, _NO_SUBNORMAL) and x.max() <= _NO_OVERFLOW
    exact = bounded and x.min() >= -_NO_OVERFLOW
    plus = np.add if exact else add
    while len(x) > 1:
        x = plus(x[0::2], x[1::2])
    return np.asarray(x[0]) if exact or width > 1 else canonical(flush(x[0]))
