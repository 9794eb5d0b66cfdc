from hypothesis import given
from hypothesis import strategies as st

from scheduler.serving.sub_batch import partition


def test_odd_channels_give_their_larger_half_in_turn():
    first, second = partition([[1, 2, 3], [4, 5, 6], [7]])
    assert first == (1, 2, 4, 7)
    assert second == (3, 5, 6)


def test_the_turn_flag_says_who_takes_the_first_larger_half():
    assert partition([[1], [2]], turn=False) == ((1,), (2,))
    assert partition([[1], [2]], turn=True) == ((2,), (1,))


def test_even_channels_do_not_use_up_a_turn():
    assert partition([[1], [2, 3], [4]]) == ((1, 2), (3, 4))


@given(st.lists(st.integers(0, 7), max_size=12), st.booleans())
def test_sub_batches_are_even_on_every_channel_and_in_sum(counts, turn):
    channels = [[(c, i) for i in range(count)] for c, count in enumerate(counts)]
    first, second = partition(channels, turn)
    assert sorted(first + second) == sorted(x for requests in channels for x in requests)
    assert abs(len(first) - len(second)) <= 1
    for channel in range(len(counts)):
        difference = sum(x[0] == channel for x in first) - sum(x[0] == channel for x in second)
        assert abs(difference) <= 1
