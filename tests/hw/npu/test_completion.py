"""Tests of joined and timed completions."""

import numpy as np
import pytest

from hw.npu.completion import AllReduce, Join


def run_join(simulate, dut, starts, pulses, cycles):
    """Return the cycles in which the output pulses."""
    seen = []

    async def testbench(ctx):
        for cycle in range(cycles):
            ctx.set(dut.start, cycle in starts)
            ctx.set(dut.named, starts.get(cycle, 0))
            ctx.set(dut.i, pulses.get(cycle, 0))
            if ctx.get(dut.o):
                seen.append(cycle)
            await ctx.tick()

    simulate(dut, testbench, deadline=cycles + 10)
    return seen


def test_join_follows_the_last_lane_by_a_cycle_and_counts(simulate):
    pulses = dict(enumerate([0b001, 0b011, 0b010, 0b100, 0, 0b100, 0, 0b111], 10))
    starts = dict.fromkeys(range(3), 0b111)
    assert run_join(simulate, Join(3, 8), starts, pulses, 30) == [14, 16, 18]


def test_join_asks_only_the_lanes_that_are_named_but_in_order(simulate):
    # lane 2 is through with the second and the third before lane 0 is with the first
    starts = {0: 0b001, 1: 0b100, 2: 0b110, 3: 0b001}
    pulses = {10: 0b100, 12: 0b110, 20: 0b001, 25: 0b001}
    assert run_join(simulate, Join(3, 8), starts, pulses, 40) == [21, 22, 23, 26]


def test_what_names_no_lane_is_joined_at_once_but_in_order(simulate):
    starts = {0: 0, 5: 0b010, 6: 0}
    assert run_join(simulate, Join(3, 8), starts, {20: 0b010}, 40) == [2, 21, 22]


@pytest.mark.parametrize("seed", range(3))
def test_join_equals_a_count_by_lanes(simulate, seed):
    rng = np.random.default_rng(seed)
    starts = {2 * n: int(rng.integers(0, 16)) for n in range(12)}
    ends, pulses, free = [], {}, [0] * 4
    for start, named in starts.items():
        last = start
        for lane in range(4):
            if named >> lane & 1:
                free[lane] = last_of_lane = max(free[lane] + 1, start + 3 + int(rng.integers(30)))
                pulses[last_of_lane] = pulses.get(last_of_lane, 0) | 1 << lane
                last = max(last, last_of_lane)
        ends.append(max(last + 1 + (named == 0), ends[-1] + 1 if ends else 0))
    assert run_join(simulate, Join(4, 12), starts, pulses, 300) == ends


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
