"""Simulate one module under pytest: ``pytest docs/examples/simulate_module.py``.

The binary32 adder, against NumPy's sum, at its latency and not a cycle sooner.
"""

from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.arith.adder import Adder
from hw.arith.binary32 import Binary32


def bits(number: float) -> int:
    """Return a number as the bits of a binary32."""
    return int(np.float32(number).view(np.uint32))


@pytest.mark.parametrize(("a", "b"), [(1.5, -0.25), (1e30, 1.0), (3.0, -3.0)])
def test_sum_leaves_after_the_latency(a: float, b: float) -> None:
    """A sum is there ``Adder.latency`` cycles after its terms, the one before it until then."""
    adder = Adder()

    async def bench(ctx: Any) -> None:
        await ctx.tick().repeat(Adder.latency)
        ctx.set(adder.a, Binary32.from_bits(bits(a)))
        ctx.set(adder.b, Binary32.from_bits(bits(b)))
        await ctx.tick().repeat(Adder.latency - 1)
        assert ctx.get(adder.o).as_bits() == 0
        await ctx.tick()
        assert ctx.get(adder.o).as_bits() == bits(np.float32(a) + np.float32(b))

    simulator = Simulator(adder)
    simulator.add_clock(1e-9)
    simulator.add_testbench(bench)
    simulator.run()


if __name__ == "__main__":
    test_sum_leaves_after_the_latency(1.5, -0.25)
    print(f"1.5 - 0.25 leaves the adder after {Adder.latency} cycles")
