"""Which channel a request lives in: Algorithm 2 of NeuPIMs, and what it is compared with.

All are pure functions; equals are decided by the lower number.
"""

from collections.abc import Sequence

__all__ = ["balance", "least_loaded", "round_robin"]


def least_loaded(loads: Sequence[int], usable: Sequence[bool] | None = None) -> int | None:
    """Return the channel with the least load among the usable ones, if any is usable.

    This is one step of Algorithm 2, for requests that come one by one: a request is bound when it
    is admitted, to a channel that has pages for it.

    >>> least_loaded([30, 10, 20]), least_loaded([30, 10, 20], [True, False, True])
    (1, 2)
    >>> least_loaded([30, 10], [False, False]) is None
    True
    """
    candidates = [c for c in range(len(loads)) if usable is None or usable[c]]
    return min(candidates, key=lambda channel: (loads[channel], channel), default=None)


def balance(latencies: Sequence[int], channels: int) -> list[int]:
    """Return the channel of each request: the longest first, always to the least loaded channel.

    >>> balance([5, 9, 4, 8, 3], channels=2)
    [1, 0, 0, 1, 0]

    Parameters
    ----------
    latencies
        What each request costs its channel (Algorithm 1).
    channels
        Channels of the device.
    """
    loads = [0] * channels
    chosen = [0] * len(latencies)
    for request in sorted(range(len(latencies)), key=lambda r: (-latencies[r], r)):
        channel = least_loaded(loads)
        if channel is None:
            raise ValueError(f"channels must be at least 1, not {channels!r}")
        chosen[request] = channel
        loads[channel] += latencies[request]
    return chosen


def round_robin(requests: int, channels: int, first: int = 0) -> list[int]:
    """Return the channel of each request, in turn.

    >>> round_robin(5, channels=3, first=1)
    [1, 2, 0, 1, 2]
    """
    return [(first + request) % channels for request in range(requests)]
