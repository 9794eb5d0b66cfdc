"""When refreshes start, rank by rank; deadlines are the monitor's and the controller tests'."""

from dataclasses import replace

import pytest

from hw.controller.refresh import Refresh, longest_tile, refreshes_at_once
from hw.presets import PAPER, TINY

CONFIG = TINY.replace(
    ranks=2, postpone=4, timing=replace(TINY.memory.timing, nREFI=400, nRFC=60), name="two ranks"
)


def run(simulate, cycles, quiet, tile_runs=lambda _cycle: 0):
    """Return the cycle and rank of every REF; commands may issue every second cycle."""
    dut = Refresh(CONFIG)
    found = []

    async def bench(ctx):
        last = [-1000, -1000]
        for cycle in range(cycles):
            ctx.set(dut.quiet, quiet(cycle))
            ctx.set(dut.tile_runs, tile_runs(cycle))
            ready = sum(
                (cycle - last[rank] >= CONFIG.memory.timing.nRFC) << rank for rank in range(2)
            )
            ctx.set(dut.may_ref, ready)
            wanted = ctx.get(dut.ref)
            issues = wanted and cycle % 2
            ctx.set(dut.issue, issues)
            if issues:
                assert not tile_runs(cycle)
                assert ctx.get(dut.closing)
                rank = ctx.get(dut.rank)
                last[rank] = cycle
                found.append((cycle, rank))
            assert not (ctx.get(dut.fits) and ctx.get(dut.closing))
            await ctx.tick()

    simulate(dut, bench)
    return found


def test_two_that_are_due_interrupt_work_together(simulate):
    found = run(simulate, 1000, lambda _cycle: 0)
    assert [rank for _cycle, rank in found] == [0, 1, 0, 1]
    assert 800 <= found[0][0] < 810
    assert found[2][0] - found[0][0] == CONFIG.memory.timing.nRFC


def test_one_that_is_due_comes_when_nothing_is_pending(simulate):
    found = run(simulate, 560, lambda cycle: cycle == 500)
    assert [rank for _cycle, rank in found] == [0, 1]
    assert 500 <= found[0][0] < 510


def test_rest_pulls_in_as_many_as_may_be(simulate):
    found = run(simulate, 1100, lambda _cycle: 1)
    cycles = [cycle for cycle, rank in found if rank == 1]
    due = [400 * (number + 1) for number in range(len(cycles))]
    assert cycles[0] > CONFIG.memory.timing.nRFC
    assert max(d - c for d, c in zip(due, cycles, strict=True)) <= CONFIG.controller.postpone * 400
    assert len(cycles) == CONFIG.controller.postpone + 1100 // 400


def test_running_tile_is_waited_for(simulate):
    found = run(simulate, 1300, lambda _cycle: 0, lambda cycle: 700 < cycle < 1000)
    assert 1000 <= found[0][0] < 1010


def test_limit_without_room_for_two_and_a_tile_takes_one_at_a_time():
    assert refreshes_at_once(PAPER) == refreshes_at_once(TINY) == 2
    tight = TINY.replace(postpone=1, timing=replace(TINY.memory.timing, nREFI=500))
    assert longest_tile(tight) < 500
    assert refreshes_at_once(tight) == 1


def test_every_column_of_the_longest_tile_has_a_result():
    # 16 slots × 32 columns, 6 cycles each: two ranks of 2 columns and two turn-arounds.
    assert longest_tile(PAPER) == 3 * 30 + 4 + 14 + 512 * 6 + 6 + 14
    with pytest.raises(ValueError, match=r"^postpone × nREFI must exceed the longest tile \(3200"):
        longest_tile(PAPER.replace(timing=replace(PAPER.memory.timing, nREFI=400)))
