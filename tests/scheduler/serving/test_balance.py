import itertools

import numpy as np
import pytest

from scheduler.serving.balance import balance, least_loaded, round_robin


def loads(latencies, chosen, channels):
    return [
        sum(x for x, c in zip(latencies, chosen, strict=True) if c == channel)
        for channel in range(channels)
    ]


def test_the_longest_request_is_placed_first():
    assert balance([1, 1, 1, 3], channels=2) == [1, 1, 1, 0]


def test_equal_requests_go_round_in_their_order():
    assert balance([7] * 6, channels=3) == [0, 1, 2, 0, 1, 2]


def test_balance_is_within_four_thirds_of_the_best():
    # Graham's bound for longest-first placement: 4/3 - 1/(3 channels)
    rng = np.random.default_rng(1)
    for _ in range(20):
        latencies = [int(x) for x in rng.integers(1, 50, 8)]
        best = min(
            max(loads(latencies, chosen, 2)) for chosen in itertools.product(range(2), repeat=8)
        )
        assert max(loads(latencies, balance(latencies, 2), 2)) <= best * 7 / 6


def test_balance_beats_round_robin_on_skewed_requests():
    rng = np.random.default_rng(2)
    latencies = [int(x) for x in rng.lognormal(5, 1, 256)]
    ours = max(loads(latencies, balance(latencies, 32), 32))
    theirs = max(loads(latencies, round_robin(256, 32), 32))
    assert ours < theirs


def test_a_channel_without_pages_is_passed_over():
    assert least_loaded([0, 5, 9], [False, True, True]) == 1


def test_no_channel_is_chosen_when_none_has_pages():
    assert least_loaded([0, 5], [False, False]) is None


def test_equal_loads_go_to_the_lower_channel():
    assert least_loaded([4, 2, 2]) == 1


def test_balance_without_channels_is_refused():
    with pytest.raises(ValueError, match=r"^channels must be at least 1, not 0$"):
        balance([1], channels=0)
