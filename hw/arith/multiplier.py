"""Pipelined multipliers; their golden model is :func:`hw.arith.binary32.multiply`."""

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.bf16 import BF16
from hw.arith.binary32 import NAN_BITS, Binary32

__all__ = ["Multiplier", "ProductBF16"]


class ProductBF16(wiring.Component):
    """Product of two bfloat16 numbers, exact in binary32 but for underflow and overflow.

    Subnormal factors are read as zero; a product below 2⁻¹²⁶ is zero, of its sign; every NaN is
    0x7FC00000.

    A product leaves :attr:`latency` cycles after its factors enter, and a pair of factors may
    enter every cycle. The unit runs freely: there is no valid and no backpressure.

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
        m.d.comb += [
            product.eq(Cat(a.fraction, 1) * Cat(b.fraction, 1)),
            exponent.eq(a.exponent + b.exponent - 127 + product[15]),
        ]
        m.d.sync += [
            self.o.sign.eq(a.sign ^ b.sign),
            self.o.exponent.eq(exponent),
            self.o.fraction.eq(Mux(product[15], product << 8, product << 9)),
        ]
        nan = (a_max & (a.fraction.any() | b_zero)) | (b_max & (b.fraction.any() | a_zero))
        with m.If(nan):
            m.d.sync += self.o.eq(NAN_BITS)
        with m.Elif(a_max | b_max | (exponent >= 0xFF)):
            m.d.sync += [self.o.exponent.eq(0xFF), self.o.fraction.eq(0)]
        with m.Elif(a_zero | b_zero | (exponent <= 0)):
            m.d.sync += [self.o.exponent.eq(0), self.o.fraction.eq(0)]
        if self._zero_b:
            with m.If(b_zero):
                m.d.sync += self.o.eq(0)

        return m


class Multiplier(wiring.Component):
    """Product of two binary32 numbers, rounded to nearest, ties to even.

    Subnormal factors are read as zero; a product below 2⁻¹²⁶ after rounding is zero, of its sign;
    every NaN is 0x7FC00000.

    A product leaves :attr:`latency` cycles after its factors enter, and a pair of factors may
    enter every cycle. The unit runs freely: there is no valid and no backpressure.

    Members
    -------
    a, b : ``In(Binary32)``
        Factors.
    o : ``Out(Binary32)``
        Product.
    """

    latency = 3  #: Cycles from factors to product.

    a: In(Binary32)
    b: In(Binary32)
    o: Out(Binary32)

    def elaborate(self, platform):
        m = Module()

        # Stage 1: multiply by either half of b, and sort out the special cases.
        a, b = self.a, self.b
        a_zero, b_zero = ~a.exponent.any(), ~b.exponent.any()
        a_max, b_max = a.exponent.all(), b.exponent.all()
        low = Signal(36)
        high = Signal(36)
        sign = Signal()
        exponent = Signal(signed(10))  # -125 to 383 unless a factor is special
        zero = Signal()
        infinite = Signal()
        nan = Signal()
        m.d.sync += [
            low.eq(Cat(a.fraction, 1) * b.fraction[:12]),
            high.eq(Cat(a.fraction, 1) * Cat(b.fraction[12:], 1)),
            sign.eq(a.sign ^ b.sign),
            exponent.eq(a.exponent + b.exponent - 127),
            zero.eq(a_zero | b_zero),
            infinite.eq(a_max | b_max),
            nan.eq((a_max & (a.fraction.any() | b_zero)) | (b_max & (b.fraction.any() | a_zero))),
        ]

        # Stage 2: add the halves.
        product = Signal(48)  # 2.46 fixed point, in [1, 4)
        product_sign = Signal()
        product_exponent = Signal(signed(10))
        product_zero = Signal()
        product_infinite = Signal()
        product_nan = Signal()
        m.d.sync += [
            product.eq(Cat(low[:12], low[12:] + high)),
            product_sign.eq(sign),
            product_exponent.eq(exponent),
            product_zero.eq(zero),
            product_infinite.eq(infinite),
            product_nan.eq(nan),
        ]

        # Stage 3: normalise, round and pack.
        wide = product[47]
        fraction, half, rest = Signal(23), Signal(), Signal()
        packed = Signal(signed(34))
        m.d.comb += [
            fraction.eq(Mux(wide, product[24:47], product[23:46])),
            half.eq(Mux(wide, product[23], product[22])),
            rest.eq(product[:22].any() | (wide & product[22])),
            packed.eq(
                Cat(fraction, (product_exponent + wide)[:11]).as_signed()
                + (half & (rest | fraction[0]))
            ),
        ]
        new_exponent = packed[23:].as_signed()
        m.d.sync += self.o.eq(Cat(packed[:31], product_sign))
        with m.If(product_nan):
            m.d.sync += self.o.eq(NAN_BITS)
        with m.Elif(product_infinite | ~product_zero & (new_exponent >= 0xFF)):
            m.d.sync += [self.o.exponent.eq(0xFF), self.o.fraction.eq(0)]
        with m.Elif(product_zero | (new_exponent <= 0)):
            m.d.sync += [self.o.exponent.eq(0), self.o.fraction.eq(0)]

        return m
