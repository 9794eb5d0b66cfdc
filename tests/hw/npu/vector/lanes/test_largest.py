import numpy as np
import pytest

from hw.npu.vector.golden import argmax
from hw.npu.vector.lanes.largest import Largest


def rows(seed, lanes):
    """Rows of several lengths, with equal elements, infinities and NaNs."""
    rng = np.random.default_rng(seed)
    for length in (1, lanes, lanes + 1, 3 * lanes, 5 * lanes - 1):
        row = rng.integers(-3, 4, length).astype(np.float32)
        row[rng.random(length) < 0.2] = np.nan
        row[rng.random(length) < 0.1] = -np.inf
        yield row
    yield np.full(2 * lanes, np.nan, np.float32)


@pytest.mark.parametrize("lanes", [1, 2, 8])
def test_rows_that_follow_each_other_give_their_largest_elements(simulate, lanes):
    dut = Largest(lanes, 16)
    wanted, ready, cycle = [], {}, 0
    for row in rows(lanes, lanes):
        cycle += -(-len(row) // lanes)
        ready[cycle - 1 + dut.latency] = len(wanted)
        wanted.append((row, int(argmax(row))))
    found = {}

    async def drive(ctx):
        for row, _ in wanted:
            for start in range(0, len(row), lanes):
                part = row[start : start + lanes]
                for lane, number in enumerate(part.view(np.uint32)):
                    ctx.set(dut.i[lane].as_value(), int(number))
                ctx.set(dut.live, (1 << len(part)) - 1)
                ctx.set(dut.first, start == 0)
                await ctx.tick()
        ctx.set(dut.live, 0)
        await ctx.tick().repeat(dut.latency + 2)

    async def watch(ctx):
        cycle = 0
        async for _clock, _reset, value, index in ctx.tick().sample(
            dut.value.as_value(), dut.index
        ):
            if cycle in ready:
                found[ready[cycle]] = value, index
            cycle += 1

    simulate(dut, drive, background=[watch])
    for number, (row, place) in enumerate(wanted):
        assert found[number] == (int(row[place].view(np.uint32)), place), row
