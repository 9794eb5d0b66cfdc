import pytest

from scheduler.serving.request import Request


def test_the_stream_is_the_prompt_then_the_answer():
    request = Request(0, prompt=(5, 6, 7), limit=3)
    taken = []
    for chosen in (90, 91, 10, 11, 12):
        taken.append((request.position, request.token))
        request.advance(chosen)
    assert taken == [(0, 5), (1, 6), (2, 7), (3, 10), (4, 11)]
    assert request.answer == [10, 11, 12]


def test_a_request_ends_at_its_limit():
    request = Request(0, prompt=(5,), limit=2)
    request.advance(1)
    assert not request.finished
    request.advance(2)
    assert request.finished


def test_a_request_ends_at_its_stop_token():
    request = Request(0, prompt=(5,), limit=9, stop=10)
    request.advance(10)
    assert request.finished
    assert request.answer == [10]


def test_a_stop_token_chosen_within_the_prompt_ends_nothing():
    request = Request(0, prompt=(5, 6), limit=9, stop=10)
    request.advance(10)
    assert not request.finished


def test_the_longest_context_leaves_out_the_last_token_of_the_answer():
    request = Request(0, prompt=(5, 6), limit=3)
    while not request.finished:
        request.advance(1)
    assert request.position == request.longest_context == 4


def test_a_finished_request_refuses_more():
    request = Request(3, prompt=(5,), limit=1)
    request.advance(1)
    with pytest.raises(ValueError, match=r"^request 3 must not advance: its answer is complete$"):
        request.advance(1)


@pytest.mark.parametrize(
    ("prompt", "limit", "message"),
    [
        ((), 1, r"^prompt must have at least one token$"),
        ((1,), 0, r"^limit must be at least 1 token, not 0$"),
    ],
)
def test_a_request_without_prompt_or_answer_is_refused(prompt, limit, message):
    with pytest.raises(ValueError, match=message):
        Request(0, prompt=prompt, limit=limit)
