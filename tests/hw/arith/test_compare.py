import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from hw.arith.binary32 import Binary32
from hw.arith.compare import greater, is_greater


class Compare(wiring.Component):
    a: In(Binary32)
    b: In(Binary32)
    o_greater: Out(1)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o_greater.eq(is_greater(self.a, self.b))
        return m


def check(a, b):
    dut = Compare()
    golden = greater(a.view(np.float32), b.view(np.float32)).tolist()

    async def bench(ctx):
        for x, y, want in zip(a.tolist(), b.tolist(), golden, strict=True):
            ctx.set(dut.a.as_value(), x)
            ctx.set(dut.b.as_value(), y)
            assert ctx.get(dut.o_greater) == want, f"{x:#010x} > {y:#010x}"

    simulator = Simulator(dut)
    simulator.add_testbench(bench)
    simulator.run()


def test_comparisons_of_corners_equal_the_golden_model(corner_pairs):
    check(*corner_pairs)


def test_random_comparisons_equal_the_golden_model():
    a, b = np.random.default_rng(0).integers(0, 2**32, (2, 500), dtype=np.uint32)
    b[::4] = a[::4] + np.arange(125, dtype=np.uint32) % 3 - 1
    check(a, b)


@pytest.mark.parametrize(
    ("a", "b", "want"),
    [
        (2.0, 1.0, True),
        (-1.0, -2.0, True),
        (1.0, 1.0, False),
        (0.0, -0.0, False),
        (1e-40, 0.0, False),
        (np.nan, -np.inf, False),
        (-np.inf, np.nan, True),
        (np.nan, np.nan, False),
    ],
)
def test_greater_orders_numbers_zeros_and_nans(a, b, want):
    assert greater(a, b) == want
