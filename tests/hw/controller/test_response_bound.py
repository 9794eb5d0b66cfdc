from dataclasses import replace

from hw.controller.refresh import longest_tile
from hw.controller.response_bound import oldest_cycles, response_bound
from hw.presets import PAPER, TINY


def test_bound_counts_everything_that_may_come_before():
    entries = TINY.controller.read_queue + TINY.controller.write_queue + 1
    assert response_bound(TINY, 100) == entries * oldest_cycles(TINY, 100)
    assert response_bound(TINY) == response_bound(TINY, longest_tile(TINY))


def test_oldest_takes_at_least_its_age_a_refresh_and_a_tile():
    for config in (PAPER, TINY):
        timing = config.memory.timing
        assert oldest_cycles(config, 200) > config.controller.age + timing.nRFC + 200 + timing.nRAS


def test_bound_grows_with_tiles_queues_age_and_refresh():
    bound = response_bound(TINY, 200)
    slower = replace(TINY.memory.timing, nRFC=400)
    assert response_bound(TINY, 300) > bound
    assert response_bound(TINY, 200, vector_bursts=True) > bound
    for change in ({"read_queue": 32}, {"age": 8192}, {"timing": slower}):
        assert response_bound(TINY.replace(**change), 200) > bound, change
