"""Chunk of a column of the systolic array: some processing elements and the tree below them."""

from amaranth.hdl import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.arith.adder import Adder
from hw.arith.bf16 import BF16
from hw.arith.binary32 import Binary32
from hw.npu.matrix.processing_element import ProcessingElement
from hw.repeated import repeated

__all__ = ["ColumnChunk"]


@repeated
class ColumnChunk(wiring.Component):
    """Dot product of stationary weights and passing activations, summed in a balanced tree.

    Neighbouring products are summed first, so that the result is that of :func:`hw.arith.dot.dot`.

    A result leaves :attr:`latency` cycles after its activations, which may enter every cycle.
    The unit runs freely: there is no valid and no backpressure.

    Parameters
    ----------
    rows : int
        Processing elements, a power of two.

    Attributes
    ----------
    latency : int
        Cycles from activations to result.

    Members
    -------
    activations : ``In(ArrayLayout(BF16, rows))``
        One activation a processing element.
    swap : ``In(1)``
        From these activations on, the shadow weights are used.
    load : ``In(rows)``
        Which processing elements replace their shadow weight.
    weight : ``In(BF16)``
        The new shadow weight.
    o : ``Out(Binary32)``
        Dot product.
    """

    def __init__(self, rows: int):
        self._rows = rows
        self.latency = self.latency_of(rows)
        super().__init__(
            {
                "activations": In(data.ArrayLayout(BF16, rows)),
                "swap": In(1),
                "load": In(rows),
                "weight": In(BF16),
                "o": Out(Binary32),
            }
        )

    @staticmethod
    def latency_of(rows: int) -> int:
        """Return the latency of a chunk of so many rows, without building one."""
        return ProcessingElement.latency + exact_log2(rows) * Adder.latency

    def elaborate(self, platform):
        m = Module()

        level = []
        for row in range(self._rows):
            m.submodules[f"processing_element_{row}"] = element = ProcessingElement()
            m.d.comb += [
                element.activation.eq(self.activations[row]),
                element.swap.eq(self.swap),
                element.load.eq(self.load[row]),
                element.weight.eq(self.weight),
            ]
            level.append(element.o)

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
