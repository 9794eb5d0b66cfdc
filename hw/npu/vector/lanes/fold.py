"""Serial adder tree: numbers that come one a cycle, summed in a balanced tree by one adder."""

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.adder import Adder
from hw.arith.binary32 import Binary32

__all__ = ["SerialFold"]


class SerialFold(wiring.Component):
    """Balanced adder tree over groups of ``width`` consecutive numbers.

    A group may follow the one before it at once or after a multiple of ``width`` cycles; at any
    other distance only after :attr:`latency` cycles. The level l of the tree, of which a group has
    width / 2^l sums, uses the adder in one of 2^l cycles.

    A sum is on ``o`` for one cycle, :attr:`latency` cycles after the first number of its group was
    on ``i``. There is no valid and no backpressure.

    Parameters
    ----------
    width : int
        Numbers of a group, a power of two.

    Members
    -------
    i : ``In(Binary32)``
        Numbers.
    phase : ``In(range(width))``
        Place in its group of the number on ``i``, counted on modulo ``width`` after a group.
    o : ``Out(Binary32)``
        Sums.

    Attributes
    ----------
    latency : int
        Cycles from the first number of a group to its sum.

    Raises
    ------
    ValueError
        If ``width`` is not a power of two.
    """

    def __init__(self, width):
        if width < 1 or width & (width - 1):
            raise ValueError(f"width must be a power of two, not {width!r}")
        self._width = width
        self._starts = _starts(width)
        self.latency = self.latency_of(width)
        super().__init__({"i": In(Binary32), "phase": In(range(width)), "o": Out(Binary32)})

    @staticmethod
    def latency_of(width: int) -> int:
        """Return the latency of a unit of a width, without building one."""
        return 0 if width == 1 else _starts(width)[-1] + Adder.latency

    def elaborate(self, platform):
        m = Module()
        if self._width == 1:
            m.d.comb += self.o.eq(self.i)
            return m

        m.submodules.adder = adder = Adder()
        previous = Signal(Binary32, reset_less=True)
        m.d.sync += previous.eq(self.i)
        m.d.comb += [adder.a.eq(previous), adder.b.eq(self.i), self.o.eq(adder.o)]

        # What the adder gave 0, 1, 2, ... cycles ago.
        earlier = [adder.o]
        available = self._starts[0] + Adder.latency
        for level, start in enumerate(self._starts[1:], 2):
            while len(earlier) <= start - available:
                number = Signal(Binary32, reset_less=True, name=f"earlier_{len(earlier)}")
                m.d.sync += number.eq(earlier[-1])
                earlier.append(number)
            with m.If(self.phase[:level] == start % (1 << level)):
                m.d.comb += [
                    adder.a.eq(earlier[start - available]),
                    adder.b.eq(earlier[start - available - (1 << (level - 1))]),
                ]
            available = start + Adder.latency
        return m


def _starts(width: int) -> list[int]:
    """Return the cycle in which each level first uses the adder, from the first number on.

    >>> _starts(8)
    [1, 6, 16]
    """
    starts: list[int] = []
    ready = 1  # of the second number
    for level in range(1, width.bit_length()):
        taken = {(1 << i, start % (1 << i)) for i, start in enumerate(starts, 1)}
        while any(ready % period == residue for period, residue in taken):
            ready += 1
        starts.append(ready)
        ready += (1 << level) + Adder.latency
    return starts
