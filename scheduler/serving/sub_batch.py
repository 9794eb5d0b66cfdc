"""Two sub-batches of one batch: Algorithm 3 of NeuPIMs."""

from collections.abc import Sequence
from typing import TypeVar

__all__ = ["partition"]

T = TypeVar("T")


def partition(
    channels: Sequence[Sequence[T]], turn: bool = False
) -> tuple[tuple[T, ...], tuple[T, ...]]:
    """Split the requests of every channel in half.

    Where their number is odd, the larger half goes to the first sub-batch and to the second one in
    turn, so neither the sub-batches nor their loads on the channels drift apart.

    >>> partition([["a", "b", "c"], ["d", "e"], ["f"]])
    (('a', 'b', 'd'), ('c', 'e', 'f'))

    Parameters
    ----------
    channels
        The requests of each channel.
    turn
        Which sub-batch takes the larger half of the first odd channel: the second one if true.

    Returns
    -------
    The two sub-batches, channel by channel; together every request once.
    """
    first: list[T] = []
    second: list[T] = []
    for requests in channels:
        half = len(requests) // 2
        if len(requests) % 2:
            half += not turn
            turn = not turn
        first += requests[:half]
        second += requests[half:]
    return tuple(first), tuple(second)
