"""Tests of the order of results, against a queue of unlimited places.

A result holds the bus for as long as the table of the design page says: a rank drives its banks,
4 bytes each, a column a cycle, and the bus turns around after it where there are several ranks.
"""

import numpy as np
import pytest

from hw.die.result_driver import ResultDriver
from hw.presets import PAPER, TINY
from hw.protocol.results import result_backlog

#: Configuration, and cycles from one result to the next: two of tiny's 8 bytes for four banks; two
#: ranks of 16 banks, two of paper's 32 bytes each, with a turn-around after each of them.
INTERVALS = {"tiny": (TINY, 2), "paper": (PAPER, 6)}


def expected(keeps, interval, places):
    """Return when each result is taken, by its number: at once, or when the one before it is off.

    The n-th result lies in place n modulo the places.
    """
    taken, free = {}, 0
    for number, kept in enumerate(sorted(keeps)):
        free = max(kept, free)
        taken[free] = number % places
        free += interval
    return taken


def run(simulate, config, keeps, cycles):
    """Return what was kept and taken, {cycle: place}, and the cycles of driven positions."""
    dut = ResultDriver(config)
    kept, taken, driven = {}, {}, {}

    async def bench(ctx):
        for cycle in range(cycles):
            ctx.set(dut.keep, cycle in keeps)
            if cycle in keeps:
                kept[cycle] = ctx.get(dut.keep_place)
            if ctx.get(dut.take):
                taken[cycle] = ctx.get(dut.take_place)
            if ctx.get(dut.drive):
                driven[cycle] = ctx.get(dut.position)
            await ctx.tick()

    simulate(dut, bench)
    return kept, taken, driven


@pytest.mark.parametrize(
    ("name", "keeps"),
    [
        ("tiny", [3, 8]),
        ("tiny", [3, 5, 7]),
        ("tiny", range(3, 40, 2)),
        ("tiny", range(3, 40, 3)),
        ("paper", [3, 8]),
        ("paper", [3, 9, 15]),
        ("paper", range(3, 35, 2)),
        ("paper", [*range(3, 35, 2), *range(110, 200, 7)]),
    ],
)
def test_results_are_taken_in_order_as_soon_as_the_bus_is_free(simulate, name, keeps):
    config, interval = INTERVALS[name]
    places = result_backlog(config)
    kept, taken, driven = run(simulate, config, keeps, max(keeps) + 150)
    assert kept == {cycle: n % places for n, cycle in enumerate(keeps)}
    assert taken == expected(keeps, interval, places)
    assert driven == {
        start + 1 + position: position for start in taken for position in range(interval)
    }


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", INTERVALS)
def test_random_results_come_out_once_each_and_in_order(simulate, name, seed):
    config, interval = INTERVALS[name]
    places = result_backlog(config)
    rng = np.random.default_rng(seed)
    keeps, free, cycle = [], 0, 0
    waiting_since = []  # when each result that was kept is taken
    while len(keeps) < 40:
        cycle += 2 + int(rng.integers(0, 2 * interval + 1)) * (rng.random() < 0.6)
        waiting_since = [taken for taken in waiting_since if taken >= cycle]
        if len(waiting_since) < places:
            keeps.append(cycle)
            free = max(cycle, free)
            waiting_since.append(free)
            free += interval
    _kept, taken, _driven = run(simulate, config, keeps, keeps[-1] + 200)
    assert taken == expected(keeps, interval, places)


@pytest.mark.parametrize(("name", "places"), [("tiny", 1), ("paper", 11)])
def test_places_are_as_many_as_results_can_wait(name, places):
    config, interval = INTERVALS[name]
    # Results of one column each are folded every nCCDL, 2 cycles, and leave every interval.
    folded = [2 * n for n in range(config.pim.slots)]
    left = [interval * n for n in range(config.pim.slots)]
    waiting = [sum(f <= now <= t for f, t in zip(folded, left, strict=True)) for now in folded]
    assert result_backlog(config) == max(waiting) == places
