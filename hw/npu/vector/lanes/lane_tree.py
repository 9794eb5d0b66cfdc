"""Adder tree over the lanes of a vector unit, for one sum of each lane every few cycles."""

from amaranth.hdl import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.arith.adder import Adder
from hw.arith.binary32 import Binary32
from hw.npu.vector.lanes.fold import SerialFold

__all__ = ["LaneTree"]


class LaneTree(wiring.Component):
    """Balanced adder tree over ``lanes`` numbers, with about lanes / period adders.

    The numbers are taken in one cycle. Groups of neighbouring lanes then pass through one tree, one
    group a cycle, and their sums through a :class:`SerialFold`.

    A sum leaves :attr:`latency` cycles after its numbers were taken. Numbers may be taken a
    multiple of ``period`` cycles after the ones before, or at least :attr:`latency` cycles after.

    Parameters
    ----------
    lanes, period : int
        Numbers of a sum, and least cycles between sums; powers of two.

    Members
    -------
    i : ``In(ArrayLayout(Binary32, lanes))``
        Numbers.
    take : ``In(1)``
        Take the numbers.
    o : ``Out(Binary32)``
        Sum.

    Attributes
    ----------
    latency : int
        Cycles from numbers to sum.
    """

    def __init__(self, lanes, period):
        self._lanes = lanes
        self._groups = min(lanes, period)
        self._group_lanes = lanes // self._groups
        self._tree_latency = exact_log2(self._group_lanes) * Adder.latency
        self.latency = self.latency_of(lanes, period)
        super().__init__(
            {"i": In(data.ArrayLayout(Binary32, lanes)), "take": In(1), "o": Out(Binary32)}
        )

    @staticmethod
    def latency_of(lanes: int, period: int) -> int:
        """Return the latency of a tree, without building one."""
        groups = min(lanes, period)
        tree = exact_log2(lanes // groups) * Adder.latency
        return 1 + tree + SerialFold.latency_of(groups)

    def elaborate(self, platform):
        m = Module()

        # One group after the other leaves the register at its low end.
        waiting = Signal(32 * self._lanes, reset_less=True)
        with m.If(self.take):
            m.d.sync += waiting.eq(self.i.as_value())
        with m.Else():
            m.d.sync += waiting.eq(waiting >> (32 * self._group_lanes))

        sums = [Binary32(waiting.word_select(lane, 32)) for lane in range(self._group_lanes)]
        while len(sums) > 1:
            terms, sums = sums, []
            for a, b in zip(terms[0::2], terms[1::2], strict=True):
                m.submodules[f"adder_{len(terms) // 2}_{len(sums)}"] = adder = Adder()
                m.d.comb += [adder.a.eq(a), adder.b.eq(b)]
                sums.append(adder.o)

        m.submodules.fold = fold = SerialFold(self._groups)
        m.d.comb += [fold.i.eq(sums[0]), self.o.eq(fold.o)]
        if self._groups > 1:
            phase = Signal(range(self._groups))
            first_phase = -self._tree_latency % self._groups
            m.d.sync += phase.eq(Mux(self.take, first_phase, phase + 1))
            m.d.comb += fold.phase.eq(phase)
        return m
