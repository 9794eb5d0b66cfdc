from hw.die.result_driver import ResultDriver
from hw.presets import PAPER, TINY


def takes(simulate, config, keeps, cycles):
    """Return the cycles in which results were taken, and the places that they came from."""
    dut = ResultDriver(config)
    kept, taken = [], []

    async def bench(ctx):
        for cycle in range(cycles):
            ctx.set(dut.keep, cycle in keeps)
            if ctx.get(dut.keep):
                kept.append(ctx.get(dut.keep_place))
            if ctx.get(dut.take):
                taken.append((cycle, ctx.get(dut.take_place)))
            await ctx.tick()

    simulate(dut, bench)
    assert [place for _cycle, place in taken] == kept
    return [cycle for cycle, _place in taken]


def test_result_is_taken_at_once_if_the_bus_is_free(simulate):
    assert takes(simulate, TINY, [3, 8], 20) == [3, 8]


def test_results_of_one_rank_follow_without_a_gap(simulate):
    assert takes(simulate, TINY, [3, 5, 7], 20) == [3, 5, 7]


def test_results_of_several_ranks_keep_the_turn_around(simulate):
    config = PAPER.replace(slots=4)
    assert takes(simulate, config, [3, 5, 7, 9, 40], 60) == [3, 9, 15, 21, 40]


def test_positions_count_the_cycles_of_a_result(simulate):
    dut = ResultDriver(PAPER)
    positions = []

    async def bench(ctx):
        ctx.set(dut.keep, 1)
        await ctx.tick()
        ctx.set(dut.keep, 0)
        while ctx.get(dut.drive):
            positions.append(ctx.get(dut.position))
            await ctx.tick()

    simulate(dut, bench)
    assert positions == [0, 1, 2, 3, 4, 5]
