# amaranth: UnusedElaboratable=no
import numpy as np
import pytest

from hw.arith.binary32 import tree_sum
from hw.npu.vector.lanes.fold import SerialFold


def fold(simulate, width, groups, pauses):
    dut = SerialFold(width)
    sums = []

    async def drive(ctx):
        for group, pause in zip(groups, [*pauses[:-1], dut.latency], strict=True):
            for phase, number in enumerate(group):
                ctx.set(dut.i.as_value(), int(number.view(np.uint32)))
                ctx.set(dut.phase, phase)
                await ctx.tick()
            for cycle in range(pause):
                ctx.set(dut.phase, cycle % width)
                await ctx.tick()

    async def check(ctx):
        await ctx.tick().repeat(dut.latency)
        for pause in pauses:
            sums.append(ctx.get(dut.o.as_value()))
            await ctx.tick().repeat(width + pause)

    simulate(dut, drive, check)
    return np.array(sums, np.uint32).view(np.float32)


@pytest.mark.parametrize("width", [2, 4, 8, 16])
def test_groups_without_a_pause_are_summed_in_a_balanced_tree(simulate, width):
    groups = np.random.default_rng(width).standard_normal((12, width)).astype(np.float32)

    sums = fold(simulate, width, groups, [0] * len(groups))

    assert (sums == tree_sum(groups)).all()


@pytest.mark.parametrize("width", [2, 4, 8])
def test_groups_may_pause_for_a_multiple_of_their_width(simulate, width):
    groups = np.random.default_rng(width).standard_normal((6, width)).astype(np.float32)

    sums = fold(simulate, width, groups, [width, 0, 3 * width, 2 * width, 0, 0])

    assert (sums == tree_sum(groups)).all()


def test_groups_may_follow_at_any_distance_of_at_least_the_latency(simulate):
    groups = np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32)
    latency = SerialFold.latency_of(4)

    sums = fold(simulate, 4, groups, [latency - 4, latency - 3, latency - 2, latency - 1])

    assert (sums == tree_sum(groups)).all()


def test_width_that_is_no_power_of_two_is_rejected():
    with pytest.raises(ValueError, match=r"^width must be a power of two, not 6$"):
        SerialFold(6)
