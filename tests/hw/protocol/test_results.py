import pytest

from hw.presets import PAPER, TINY
from hw.protocol.results import (
    result_backlog,
    result_beats,
    result_cycles,
    result_latency,
    result_schedule,
)


def test_result_takes_the_cycles_of_each_rank_and_the_turn_arounds_between():
    assert (result_beats(PAPER), result_cycles(PAPER)) == (2, 2 + 1 + 2)
    assert (result_beats(TINY), result_cycles(TINY)) == (2, 2)


def test_rank_drives_at_least_one_column():
    assert result_beats(TINY.replace(column_bytes=32)) == 1


@pytest.mark.parametrize("config", [PAPER, TINY])
def test_result_starts_a_fixed_latency_after_the_last_column(config):
    latency = result_latency(config)
    starts = [start for start, _end in result_schedule(config, 4, 8)]
    assert starts == [latency + 14, latency + 30, latency + 46, latency + 62]


def test_results_wait_for_each_other_and_for_the_turn_around():
    latency = result_latency(PAPER)
    windows = [(start - latency, end - latency) for start, end in result_schedule(PAPER, 4, 1)]
    assert windows == [(0, 5), (6, 11), (12, 17), (18, 23)]


def test_one_rank_drives_results_without_a_gap():
    latency = result_latency(TINY)
    windows = [(start - latency, end - latency) for start, end in result_schedule(TINY, 3, 1)]
    assert windows == [(0, 2), (2, 4), (4, 6)]


def test_backlog_grows_where_results_take_longer_than_columns():
    assert result_backlog(TINY) == 1
    assert result_backlog(PAPER) == 11
