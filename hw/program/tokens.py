"""Tokens of an instruction: the two masks of queues that each way has, and what they name."""

from collections.abc import Iterable
from typing import Any

from hw.program.instruction_set import Queue

__all__ = ["named_queues", "token_masks"]


def named_queues(record: Any, way: str) -> list[int]:
    """Return the numbers of the queues that an instruction's masks name, in order.

    Parameters
    ----------
    record
        Its fields by name.
    way
        "wait" or "signal".

    >>> named_queues({"wait": 0b10, "wait_channels": 0b100}, "wait") == [1, Queue.PIM + 2]
    True
    """
    scalar, channels = int(record[way]), int(record[f"{way}_channels"])
    named = [queue for queue in range(Queue.PIM) if scalar >> queue & 1]
    return named + [Queue.PIM + c for c in range(channels.bit_length()) if channels >> c & 1]


def token_masks(way: str, queues: Iterable[int]) -> dict[str, int]:
    """Return the masks of queues: the fields of which :func:`named_queues` gives them.

    >>> token_masks("wait", [1, Queue.PIM + 2])
    {'wait': 2, 'wait_channels': 4}
    """
    scalar = channels = 0
    for queue in queues:
        if queue < Queue.PIM:
            scalar |= 1 << queue
        else:
            channels |= 1 << queue - Queue.PIM
    return {way: scalar, f"{way}_channels": channels}
