"""Pipelined multipliers; their golden models are in :mod:`hw.arith.binary32`."""

from amaranth.hdl import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.bf16 import BF16
from hw.arith.binary32 import NAN_BITS, Binary32
from hw.repeated import repeated

__all__ = ["Multiplier", "ProductBF16"]


class ProductBF16(wiring.Component):
    """Product of two bfloat16 numbers, exact in binary32 but for underflow and overflow.

    Subnormal factors are read as zero; a product below 2⁻¹²⁶ is zero, of its sign; every NaN is
    0x7FC00000.

    A product leaves :attr:`latency` cycles after its factors enter, and a pair of factors may
    enter every cycle. The unit runs freely: no valid, no backpressure, no reset.

    Parameters
    ----------
    zero_b : bool
        Whether a product is +0 where ``b`` is ±0, even if ``a`` is infinite or a NaN.

    Members
    -------
    a, b : ``In(BF16)``
        Factors.
    o : ``Out(Binary32)``
        Product.
    """

    latency = 1  #: Cycles from factors to product.

    a: In(BF16)
    b: In(BF16)
    o: Out(Binary32)

    def __init__(self, *, zero_b=False):
        self._zero_b = zero_b
        super().__init__()

    def elaborate(self, platform):
        m = Module()

        a, b = self.a, self.b
        a_zero, b_zero = ~a.exponent.any(), ~b.exponent.any()
        a_max, b_max = a.exponent.all(), b.exponent.all()
        product = Signal(16)  # 2.14 fixed point, in [1, 4)
        exponent = Signal(signed(10))  # -125 to 384
        sign = Signal()
        result = Signal(Binary32, reset_less=True)
        fraction = Mux(product[15], product[:15], Cat(C(0, 1), product[:14]))
        m.d.comb += [
            product.eq(Cat(a.fraction, 1) * Cat(b.fraction, 1)),
            exponent.eq(a.exponent + b.exponent - 127 + product[15]),
            sign.eq(a.sign ^ b.sign),
            self.o.eq(result),
        ]
        m.d.sync += result.eq(Cat(C(0, 8), fraction, exponent[:8], sign))
        with m.If((a_max & (a.fraction.any() | b_zero)) | (b_max & (b.fraction.any() | a_zero))):
            m.d.sync += result.eq(NAN_BITS)
        with m.Elif(a_max | b_max | (exponent >= 0xFF)):
            m.d.sync += result.eq(Cat(C(0, 23), C(0xFF, 8), sign))
        with m.Elif(a_zero | b_zero | (exponent <= 0)):
            m.d.sync += result.eq(Cat(C(0, 31), sign))
        if self._zero_b:
            with m.If(b_zero):
                m.d.sync += result.eq(0)

        return m


class _Rest(data.Struct):
    """What is known of a product beside its significand; the exponent is biased."""

    exponent: signed(10)  # -253 to 510 unless a factor is special
    sign: unsigned(1)
    zero: unsigned(1)
    infinite: unsigned(1)
    nan: unsigned(1)


@repeated
class Multiplier(wiring.Component):
    """Product of two binary32 numbers, rounded to nearest, ties to even.

    At will it is multiplied by a power of two before it is rounded, so that neither a factor nor
    the product leaves the range of exponents on the way to a result that is within it.

    Subnormal factors are read as zero; a product below 2⁻¹²⁶ after rounding is zero, of its sign;
    every NaN is 0x7FC00000.

    A product leaves :attr:`latency` cycles after its factors enter, and a pair of factors may
    enter every cycle. The unit runs freely: no valid, no backpressure, no reset.

    Parameters
    ----------
    power : int
        Exponent of the power of two, from -128 to 127.

    Members
    -------
    a, b : ``In(Binary32)``
        Factors.
    scaled : ``In(1)``
        Multiply by the power of two as well.
    o : ``Out(Binary32)``
        Product.

    Raises
    ------
    ValueError
        If ``power`` is out of range.
    """

    latency = 3  #: Cycles from factors to product.

    a: In(Binary32)
    b: In(Binary32)
    scaled: In(1)
    o: Out(Binary32)

    def __init__(self, *, power=0):
        if not -128 <= power <= 127:
            raise ValueError(f"power must be from -128 to 127, not {power!r}")
        self._power = power
        super().__init__()

    def elaborate(self, platform):
        m = Module()

        # Stage 1: multiply by either half of b, and sort out the special cases.
        a, b = self.a, self.b
        a_zero, b_zero = ~a.exponent.any(), ~b.exponent.any()
        a_max, b_max = a.exponent.all(), b.exponent.all()
        low = Signal(36, reset_less=True)
        high = Signal(36, reset_less=True)
        rest = Signal(_Rest, reset_less=True)
        m.d.sync += [
            low.eq(Cat(a.fraction, 1) * b.fraction[:12]),
            high.eq(Cat(a.fraction, 1) * Cat(b.fraction[12:], 1)),
            rest.exponent.eq(
                a.exponent + b.exponent - 127 + Mux(self.scaled, C(self._power, signed(8)), 0)
            ),
            rest.sign.eq(a.sign ^ b.sign),
            rest.zero.eq(a_zero | b_zero),
            rest.infinite.eq(a_max | b_max),
            rest.nan.eq(
                (a_max & (a.fraction.any() | b_zero)) | (b_max & (b.fraction.any() | a_zero))
            ),
        ]

        # Stage 2: add the halves.
        product = Signal(48, reset_less=True)  # 2.46 fixed point, in [1, 4)
        product_rest = Signal(_Rest, reset_less=True)
        m.d.sync += [product.eq(Cat(low[:12], low[12:] + high)), product_rest.eq(rest)]

        # Stage 3: normalise, round and pack.
        wide = product[47]
        fraction = Signal(23)
        round_up = Signal()
        exponent = Signal(signed(11))
        packed = Signal(32)
        carry = Signal()
        result = Signal(Binary32, reset_less=True)
        half = Mux(wide, product[23], product[22])
        below = product[:22].any() | (wide & product[22])
        m.d.comb += [
            fraction.eq(Mux(wide, product[24:47], product[23:46])),
            round_up.eq(half & (below | fraction[0])),
            carry.eq(round_up & fraction.all()),
            exponent.eq(product_rest.exponent + wide + carry),
            packed.eq(Cat((fraction + round_up)[:23], exponent[:8], product_rest.sign)),
            self.o.eq(result),
        ]
        m.d.sync += result.eq(packed)
        with m.If(product_rest.nan):
            m.d.sync += result.eq(NAN_BITS)
        with m.Elif(product_rest.infinite | ~product_rest.zero & (exponent >= 0xFF)):
            m.d.sync += result.eq(Cat(C(0, 23), C(0xFF, 8), product_rest.sign))
        with m.Elif(product_rest.zero | (exponent <= 0)):
            m.d.sync += result.eq(Cat(C(0, 31), product_rest.sign))

        return m
