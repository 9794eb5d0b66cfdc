"""Exponential, reciprocal and reciprocal square root of binary32 numbers, from one unit.

The argument is brought into an interval on which the result's significand v, in [1, 2], is a smooth
function of a 23-bit fraction f: 2^f for the exponential, 2 / (1 + f) for the reciprocal, and
2 / √(1 + f) or 2 / √(2 + 2f) for the reciprocal square root of an even or odd power of two. The
upper five bits of f choose a quadratic, the other 18 are its variable t. Everything is in fixed
point, so that the golden model and the unit agree bit for bit.

Relative errors over all arguments with a normal result: at most 2⁻¹⁹, as the tests
measure.
"""

from collections.abc import Callable
from decimal import Decimal, localcontext

import numpy as np
import numpy.typing as npt
from amaranth.hdl import *
from amaranth.lib import enum

__all__ = ["Function", "exp", "reciprocal", "rsqrt"]

_INDEX_BITS = 5
_T_BITS = 23 - _INDEX_BITS
_T_DROPPED = 3  # bits of t that the quadratic term does without
_C0_FRACTION = 26
_C1_FRACTION = 20
_C2_FRACTION = 14
_LOG2_E = 0x17154765  # 28 fraction bits; off by less than 2⁻³⁰, relatively 2⁻³¹


class Function(enum.Enum, shape=2):
    """What :class:`Elementary` computes."""

    EXP = 0
    RECIPROCAL = 1
    RSQRT = 2


#: The functions that the tables approximate, of f in [0, 1].
_SIGNIFICANDS: tuple[Callable[[Decimal], Decimal], ...] = (
    lambda f: (f * Decimal(2).ln()).exp(),
    lambda f: 2 / (1 + f),
    lambda f: 2 / (1 + f).sqrt(),
    lambda f: 2 / (2 + 2 * f).sqrt(),
)


def _entry(table: int, index: int) -> tuple[int, int, int]:
    """Return the coefficients of one quadratic, in units of their last bits.

    It is exact at t = 0, so that exact powers stay exact, and at two more nodes, which make the
    error alternate evenly: the roots of the cubic Chebyshev polynomial, the first shifted to 0.
    """
    with localcontext(prec=40):
        width = Decimal(1) / 2**_INDEX_BITS
        root = Decimal(3).sqrt()
        nodes = [Decimal(0), width * root / (2 + root), 2 * width * root / (2 + root)]
        y0, y1, y2 = (_SIGNIFICANDS[table](index * width + node) for node in nodes)
        slope1 = (y1 - y0) / nodes[1]
        slope2 = (y2 - y0) / nodes[2]
        c2 = (slope2 - slope1) / (nodes[2] - nodes[1])
        c1 = slope1 - c2 * nodes[1]
        scaled = (y0 * 2**_C0_FRACTION, c1 * 2**_C1_FRACTION, c2 * 2**_C2_FRACTION)
        c0, c1, c2 = (int(value.to_integral_value()) for value in scaled)
        return c0, c1, c2


#: Coefficients (c0, c1, c2), one row an interval: the four tables one after the other.
_TABLE = [_entry(table, index) for table in range(4) for index in range(1 << _INDEX_BITS)]
_C0, _C1, _C2 = np.array(_TABLE, np.int64).T


def _evaluate(table: npt.ArrayLike, f: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return v in [2²³, 2²⁴], for the fraction f in [0, 2²³)."""
    row = (np.asarray(table) << _INDEX_BITS) | (f >> _T_BITS)
    t = f & ((1 << _T_BITS) - 1)
    product = _C2[row] * (t >> _T_DROPPED)
    slope = _C1[row] + (product >> (_C2_FRACTION + 23 - _T_DROPPED - _C1_FRACTION))
    v = _C0[row] + ((slope * t) >> (_C1_FRACTION + 23 - _C0_FRACTION))
    half = 1 << (_C0_FRACTION - 24)
    return np.asarray((v + half) >> (_C0_FRACTION - 23))


def _fields(x: npt.ArrayLike) -> tuple[npt.NDArray[np.int64], ...]:
    """Return sign, exponent and fraction of binary32 numbers."""
    bits = np.asarray(x, np.float32).view(np.uint32).astype(np.int64)
    return bits >> 31, (bits >> 23) & 0xFF, bits & 0x7FFFFF


def _pack(
    sign: npt.ArrayLike, exponent: npt.NDArray[np.int64], v: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return the bits of v times a power of two: zero if too small, infinite if too large."""
    packed = (exponent << 23) + v - (1 << 23)
    packed = np.where(packed < 1 << 23, 0, np.minimum(packed, 0xFF << 23))
    return (np.asarray(sign, np.int64) << 31) | packed


def _floats(bits: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    return bits.astype(np.uint32).view(np.float32)


def exp(x: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Exponential of binary32 numbers; infinite if too large, +0 if too small.

    >>> exp([0.0, 1.0, -200.0, float("-inf")]).tolist()
    [1.0, 2.7182815074920654, 0.0, 0.0]
    """
    sign, exponent, fraction = _fields(x)
    significand = np.where(exponent == 0, 0, fraction | 1 << 23)
    # x · log2(e) with 23 fraction bits; beyond |x| = 128 the exponent alone decides.
    product = (significand * _LOG2_E) >> 22
    y = product >> np.clip(133 - exponent, 0, 31)
    y = np.where(sign, -y, y)
    v = _evaluate(Function.EXP.value, y & 0x7FFFFF)
    bits = _pack(0, (y >> 23) + 127, v)
    bits = np.where(exponent >= 134, np.where(sign, 0, 0xFF << 23), bits)
    return _floats(np.where((exponent == 0xFF) & (fraction != 0), 0x7FC00000, bits))


def reciprocal(x: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Reciprocal of binary32 numbers; ±0 gives ±infinity, and the other way round.

    >>> reciprocal([4.0, -0.0, float("inf")]).tolist()
    [0.25, -inf, 0.0]
    """
    sign, exponent, fraction = _fields(x)
    bits = _pack(sign, 253 - exponent, _evaluate(Function.RECIPROCAL.value, fraction))
    bits = np.where(exponent == 0, sign << 31 | 0xFF << 23, bits)
    return _floats(np.where((exponent == 0xFF) & (fraction != 0), 0x7FC00000, bits))


def rsqrt(x: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Reciprocal square root of binary32 numbers; ±0 gives ±infinity, a negative number a NaN.

    >>> rsqrt([0.25, -0.0, -1.0, float("inf")]).tolist()
    [2.0, -inf, nan, 0.0]
    """
    sign, exponent, fraction = _fields(x)
    table = np.where(exponent & 1, 2, 3)  # the bias is odd: an odd exponent is an even power
    bits = _pack(0, 190 - ((exponent + 1) >> 1), _evaluate(table, fraction))
    bits = np.where(exponent == 0xFF, 0, bits)
    bits = np.where(exponent == 0, sign << 31 | 0xFF << 23, bits)
    invalid = ((exponent == 0xFF) & (fraction != 0)) | ((sign == 1) & (exponent != 0))
    return _floats(np.where(invalid, 0x7FC00000, bits))
