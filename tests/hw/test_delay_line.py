# amaranth: UnusedElaboratable=no
import pytest
from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.delay_line import DelayRing, delayed


class Registers(wiring.Component):
    i: In(8)
    o: Out(8)

    def __init__(self, cycles):
        super().__init__()
        self._cycles = cycles

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(delayed(m, self.i, self._cycles, "stage"))
        return m


@pytest.mark.parametrize(
    ("dut", "cycles"),
    [(Registers(1), 1), (Registers(3), 3), (DelayRing(8, 2), 2), (DelayRing(8, 7), 7)],
)
def test_word_leaves_after_its_delay(simulate, dut, cycles):
    words = [(37 * n + 5) % 256 for n in range(30)]

    async def bench(ctx):
        for n, word in enumerate(words):
            ctx.set(dut.i, word)
            if n >= cycles:
                assert ctx.get(dut.o) == words[n - cycles], f"cycle {n}"
            await ctx.tick()

    simulate(dut, bench)


def test_delay_of_0_is_the_value_itself():
    value = Signal(4)
    assert delayed(Module(), value, 0, "stage") is value


def test_ring_delays_at_least_2_cycles():
    with pytest.raises(ValueError, match=r"^cycles must be at least 2, not 1$"):
        DelayRing(8, 1)
