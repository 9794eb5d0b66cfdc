"""Refreshes of a trace that does not begin at reset: some beginning must allow them all."""

import numpy as np

from hw.presets import TINY
from hw.protocol.commands import Command
from sim.monitor.monitor import Monitor
from sim.monitor.premises import Premises
from sim.trace.command_trace import RECORD, record

I = TINY.memory.timing.nREFI  # noqa: E741
SLACK = TINY.controller.postpone * I


def violations(times, begin=None, end=None, **premises):
    records = [record(time, Command.REF) for time in times]
    if begin is not None:
        records.insert(0, record(begin, Command.PREA))
    trace = np.array(records, RECORD)
    monitor = Monitor(TINY, Premises(from_reset=False, to_end=False, **premises))
    found = monitor.check(trace, int(trace["cycle"].max()) if end is None else end)
    return [(v.what, v.cycle, v.missing) for v in found if v.rule == 5]


def allowed(times):
    """Say whether some reset, some refreshes before these, allows them all."""
    begins = [(time - n * I - SLACK, time - n * I + SLACK) for n, time in enumerate(times)]
    return max(earliest for earliest, _ in begins) <= min(latest for _, latest in begins)


def test_regular_refreshes_from_any_time_on():
    base = 7_000_000
    assert violations([base + n * I for n in range(30)]) == []
    assert violations([base + n * (I + 100) for n in range(30)]) == []


def test_refreshes_may_be_apart_by_twice_what_may_be_postponed():
    times = [10_000_000 + n * I for n in range(20)]
    latest = times[-1] + I + 2 * SLACK
    assert violations([*times, latest]) == []
    assert violations([*times, latest + 1]) == [("refresh is late", latest + 1, 1)]
    ahead = [times[-1] + 300 * n for n in range(1, 19)]  # each is I - 300 cycles further ahead
    assert violations([*times, *ahead[:17]]) == []
    missing = 18 * (I - 300) - 2 * SLACK
    assert violations([*times, *ahead]) == [("refresh is pulled in too far", ahead[-1], missing)]


def test_refreshes_are_accepted_where_some_beginning_allows_them():
    rng = np.random.default_rng(6)
    seen = set()
    for _ in range(300):
        steps = rng.integers(0, 2 * I, size=60) + int(rng.integers(-I // 4, I // 4))
        times = (10_000_000 + np.cumsum(np.maximum(steps, TINY.memory.timing.nRFC))).tolist()
        assert (violations(times) == []) is allowed(times), times
        seen.add(allowed(times))
    assert seen == {False, True}


def test_first_refresh_may_be_late_since_the_beginning_and_no_more():
    latest = 5000 + I + 2 * SLACK
    assert violations([latest], begin=5000) == []
    assert violations([latest + 1], begin=5000) == [("refresh is late", latest + 1, 1)]


def test_refresh_that_is_missing_at_the_end():
    last = 5000 + I + 2 * SLACK
    assert violations([], begin=5000, end=last) == []
    assert violations([], begin=5000, end=last + 1) == [("refresh of rank 0 is late", last + 1, 1)]
    times = [6000 + n * I for n in range(5)]
    last = times[-1] + I + 2 * SLACK
    assert violations(times, end=last) == []
    assert violations(times, end=last + 1) == [("refresh of rank 0 is late", last + 1, 1)]


def test_device_without_refresh_is_not_asked_for_it():
    assert violations([], begin=0, end=10**7, refreshed=False) == []
