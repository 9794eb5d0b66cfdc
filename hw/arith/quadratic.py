"""Tables of quadratics for :mod:`hw.arith.elementary`, and their value in fixed point.

A table approximates v in [1, 2] as a function of a 23-bit fraction f. The upper bits of f choose an
interval, and the others are the variable t of its quadratic c0 + (c1 + c2·t)·t. The coefficients
come from decimal arithmetic, which is the same on every machine.
"""

from collections.abc import Callable
from decimal import Context, Decimal, localcontext

import numpy as np
import numpy.typing as npt

__all__ = [
    "C0_FRACTION",
    "C1_FRACTION",
    "C2_FRACTION",
    "INDEX_BITS",
    "POWER",
    "TABLE",
    "T_BITS",
    "T_DROPPED",
    "evaluate",
]

INDEX_BITS = 5
T_BITS = 23 - INDEX_BITS
T_DROPPED = 3  # bits of t that the quadratic term does without
C0_FRACTION = 26
C1_FRACTION = 20
C2_FRACTION = 14

#: Bits of the powers of two that :func:`hw.arith.elementary.exp_scaled` and
#: :func:`hw.arith.elementary.normal_tail` take out of their results (chosen).
POWER = 12


def _mills(x: Decimal) -> Decimal:
    """Return Mills' ratio, (1 - Φ(x)) / φ(x), to more than 20 digits.

    By its Taylor series from 0 on, or from 4 on by Laplace's continued fraction (Abramowitz and
    Stegun 1964, 26.2.11 and 26.2.14).
    """
    if x < 4:
        term = total = x
        for k in range(1, 120):
            term *= x * x / (2 * k + 1)
            total += term
        return (x * x / 2).exp() * (_PI / 2).sqrt() - total
    ratio = x
    for k in range(80, 0, -1):
        ratio = x + k / ratio
    return 1 / ratio


def _normal_tail(x: Decimal) -> Decimal:
    """Return the significand of :func:`hw.arith.elementary.normal_tail`, for x in [0, 16]."""
    return (POWER * Decimal(2).ln() + (_mills(x) / (2 * _PI).sqrt()).ln()) / 4


_PI = Decimal("3.14159265358979323846264338327950288419716939937510")

#: The functions that the tables approximate, of f in [0, 1].
_SIGNIFICANDS: tuple[Callable[[Decimal], Decimal], ...] = (
    lambda f: (f * Decimal(2).ln()).exp(),
    lambda f: 2 / (1 + f),
    lambda f: 2 / (1 + f).sqrt(),
    lambda f: 2 / (2 + 2 * f).sqrt(),
    lambda f: _normal_tail(4 * f),
    lambda f: _normal_tail(4 + 4 * f),
    lambda f: _normal_tail(8 + 4 * f),
    lambda f: _normal_tail(12 + 4 * f),
)


def _entry(table: int, index: int) -> tuple[int, int, int]:
    """Return the coefficients of one quadratic, in units of their last bits.

    It is exact at t = 0, so that exact powers stay exact, and at two more nodes, which make the
    error alternate evenly: the roots of the cubic Chebyshev polynomial, the first shifted to 0.
    """
    with localcontext(Context(prec=50)):
        width = Decimal(1) / 2**INDEX_BITS
        root = Decimal(3).sqrt()
        nodes = [Decimal(0), width * root / (2 + root), 2 * width * root / (2 + root)]
        y0, y1, y2 = (_SIGNIFICANDS[table](index * width + node) for node in nodes)
        slope1 = (y1 - y0) / nodes[1]
        slope2 = (y2 - y0) / nodes[2]
        c2 = (slope2 - slope1) / (nodes[2] - nodes[1])
        c1 = slope1 - c2 * nodes[1]
        scaled = (y0 * 2**C0_FRACTION, c1 * 2**C1_FRACTION, c2 * 2**C2_FRACTION)
        c0, c1, c2 = (int(value.to_integral_value()) for value in scaled)
        return c0, c1, c2


#: Coefficients (c0, c1, c2), one row an interval: the tables one after the other.
TABLE = [
    _entry(table, index) for table in range(len(_SIGNIFICANDS)) for index in range(1 << INDEX_BITS)
]
_C0, _C1, _C2 = np.array(TABLE, np.int64).T


def evaluate(table: npt.ArrayLike, f: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return v in [2²³, 2²⁴], for the fraction f in [0, 2²³)."""
    row = (np.asarray(table) << INDEX_BITS) | (f >> T_BITS)
    t = f & ((1 << T_BITS) - 1)
    product = _C2[row] * (t >> T_DROPPED)
    slope = _C1[row] + (product >> (C2_FRACTION + 23 - T_DROPPED - C1_FRACTION))
    v = _C0[row] + ((slope * t) >> (C1_FRACTION + 23 - C0_FRACTION))
    half = 1 << (C0_FRACTION - 24)
    return np.asarray((v + half) >> (C0_FRACTION - 23))
