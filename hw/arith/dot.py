"""Dot product of bfloat16 vectors in binary32: exact products, summed in a balanced tree."""

import numpy as np
import numpy.typing as npt
from amaranth.hdl import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.adder import Adder
from hw.arith.bf16 import BF16
from hw.arith.binary32 import Binary32, multiply, tree_sum
from hw.arith.multiplier import ProductBF16

__all__ = ["Dot", "dot"]


def dot(
    a: npt.ArrayLike, b: npt.ArrayLike, axis: int = -1, *, zero_b: bool = False
) -> npt.NDArray[np.float32]:
    """Dot product along an axis, as :class:`Dot` computes it.

    Parameters
    ----------
    a, b
        bfloat16 numbers carried as binary32; their shapes are broadcast.
    axis
        The axis to sum over; its length is a power of two.
    zero_b
        Whether a product is +0 where ``b`` is ±0, even if ``a`` is infinite or a NaN.

    Returns
    -------
    binary32 numbers, of the broadcast shape without ``axis``.

    >>> dot([1.0, 2.0, 3.0, 4.0], [0.5, 0.5, 0.5, 0.5]).item()
    5.0
    """
    products = multiply(a, b)
    if zero_b:
        zero = np.abs(np.asarray(b, np.float32)) < 2.0**-126
        if zero.any():
            products = np.where(zero, np.float32(0), products)
    return tree_sum(products, axis)


class Dot(wiring.Component):
    """Dot product of two bfloat16 vectors: exact products, a balanced tree of binary32 adders.

    Neighbours are summed first, (x0 + x1) + (x2 + x3); a single lane is just the product.

    A result leaves :attr:`latency` cycles after its vectors enter, and a pair of vectors may enter
    every cycle. The unit runs freely: no valid, no backpressure, no reset.

    Parameters
    ----------
    lanes : int
        Elements of a vector, a power of two.
    zero_b : bool
        Whether a product is +0 where ``b`` is ±0, even if ``a`` is infinite or a NaN.

    Attributes
    ----------
    latency : int
        Cycles from vectors to result: a product, then an adder a level of the tree.

    Members
    -------
    a, b : ``In(ArrayLayout(BF16, lanes))``
        Vectors.
    o : ``Out(Binary32)``
        Their dot product.

    Raises
    ------
    ValueError
        If ``lanes`` is not a power of two.
    """

    def __init__(self, lanes, *, zero_b=False):
        self.latency = self.latency_of(lanes)
        self._zero_b = zero_b
        vector = data.ArrayLayout(BF16, lanes)
        super().__init__({"a": In(vector), "b": In(vector), "o": Out(Binary32)})

    @staticmethod
    def latency_of(lanes):
        """Return the latency of a unit of so many lanes, without building one."""
        if not isinstance(lanes, int) or lanes < 1 or lanes & (lanes - 1):
            raise ValueError(f"lanes must be a power of two, not {lanes!r}")
        return ProductBF16.latency + (lanes.bit_length() - 1) * Adder.latency

    def elaborate(self, platform):
        m = Module()

        level = []
        for lane, (a, b) in enumerate(zip(self.a, self.b, strict=True)):
            m.submodules[f"product_{lane}"] = product = ProductBF16(zero_b=self._zero_b)
            m.d.comb += [product.a.eq(a), product.b.eq(b)]
            level.append(product.o)

        depth = 0
        while len(level) > 1:
            sums = []
            for index, (a, b) in enumerate(zip(level[0::2], level[1::2], strict=True)):
                m.submodules[f"adder_{depth}_{index}"] = adder = Adder()
                m.d.comb += [adder.a.eq(a), adder.b.eq(b)]
                sums.append(adder.o)
            level, depth = sums, depth + 1
        m.d.comb += self.o.eq(level[0])

        return m
