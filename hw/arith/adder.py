"""Pipelined binary32 adder; its golden model is :func:`hw.arith.binary32.add`."""

from amaranth.hdl import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.binary32 import NAN_BITS, Binary32
from hw.repeated import repeated

__all__ = ["Adder"]

_SIGNIFICAND_BITS = 24
_GUARD_BITS = 3  # guard, round and sticky bit
_ALIGNED_BITS = _SIGNIFICAND_BITS + _GUARD_BITS


class _Rest(data.Struct):
    """What is known of a sum beside its significand."""

    exponent: unsigned(8)
    sign: unsigned(1)
    opposite: unsigned(1)
    infinite: unsigned(1)
    nan: unsigned(1)


@repeated
class Adder(wiring.Component):
    """Sum of two binary32 numbers, rounded to nearest, ties to even.

    Subnormal terms are read as zero; a result below 2⁻¹²⁶ is zero, of its sign; an exact
    cancellation is +0; every NaN is 0x7FC00000.

    A sum leaves :attr:`latency` cycles after its terms enter, and a pair of terms may enter every
    cycle. The unit runs freely: no valid, no backpressure, no reset.

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
        opposite = Signal()
        distance = Signal(8)
        significand = Signal(_ALIGNED_BITS)
        shifted = Signal(_ALIGNED_BITS)
        lost = Signal(_ALIGNED_BITS)
        m.d.comb += [
            a_larger.eq(self.a.as_value()[:31] >= self.b.as_value()[:31]),
            large.eq(Mux(a_larger, self.a, self.b)),
            small.eq(Mux(a_larger, self.b, self.a)),
            opposite.eq(large.sign ^ small.sign),
            distance.eq(large.exponent - small.exponent),
            significand.eq(Mux(small.exponent.any(), Cat(C(0, _GUARD_BITS), small.fraction, 1), 0)),
            shifted.eq(significand >> distance[:5]),
            lost.eq(significand & (C(0x7FFFFFFF, 31) >> ~distance[:5])),  # the bits shifted out
        ]
        rest = Signal(_Rest, reset_less=True)
        augend = Signal(_SIGNIFICAND_BITS, reset_less=True)
        aligned = Signal(_ALIGNED_BITS, reset_less=True)
        m.d.sync += [
            rest.sign.eq(large.sign),
            rest.opposite.eq(opposite),
            rest.exponent.eq(large.exponent),
            rest.infinite.eq(large.exponent.all()),
            rest.nan.eq(
                large.exponent.all() & (large.fraction.any() | (small.exponent.all() & opposite))
            ),
            augend.eq(Mux(large.exponent.any(), Cat(large.fraction, 1), 0)),
            aligned.eq(
                Mux(
                    distance[5:].any(),
                    small.exponent.any(),
                    Cat(shifted[0] | lost.any(), shifted[1:]),
                )
            ),
        ]

        # Stage 2: add or subtract; the difference is never negative.
        total = Signal(_ALIGNED_BITS + 1, reset_less=True)
        total_rest = Signal(_Rest, reset_less=True)
        addend = aligned ^ rest.opposite.replicate(len(total))
        m.d.sync += [
            total.eq(Cat(C(0, _GUARD_BITS), augend) + addend + rest.opposite),
            total_rest.eq(rest),
        ]

        # Stage 3: normalise, round and pack. A sum whose exponent becomes 0 or less is exact.
        normalized, zeros = total, []
        for shift in (16, 8, 4, 2, 1):
            previous, normalized = normalized, Signal(len(total), name=f"normalized_{shift}")
            empty = Signal(name=f"empty_{shift}")
            m.d.comb += [
                empty.eq(~previous[-shift:].any()),
                normalized.eq(Mux(empty, Cat(C(0, shift), previous[:-shift]), previous)),
            ]
            zeros.insert(0, empty)
        guard, fraction = normalized[: _GUARD_BITS + 1], normalized[_GUARD_BITS + 1 : -1]
        round_up = guard[-1] & (guard[:-1].any() | fraction[0])
        exponent = Signal(signed(10))  # -30 to 255
        packed = Signal(31)  # rounding 254 up to the exponent 255 leaves the fraction 0: infinity
        result = Signal(Binary32, reset_less=True)
        m.d.comb += [
            exponent.eq(total_rest.exponent + 1 - Cat(zeros)),
            packed.eq(Cat(fraction, exponent[:8]) + round_up),
            self.o.eq(result),
        ]
        m.d.sync += result.eq(Cat(packed, total_rest.sign))
        with m.If(total_rest.nan):
            m.d.sync += result.eq(NAN_BITS)
        with m.Elif(total_rest.infinite | (exponent >= 0xFF)):
            m.d.sync += result.eq(Cat(C(0, 23), C(0xFF, 8), total_rest.sign))
        with m.Elif(~normalized[-1]):
            m.d.sync += result.eq(Cat(C(0, 31), total_rest.sign & ~total_rest.opposite))
        with m.Elif(exponent <= 0):
            m.d.sync += result.eq(Cat(C(0, 31), total_rest.sign))

        return m
