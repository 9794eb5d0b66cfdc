"""Tests of joined and timed completions."""

import pytest

from hw.npu.completion import AllReduce, Join


def test_join_follows_the_last_lane_by_a_cycle_and_counts(simulate):
    dut = Join(3, 8)
    pulses = [0b001, 0b011, 0b010, 0b100, 0b000, 0b100, 0b000, 0b111, 0b000]
    seen = []

    async def testbench(ctx):
        for pulse in pulses:
            ctx.set(dut.i, pulse)
            seen.append(ctx.get(dut.o))
            await ctx.tick()

    simulate(dut, testbench, deadline=50)
    assert seen == [0, 0, 0, 0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize(("cycles", "expected"), [(0, 1), (1, 1), (2, 2), (37, 37)])
def test_all_reduce_takes_its_cycles(simulate, cycles, expected):
    dut = AllReduce()

    async def testbench(ctx):
        ctx.set(dut.i.payload.cycles, cycles)
        ctx.set(dut.i.valid, 1)
        assert ctx.get(dut.i.ready)
        await ctx.tick()
        for _ in range(1, expected):
            assert not ctx.get(dut.done)
            assert not ctx.get(dut.i.ready)
            await ctx.tick()
        assert ctx.get(dut.done)
        await ctx.tick()
        assert ctx.get(dut.i.ready)
        assert not ctx.get(dut.done)

    simulate(dut, testbench, deadline=50)
