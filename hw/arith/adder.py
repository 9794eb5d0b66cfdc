"""Pipelined binary32 adder; its golden model is :func:`hw.arith.binary32.add`."""

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.binary32 import NAN_BITS, Binary32

__all__ = ["Adder"]

_SIGNIFICAND_BITS = 24
_GUARD_BITS = 3  # guard, round and sticky bit
_ALIGNED_BITS = _SIGNIFICAND_BITS + _GUARD_BITS


class Adder(wiring.Component):
    """Sum of two binary32 numbers, rounded to nearest, ties to even.

    Subnormal terms are read as zero; a result below 2⁻¹²⁶ is zero, of its sign; an exact
    cancellation is +0; every NaN is 0x7FC00000.

    A sum leaves :attr:`latency` cycles after its terms enter, and a pair of terms may enter every
    cycle. The unit runs freely: there is no valid and no backpressure.

    Members
    -------
    a, b : ``In(Binary32)``
        Terms.
    o : ``Out(Binary32)``
        Sum.
    """

    latency = 3  #: Cycles from terms to sum.

    a: In(Binary32)
    b: In(Binary32)
    o: Out(Binary32)

    def elaborate(self, platform):
        m = Module()

        # Stage 1: order the terms by magnitude, and align the smaller one.
        a_larger = Signal()
        large, small = Signal(Binary32), Signal(Binary32)
        distance = Signal(8)
        m.d.comb += [
            a_larger.eq(self.a.as_value()[:31] >= self.b.as_value()[:31]),
            large.eq(Mux(a_larger, self.a, self.b)),
            small.eq(Mux(a_larger, self.b, self.a)),
            distance.eq(large.exponent - small.exponent),
        ]
        significand = Mux(small.exponent.any(), Cat(small.fraction, 1), 0)
        shifted, sticky = Cat(C(0, _GUARD_BITS), significand), C(0)
        for bit in reversed(range(5)):
            previous, shifted = shifted, Signal(_ALIGNED_BITS, name=f"shifted_{1 << bit}")
            lost = Signal(name=f"lost_{1 << bit}")
            m.d.comb += [
                shifted.eq(Mux(distance[bit], previous >> (1 << bit), previous)),
                lost.eq(sticky | (distance[bit] & previous[: 1 << bit].any())),
            ]
            sticky = lost
        sign = Signal()
        opposite = Signal()
        exponent = Signal(8)
        larger_significand = Signal(_SIGNIFICAND_BITS)
        aligned = Signal(_ALIGNED_BITS)
        infinite = Signal()
        nan = Signal()
        m.d.sync += [
            sign.eq(large.sign),
            opposite.eq(large.sign ^ small.sign),
            exponent.eq(large.exponent),
            larger_significand.eq(Mux(large.exponent.any(), Cat(large.fraction, 1), 0)),
            aligned.eq(
                Mux(
                    distance[5:].any(),
                    small.exponent.any(),
                    Cat(shifted[0] | sticky, shifted[1:]),
                )
            ),
            infinite.eq(large.exponent.all()),
            nan.eq(
                large.exponent.all()
                & (large.fraction.any() | (small.exponent.all() & (large.sign ^ small.sign)))
            ),
        ]

        # Stage 2: add or subtract; the difference is never negative.
        total = Signal(_ALIGNED_BITS + 1)
        total_sign = Signal()
        total_opposite = Signal()
        total_exponent = Signal(8)
        total_infinite = Signal()
        total_nan = Signal()
        augend = Cat(C(0, _GUARD_BITS), larger_significand)
        m.d.sync += [
            total.eq(augend + (aligned ^ opposite.replicate(_ALIGNED_BITS + 1)) + opposite),
            total_sign.eq(sign),
            total_opposite.eq(opposite),
            total_exponent.eq(exponent),
            total_infinite.eq(infinite),
            total_nan.eq(nan),
        ]

        # Stage 3: normalise, round and pack. A sum whose exponent becomes 0 or less is exact.
        normalized, zeros = total, []
        for bit in reversed(range(5)):
            previous, normalized = normalized, Signal(len(total), name=f"normalized_{1 << bit}")
            empty = Signal(name=f"empty_{1 << bit}")
            m.d.comb += [
                empty.eq(~previous[-1 << bit :].any()),
                normalized.eq(Mux(empty, previous << (1 << bit), previous)),
            ]
            zeros.insert(0, empty)
        low = normalized[: _GUARD_BITS + 1]
        fraction = normalized[_GUARD_BITS + 1 : -1]
        round_up = low[-1] & (low[:-1].any() | fraction[0])
        new_exponent = Signal(signed(10))  # -30 to 256
        packed = Signal(signed(33))
        m.d.comb += [
            new_exponent.eq(total_exponent + 1 - Cat(zeros)),
            packed.eq(Cat(fraction, new_exponent).as_signed() + round_up),
        ]
        m.d.sync += self.o.eq(Cat(packed[:31], total_sign))
        with m.If(total_nan):
            m.d.sync += self.o.eq(NAN_BITS)
        with m.Elif(total_infinite | (packed[23:] >= 0xFF) & ~packed[-1]):
            m.d.sync += [self.o.exponent.eq(0xFF), self.o.fraction.eq(0)]
        with m.Elif(~normalized[-1]):
            m.d.sync += self.o.eq(Cat(C(0, 31), total_sign & ~total_opposite))
        with m.Elif(new_exponent <= 0):
            m.d.sync += [self.o.exponent.eq(0), self.o.fraction.eq(0)]

        return m
