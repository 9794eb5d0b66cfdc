"""Fixed delays: registers for control bits, a ring of memory words for wide data."""

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

__all__ = ["DelayRing", "delayed"]


def delayed(m, value, cycles, name):
    """Delay a value by registers, which a reset clears.

    Parameters
    ----------
    m
        Where the registers go.
    value
        Of any shape.
    cycles
        Delay; 0 gives the value itself.
    name
        Of the registers; a number is added.

    Returns
    -------
    The delayed value, of the same shape.
    """
    for stage in range(cycles):
        register = Signal.like(value, name=f"{name}_{stage + 1}")
        m.d.sync += register.eq(value)
        value = register
    return value


class DelayRing(wiring.Component):
    """Wide words, a fixed number of cycles later.

    One word a cycle, no backpressure. What comes out in the first ``cycles`` cycles is not
    specified: a valid bit must travel beside it, through :func:`delayed`.

    Parameters
    ----------
    width
        Of a word, in bits.
    cycles
        Delay, at least 2: one register at the output, the rest words of a memory.

    Members
    -------
    i : ``In(width)``
        Word.
    o : ``Out(width)``
        The word of ``cycles`` cycles ago.

    Raises
    ------
    ValueError
        If the delay is below 2 cycles.
    """

    def __init__(self, width: int, cycles: int):
        if cycles < 2:
            raise ValueError(f"cycles must be at least 2, not {cycles!r}")
        self._depth = cycles - 1
        super().__init__({"i": In(width), "o": Out(width)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.words = words = Memory(shape=self.i.shape(), depth=self._depth, init=[])
        write_port = words.write_port()
        read_port = words.read_port()

        # A word is read in the cycle in which its place is written again.
        place = Signal(range(self._depth))
        m.d.sync += place.eq(Mux(place == self._depth - 1, 0, place + 1))
        m.d.comb += [
            write_port.addr.eq(place),
            write_port.data.eq(self.i),
            write_port.en.eq(1),
            read_port.addr.eq(place),
            self.o.eq(read_port.data),
        ]
        return m
