"""Elementary functions of binary32 numbers, from one unit.

The argument is brought into an interval on which the result's significand v, in [1, 2], is a smooth
function of a 23-bit fraction f: 2^f for the exponential, 2 / (1 + f) for the reciprocal,
2 / √(1 + f) or 2 / √(2 + 2f) for the reciprocal square root of an even or odd power of two, and for
the tail of the normal distribution a function of x in quarters of four, f = x/4 mod 1. The
upper bits of f choose a quadratic (:mod:`hw.arith.quadratic`), the others are its variable t.
Everything is in fixed point, so that the golden model and the unit agree bit for bit.

Relative errors over all arguments with a normal result: at most 2⁻¹⁹, as the tests measure; of the
tail's logarithm an absolute one of at most 2⁻¹⁶.
"""

from itertools import pairwise

import numpy as np
import numpy.typing as npt
from amaranth.hdl import *
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.binary32 import NAN_BITS, Binary32
from hw.arith.quadratic import (
    C0_FRACTION,
    C1_FRACTION,
    C2_FRACTION,
    POWER,
    T_BITS,
    T_DROPPED,
    TABLE,
    evaluate,
)

__all__ = [
    "Elementary",
    "Function",
    "exp",
    "exp_scaled",
    "normal_tail",
    "reciprocal",
    "rsqrt",
]

_LOG2_E = 0x17154765  # 28 fraction bits; off by less than 2⁻³⁰, relatively 2⁻³¹
_TAIL_TABLE = 4  # the first of the four of the normal distribution's tail


class Function(enum.Enum, shape=3):
    """What :class:`Elementary` computes."""

    EXP = 0
    RECIPROCAL = 1
    RSQRT = 2
    EXP_SCALED = 3
    NORMAL_TAIL = 4


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
    return _exp(x, 127)


