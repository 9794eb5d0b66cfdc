"""Fixtures of the arithmetic tests: corner values, and streams through a pipelined unit."""

import numpy as np
import pytest
from amaranth.hdl import Value

#: Zero, subnormal, least normal, round to even, largest, infinite, NaN; 2⁻²⁴, 2²⁴ and 2⁻⁶⁴.
MAGNITUDES = (
    *(0, 1, 0x007FFFFF, 0x00800000, 0x00800001, 0x00FFFFFF, 0x3F7FFFFF, 0x3F800000, 0x3F800001),
    *(0x33800000, 0x4B7FFFFF, 0x4B800000, 0x1F800000, 0x7F7FFFFF, 0x7F800000, 0x7F800001),
    *(0x7FC00000, 0x7FFFFFFF, 0x3FFFFFFF, 0x40490FDB),
)


@pytest.fixture
def corners():
    """Bits of binary32 numbers at which something special happens, of either sign."""
    return np.array([sign << 31 | bits for sign in (0, 1) for bits in MAGNITUDES], np.uint32)


@pytest.fixture
def corner_pairs(corners):
    """All pairs of corners, as two arrays."""
    return np.repeat(corners, len(corners)), np.tile(corners, len(corners))


@pytest.fixture
def stream(simulate):
    """Send one argument a cycle through a unit; return the outputs, one a cycle, from the first."""

    def run(dut, **inputs):
        length = len(next(iter(inputs.values())))
        outputs = []

        async def bench(ctx):
            for cycle in range(length + dut.latency):
                if cycle >= dut.latency:
                    outputs.append(ctx.get(dut.o.as_value()))
                for name, values in inputs.items():
                    if cycle < length:
                        ctx.set(Value.cast(getattr(dut, name)), int(values[cycle]))
                await ctx.tick()

        simulate(dut, bench)
        return np.array(outputs)

    return run


@pytest.fixture
def measure_latency(simulate):
    """Return the cycles from an argument, present for one cycle, to its output."""

    def run(dut, **inputs):
        seen = []

        async def bench(ctx):
            await ctx.tick().repeat(40)
            before = ctx.get(dut.o.as_value())
            for name, value in inputs.items():
                ctx.set(getattr(dut, name).as_value(), value)
            for cycle in range(60):
                if ctx.get(dut.o.as_value()) != before:
                    seen.append(cycle)
                await ctx.tick()
                for name in inputs:
                    ctx.set(getattr(dut, name).as_value(), 0)

        simulate(dut, bench)
        assert len(seen) == 1, "one argument, one output"
        return seen[0]

    return run
