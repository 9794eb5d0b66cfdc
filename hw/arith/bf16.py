"""bfloat16, and its conversions from and to binary32."""

import numpy as np
import numpy.typing as npt
from amaranth.hdl import unsigned
from amaranth.lib import data

from hw.arith.binary32 import canonical, flush

__all__ = ["BF16", "from_bits", "round", "to_bits"]


class BF16(data.Struct):
    """A bfloat16 number: the upper half of a binary32. With exponent 0 it is zero."""

    fraction: unsigned(7)
    exponent: unsigned(8)
    sign: unsigned(1)


def to_bits(x: npt.ArrayLike) -> npt.NDArray[np.uint16]:
    """Round binary32 numbers to bfloat16, to nearest, ties to even.

    Subnormal numbers become zero of their sign, and every NaN becomes 0x7FC0.

    >>> [hex(bits) for bits in to_bits([1.0, -1.00390625, 3.4e38, 1e-40, float("nan")])]
    ['0x3f80', '0xbf80', '0x7f80', '0x0', '0x7fc0']
    """
    bits = canonical(flush(x)).view(np.uint32)
    rounded = bits >> 16
    rounded &= 1
    rounded += bits
    rounded += 0x7FFF
    rounded >>= 16
    return rounded.astype(np.uint16)


def from_bits(bits: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Widen bfloat16 numbers to binary32, which is exact.

    Subnormal numbers are read as zero of their sign, and every NaN as 0x7FC00000.

    >>> from_bits([0x3FC0, 0x8001]).tolist()
    [1.5, -0.0]
    """
    wide = np.asarray(bits, np.uint16).astype(np.uint32)
    wide <<= 16
    return canonical(flush(wide.view(np.float32)))


def round(x: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Round binary32 numbers to the nearest bfloat16, carried as binary32."""
    return from_bits(to_bits(x))
