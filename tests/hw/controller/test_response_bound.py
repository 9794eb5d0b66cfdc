from dataclasses import replace

from hw.controller.response_bound import (
    oldest_request_cycles,
    oldest_tile_cycles,
    oldest_vector_cycles,
    response_bound,
)
from hw.presets import PAPER, TINY


def test_oldest_request_takes_at_least_its_age_a_refresh_and_two_tiles():
    for config in (PAPER, TINY):
        t = config.memory.timing
        least = config.controller.age + 2 * t.nRFC + 2 * 200 + t.nRAS
        assert least < oldest_request_cycles(config, 200, results=0) < 2 * least


def test_oldest_tile_takes_at_least_a_refresh_and_itself():
    for config in (PAPER, TINY):
        least = 2 * config.memory.timing.nRFC + 200
        assert least < oldest_tile_cycles(config, 200, results=0) < 3 * least


def test_bounds_grow_with_whatever_may_come_before():
    slower = TINY.replace(timing=replace(TINY.memory.timing, nRFC=400))
    for bound in (oldest_request_cycles, oldest_tile_cycles, oldest_vector_cycles):
        some = bound(TINY, 200, results=1)
        assert bound(TINY, 300, results=1) > some
        assert bound(TINY, 200, results=2) > some
        assert bound(slower, 200, results=1) > some
    some = oldest_request_cycles(TINY, 200)
    assert oldest_request_cycles(TINY, 200, vector_bursts=True) > some
    assert oldest_request_cycles(TINY.replace(age=8192), 200) > some


def test_with_one_row_buffer_a_request_waits_for_a_header_too():
    limit = TINY.controller.postpone * TINY.memory.timing.nREFI
    two, accepted, first = (
        oldest_request_cycles(TINY.replace(row_buffers=n, blocked_order=order), 200)
        for n, order in ((2, "accepted"), (1, "accepted"), (1, "pim_first"))
    )
    assert two < accepted == first - limit


def test_bound_from_acceptance_is_that_of_every_entry_of_a_queue():
    entries = TINY.controller.read_queue
    bound = response_bound(TINY, 100, results=1)
    assert bound > entries * oldest_request_cycles(TINY, 100, results=1)
    assert response_bound(TINY.replace(read_queue=32), 100, results=1) > 1.9 * bound