def exp_scaled(x: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Exponential of binary32 numbers times 2⁻¹², so that it overflows only beyond 97.

    >>> (exp_scaled([0.0, 1.0, -70.0]) * 2**12 == exp([0.0, 1.0, -70.0])).all().item()
    True
    """
    return _exp(x, 127 - POWER)


def _exp(x: npt.ArrayLike, bias: int) -> npt.NDArray[np.float32]:
    """Return exponentials; the bias of the exponent scales them."""
    sign, exponent, fraction = _fields(x)
    significand = np.where(exponent == 0, 0, fraction | 1 << 23)
    # x · log2(e) with 23 fraction bits; beyond |x| = 128 the exponent alone decides.
    product = (significand * _LOG2_E) >> 22
    y = product >> np.clip(133 - exponent, 0, 31)
    y = np.where(sign, -y, y)
    v = evaluate(Function.EXP.value, y & 0x7FFFFF)
    bits = _pack(0, (y >> 23) + bias, v)
    bits = np.where(exponent >= 134, np.where(sign, 0, 0xFF << 23), bits)
    return _floats(np.where((exponent == 0xFF) & (fraction != 0), NAN_BITS, bits))


def reciprocal(x: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Reciprocal of binary32 numbers; ±0 gives ±infinity, and the other way round.

    >>> reciprocal([4.0, -0.0, float("inf")]).tolist()
    [0.25, -inf, 0.0]
    """
    sign, exponent, fraction = _fields(x)
    bits = _pack(sign, 253 - exponent, evaluate(Function.RECIPROCAL.value, fraction))
    bits = np.where(exponent == 0, sign << 31 | 0xFF << 23, bits)
    return _floats(np.where((exponent == 0xFF) & (fraction != 0), NAN_BITS, bits))


def rsqrt(x: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Reciprocal square root of binary32 numbers; ±0 gives ±infinity, a negative number a NaN.

    >>> rsqrt([0.25, -0.0, -1.0, float("inf")]).tolist()
    [2.0, -inf, nan, 0.0]
    """
    sign, exponent, fraction = _fields(x)
    table = np.where(exponent & 1, 2, 3)  # the bias is odd: an odd exponent is an even power
    bits = _pack(0, 190 - ((exponent + 1) >> 1), evaluate(table, fraction))
    bits = np.where(exponent == 0xFF, 0, bits)
    bits = np.where(exponent == 0, sign << 31 | 0xFF << 23, bits)
    invalid = ((exponent == 0xFF) & (fraction != 0)) | ((sign == 1) & (exponent != 0))
    return _floats(np.where(invalid, NAN_BITS, bits))


def normal_tail(x: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Logarithm of the normal distribution's tail, without its square: -2 · ln(2¹² · m(|x|)).

    Here m(x) · exp(-x²/2) = Φ(-x), the probability beyond x: m is Mills' ratio over √(2π). The
    result is between -16 and -8; from |x| = 16 on, where Φ(-|x|) is below 2⁻¹⁸⁰, it is -0.

    >>> normal_tail([0.0, -20.0]).tolist() == [np.float32(-2 * np.log(2.0**11)).item(), -0.0]
    True
    """
    _, exponent, fraction = _fields(x)
    significand = np.where(exponent == 0, 0, fraction | 1 << 23)
    # |x| / 4 with 23 fraction bits.
    y = (significand << 4) >> np.clip(133 - exponent, 0, 31)
    v = evaluate(_TAIL_TABLE + ((y >> 23) & 3), y & 0x7FFFFF)
    bits = _pack(1, np.full_like(y, 127 + 3), v)
    bits = np.where(exponent >= 127 + 4, 1 << 31, bits)
    return _floats(np.where((exponent == 0xFF) & (fraction != 0), NAN_BITS, bits))


class _Special(enum.Enum, shape=2):
    """What replaces a result that no quadratic gives."""

    NONE = 0
    ZERO = 1
    INFINITY = 2
    NAN = 3


class _Rest(data.Struct):
    """What a result consists of beside its significand; the exponent is biased."""

    sign: unsigned(1)
    exponent: signed(10)
    special: _Special


class _Argument(data.Struct):
    """An argument on its way to its interval."""

    fraction: unsigned(23)
    table: unsigned(2)
    shift: unsigned(5)
    is_exp: unsigned(1)
    is_tail: unsigned(1)
    negative: unsigned(1)


def _register(shape, *, name=None):
    """Return a pipeline register, which needs no reset."""
    return Signal(shape, name=name, reset_less=True, src_loc_at=1)


class Elementary(wiring.Component):
    """Elementary functions of a binary32 number.

    The golden models are :func:`exp`, :func:`reciprocal`, :func:`rsqrt`, :func:`exp_scaled` and
    :func:`normal_tail`. Subnormal arguments are read as zero; a result below 2⁻¹²⁶ is zero; every
    NaN is 0x7FC00000.

    A result leaves :attr:`latency` cycles after its argument enters, and an argument, of any
    function, may enter every cycle. The unit runs freely: no valid, no backpressure, no reset.

    Members
    -------
    a : ``In(Binary32)``
        Argument.
    function : ``In(Function)``
        What to compute of it.
    o : ``Out(Binary32)``
        Result.
    """

    latency = 8  #: Cycles from argument to result.

    a: In(Binary32)
    function: In(Function)
    o: Out(Binary32)

    def elaborate(self, platform):
        m = Module()
        rest = [_register(_Rest, name=f"rest_{stage}") for stage in range(1, self.latency)]
        m.d.sync += [new.eq(old) for old, new in pairwise(rest)]
        table, fraction = self._reduce(m, rest)
        v = self._evaluate(m, table, fraction)

        # Stage 8: round and pack; the significand's leading 1 adds to the exponent.
        rounded = Signal(25)
        packed = Signal(signed(34))
        result = _register(Binary32)
        m.d.comb += [
            rounded.eq((v + (1 << (C0_FRACTION - 24))) >> (C0_FRACTION - 23)),
            packed.eq(Cat(C(0, 23), rest[-1].exponent - 1).as_signed() + rounded),
            self.o.eq(result),
        ]
        sign, special, exponent = rest[-1].sign, rest[-1].special, packed[23:].as_signed()
        ordinary = special == _Special.NONE
        m.d.sync += result.eq(Cat(packed[:31], sign))
        with m.If(special == _Special.NAN):
            m.d.sync += result.eq(NAN_BITS)
        with m.Elif((special == _Special.INFINITY) | ordinary & (exponent >= 0xFF)):
            m.d.sync += result.eq(Cat(C(0, 23), C(0xFF, 8), sign))
        with m.Elif((special == _Special.ZERO) | (exponent <= 0)):
            m.d.sync += result.eq(Cat(C(0, 31), sign))

        return m

    def _reduce(self, m, rest):
        """Stages 1 to 3: return registers that hold a table and a fraction; write ``rest``."""
        # Stage 1: sort out special cases, and multiply by either half of log2(e); a quarter for the
        # tail stands at the same place.
        a = self.a
        is_zero, is_top = ~a.exponent.any(), a.exponent.all()
        is_exp = (self.function == Function.EXP) | (self.function == Function.EXP_SCALED)
        is_rsqrt = self.function == Function.RSQRT
        is_tail = self.function == Function.NORMAL_TAIL
        significand = Mux(is_zero, 0, Cat(a.fraction, 1))
        low, high = _register(24 + 14, name="low"), _register(24 + 15, name="high")
        first = _register(_Argument)
        m.d.sync += [
            low.eq(Mux(is_tail, 0, significand * (_LOG2_E & 0x3FFF))),
            high.eq(Mux(is_tail, significand << 12, significand * (_LOG2_E >> 14))),
            first.is_exp.eq(is_exp),
            first.is_tail.eq(is_tail),
            first.negative.eq(a.sign),
            first.shift.eq(Mux(a.exponent < 133 - 31, 31, 133 - a.exponent)),
            first.table.eq(Mux(is_rsqrt, Cat(~a.exponent[0], 1), ~is_exp)),
            first.fraction.eq(a.fraction),
            rest[0].sign.eq(Mux(is_tail, 1, a.sign & ~is_exp)),
            rest[0].special.eq(_Special.NONE),
        ]
        with m.Switch(self.function):
            with m.Case(Function.EXP):
                m.d.sync += rest[0].exponent.eq(127)
            with m.Case(Function.EXP_SCALED):
                m.d.sync += rest[0].exponent.eq(127 - POWER)
            with m.Case(Function.NORMAL_TAIL):
                m.d.sync += rest[0].exponent.eq(127 + 3)
            with m.Case(Function.RSQRT):
                m.d.sync += rest[0].exponent.eq(190 - (a.exponent + 1)[1:])
            with m.Default():
                m.d.sync += rest[0].exponent.eq(253 - a.exponent)
        with m.If(is_top & a.fraction.any()):
            m.d.sync += rest[0].special.eq(_Special.NAN)
        with m.Elif(is_exp):
            with m.If(a.exponent >= 134):
                m.d.sync += rest[0].special.eq(Mux(a.sign, _Special.ZERO, _Special.INFINITY))
        with m.Elif(is_tail):
            with m.If(a.exponent >= 127 + 4):
                m.d.sync += rest[0].special.eq(_Special.ZERO)
        with m.Elif(is_zero):
            m.d.sync += rest[0].special.eq(_Special.INFINITY)
        with m.Elif(is_rsqrt & a.sign):
            m.d.sync += rest[0].special.eq(_Special.NAN)
        with m.Elif(is_top):
            m.d.sync += rest[0].special.eq(_Special.ZERO)

        # Stage 2: add the halves; of 28 + 23 fraction bits 29 stay.
        product = _register(31)
        second = _register(_Argument)
        m.d.sync += [product.eq((low[14:] + high)[8:]), second.eq(first)]

        # Stage 3: bring the argument to 23 fraction bits; the rest is an exponent, or a table.
        magnitude = Signal(31)
        y = Signal(signed(32))
        table, fraction = _register(3, name="table"), _register(23, name="fraction")
        m.d.comb += [
            magnitude.eq(product >> second.shift),
            y.eq(Mux(second.negative, -magnitude, magnitude)),
        ]
        m.d.sync += [table.eq(second.table), fraction.eq(second.fraction)]
        with m.If(second.is_exp):
            m.d.sync += [
                fraction.eq(y[:23]),
                rest[2].exponent.eq(rest[1].exponent + y[23:].as_signed()),
            ]
        with m.If(second.is_tail):
            m.d.sync += [fraction.eq(magnitude[:23]), table.eq(_TAIL_TABLE | magnitude[23:25])]
        return table, fraction

    def _evaluate(self, m, table, fraction):
        """Stages 4 to 7: return the register that holds v."""
        # Stage 4: look up the quadratic.
        t_4, t_5 = (_register(T_BITS, name=f"t_{stage}") for stage in (4, 5))
        c0_4, c0_5, c0_6 = (_register(28, name=f"c0_{stage}") for stage in (4, 5, 6))
        c1 = _register(signed(22))
        c2 = _register(15)
        m.d.sync += t_4.eq(fraction)
        with m.Switch(Cat(fraction[T_BITS:], table)):
            for row, coefficients in enumerate(TABLE):
                with m.Case(row):
                    m.d.sync += [x.eq(y) for x, y in zip((c0_4, c1, c2), coefficients, strict=True)]

        # Stage 5: c1 + c2·t.
        slope = _register(signed(22))
        linear = (c2 * t_4[T_DROPPED:]) >> (C2_FRACTION + 23 - T_DROPPED - C1_FRACTION)
        m.d.sync += [slope.eq(c1 + linear), c0_5.eq(c0_4), t_5.eq(t_4)]

        # Stage 6: multiply that by either half of t.
        half = T_BITS // 2
        low, high = (_register(signed(22 + half), name=f"rise_{part}") for part in ("low", "high"))
        m.d.sync += [
            low.eq(slope * t_5[:half]),
            high.eq(slope * t_5[half:]),
            c0_6.eq(c0_5),
        ]

        # Stage 7: add the halves and c0.
        v = _register(28)  # in [1, 2]
        m.d.sync += v.eq(c0_6 + ((low + (high << half)) >> (C1_FRACTION + 23 - C0_FRACTION)))
        return v
