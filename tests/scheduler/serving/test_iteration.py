import numpy as np
import pytest

from hw.presets import TINY
from scheduler.models.catalog import CATALOG
from scheduler.serving.iteration import IterationScheduler
from scheduler.serving.kv_pages import KvPages
from scheduler.serving.request import Request, State

SHAPE = CATALOG["tiny-gpt"].shape


def scheduler_with(requests, *, first_row=700, **options):
    scheduler = IterationScheduler(KvPages(TINY, SHAPE, first_row), **options)
    for number, (prompt, limit) in enumerate(requests):
        scheduler.submit(Request(number, prompt=tuple(range(prompt)), limit=limit))
    return scheduler


def run(scheduler, token=lambda step: 100 + step.position):
    iterations = []
    while (iteration := scheduler.next_iteration()) is not None:
        iterations.append(iteration)
        scheduler.complete({step.request: token(step) for step in iteration.steps})
    return iterations


def test_every_request_passes_all_its_tokens_in_order():
    scheduler = scheduler_with([(3, 4), (1, 1), (5, 2)])
    seen = {}
    for iteration in run(scheduler):
        for step in iteration.steps:
            seen.setdefault(step.request, []).append((step.position, step.token))
    assert seen[0] == [(0, 0), (1, 1), (2, 2), (3, 102), (4, 103), (5, 104)]
    assert seen[1] == [(0, 0)]
    assert seen[2] == [(i, i) for i in range(5)] + [(5, 104)]


def test_answers_are_what_the_device_has_chosen():
    scheduler = scheduler_with([(2, 3)])
    run(scheduler)
    (request,) = scheduler.finished
    assert request.answer == [101, 102, 103]
    assert request.state is State.FINISHED


def test_requests_enter_and_finish_at_different_iterations():
    scheduler = scheduler_with([(2, 1 + i) for i in range(12)], max_resident=4)
    iterations = run(scheduler)
    entered = {n: it.number for it in iterations for n in it.entered}
    left = {step.request: it.number for it in iterations for step in it.steps}
    assert sorted(entered) == list(range(12))
    assert len(set(entered.values())) > 4
    assert len(set(left.values())) > 6


def test_a_place_is_taken_in_the_iteration_after_it_is_free():
    scheduler = scheduler_with([(1, 1), (1, 5), (1, 1)], max_resident=2)
    iterations = run(scheduler)
    assert iterations[0].entered == (0, 1)
    assert iterations[1].entered == (2,)


def test_no_more_than_max_resident_requests_take_part():
    scheduler = scheduler_with([(2, 3)] * 30, max_resident=8)
    assert max(len(iteration.steps) for iteration in run(scheduler)) == 8


def test_both_sub_batches_work_on_every_channel():
    scheduler = scheduler_with([(2, 2)] * 8)
    iteration = scheduler.next_iteration()
    counts = [
        [sum(s.rows.channel == c for s in sub) for c in (0, 1)] for sub in iteration.sub_batches
    ]
    assert counts == [[2, 2], [2, 2]]


def test_a_single_request_makes_a_single_sub_batch():
    iteration = scheduler_with([(2, 2)]).next_iteration()
    assert [len(sub_batch) for sub_batch in iteration.sub_batches] == [1]


def test_without_interleaving_there_is_one_sub_batch():
    iteration = scheduler_with([(2, 2)] * 5, interleaved=False).next_iteration()
    assert [len(sub_batch) for sub_batch in iteration.sub_batches] == [5]


def test_a_request_stays_in_the_channel_and_rows_that_it_was_bound_to():
    scheduler = scheduler_with([(3, 1 + i) for i in range(10)], max_resident=5)
    bound = {}
    for iteration in run(scheduler):
        for step in iteration.steps:
            assert bound.setdefault(step.request, step.rows) is step.rows


def test_a_request_is_bound_to_the_least_loaded_channel():
    scheduler = scheduler_with([(100, 5), (4, 5), (4, 5)])
    channels = {step.request: step.rows.channel for step in scheduler.next_iteration().steps}
    assert channels == {0: 0, 1: 1, 2: 1}


def test_a_request_waits_for_pages_and_nobody_overtakes_it():
    needed = KvPages(TINY, SHAPE, 0).rows_needed(64)
    scheduler = scheduler_with([(60, 5)] * 3 + [(1, 1)], first_row=TINY.memory.rows - needed)
    first = scheduler.next_iteration()
    assert first.entered == (0, 1)
    scheduler.complete({0: 1, 1: 1})
    assert scheduler.next_iteration().entered == ()
    assert [request.number for request in scheduler.waiting] == [2, 3]


def test_all_rows_are_free_when_all_is_done():
    scheduler = scheduler_with([(3, 4)] * 20)
    before = [scheduler.pages.free_rows(channel) for channel in range(2)]
    run(scheduler)
    assert [scheduler.pages.free_rows(channel) for channel in range(2)] == before
    assert scheduler.loads() == [0, 0]


def test_a_stop_token_frees_the_place():
    scheduler = IterationScheduler(KvPages(TINY, SHAPE, 700), max_resident=1)
    scheduler.submit(Request(0, prompt=(1,), limit=50, stop=10))
    scheduler.submit(Request(1, prompt=(1,), limit=1))
    scheduler.next_iteration()
    (done,) = scheduler.complete({0: 10})
    assert done.number == 0
    assert scheduler.next_iteration().entered == (1,)


def test_random_requests_all_end_with_their_answers():
    rng = np.random.default_rng(11)
    sizes = [(int(rng.integers(1, 60)), int(rng.integers(1, 60))) for _ in range(60)]
    scheduler = scheduler_with(sizes, first_row=800)
    run(scheduler)
    assert sorted(request.number for request in scheduler.finished) == list(range(60))
    for request in scheduler.finished:
        assert len(request.answer) == request.limit == sizes[request.number][1]


def test_a_request_longer_than_the_models_context_is_refused():
    message = r"^the context of request 0 must be at most 128 tokens, not 129$"
    with pytest.raises(ValueError, match=message):
        scheduler_with([(100, 30)])


def test_a_request_longer_than_a_channel_is_refused():
    message = r"^the context of request 0 must fit an empty channel: it takes \d+ rows$"
    with pytest.raises(ValueError, match=message):
        scheduler_with([(100, 20)], first_row=TINY.memory.rows - 20)


def test_a_number_is_used_once():
    scheduler = scheduler_with([(1, 1)])
    with pytest.raises(ValueError, match=r"^request 0 must not be submitted twice$"):
        scheduler.submit(Request(0, prompt=(1,), limit=1))


def test_an_iteration_must_be_completed_before_the_next():
    scheduler = scheduler_with([(1, 2)])
    scheduler.next_iteration()
    with pytest.raises(ValueError, match=r"^iteration 0 must be completed first$"):
        scheduler.next_iteration()


@pytest.mark.parametrize("chosen", [{}, {0: 1, 1: 1}])
def test_exactly_the_running_requests_get_tokens(chosen):
    scheduler = scheduler_with([(1, 2)])
    scheduler.next_iteration()
    with pytest.raises(
        ValueError, match=r"^chosen must name the requests of the running iteration$"
    ):
        scheduler.complete(chosen)
