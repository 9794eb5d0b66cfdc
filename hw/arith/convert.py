"""Conversions between bfloat16 and binary32; golden models in :mod:`hw.arith.bf16`."""

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.bf16 import BF16
from hw.arith.binary32 import Binary32
from hw.repeated import repeated

__all__ = ["ToBF16", "narrow", "widen"]


def widen(number):
    """Return a :class:`BF16` view as a :class:`Binary32` one; golden model ``bf16.from_bits``."""
    nan = number.exponent.all() & number.fraction.any()
    fraction = Mux(nan, 0x40, number.fraction & number.exponent.any().replicate(7))
    sign = number.sign & ~nan
    return Binary32(Cat(C(0, 16), fraction[:7], number.exponent, sign))


def narrow(number):
    """Return a :class:`Binary32` view rounded to a :class:`BF16` one, a 15-bit incrementer deep.

    The golden model is ``bf16.to_bits``.
    """
    bits = number.as_value()
    nan = number.exponent.all() & number.fraction.any()
    round_up = bits[15] & (bits[:15].any() | bits[16])
    rounded = Mux(number.exponent.any(), (bits[16:31] + round_up)[:15], 0)
    return BF16(Mux(nan, 0x7FC0, Cat(rounded, number.sign)))


@repeated
class ToBF16(wiring.Component):
    """A binary32 number rounded to bfloat16, to nearest, ties to even.

    Subnormal numbers become zero, of their sign, and every NaN becomes 0x7FC0.

    A result leaves :attr:`latency` cycles after its argument enters, and one may enter every
    cycle. The unit runs freely: no valid, no backpressure, no reset.

    Members
    -------
    a : ``In(Binary32)``
        Argument.
    o : ``Out(BF16)``
        Result.
    """

    latency = 1  #: Cycles from argument to result.

    a: In(Binary32)
    o: Out(BF16)

    def elaborate(self, platform):
        m = Module()
        result = Signal(BF16, reset_less=True)
        m.d.sync += result.eq(narrow(self.a))
        m.d.comb += self.o.eq(result)
        return m
