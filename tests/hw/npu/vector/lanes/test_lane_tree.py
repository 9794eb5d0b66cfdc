import numpy as np
import pytest

from hw.arith.binary32 import tree_sum
from hw.npu.vector.lanes.lane_tree import LaneTree


@pytest.mark.parametrize(("lanes", "period"), [(1, 4), (2, 4), (4, 4), (16, 4), (16, 8)])
def test_lanes_are_summed_in_a_balanced_tree_every_period(simulate, lanes, period):
    dut = LaneTree(lanes, period)
    rows = np.random.default_rng(lanes).standard_normal((6, lanes)).astype(np.float32)
    sums = []

    async def drive(ctx):
        for row in rows:
            ctx.set(dut.i.as_value(), int.from_bytes(row.tobytes(), "little"))
            ctx.set(dut.take, 1)
            await ctx.tick()
            ctx.set(dut.take, 0)
            await ctx.tick().repeat(period - 1)

    async def check(ctx):
        await ctx.tick().repeat(dut.latency)
        for _row in rows:
            sums.append(ctx.get(dut.o.as_value()))
            await ctx.tick().repeat(period)

    simulate(dut, drive, check)
    assert (np.array(sums, np.uint32).view(np.float32) == tree_sum(rows)).all()
