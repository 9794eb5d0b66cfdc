"""Rule 5 of the protocol monitor: every rank is refreshed, neither too late nor too early."""

import numpy as np

from hw.protocol.commands import Command
from hw.protocol.constraints import Scope
from sim.trace.channel_trace import ChannelTrace

__all__ = ["check_refresh"]

Array = np.ndarray


def check_refresh(channel: ChannelTrace, end: int, from_reset: bool) -> None:
    """Check the refreshes of each rank, and that none is missing at the end.

    The n-th is due at n × tREFI from reset. Where the trace does not begin there, n is unknown, but
    the same for all: then they must be as near to each other as some beginning allows.
    """
    config = channel.config
    interval = config.memory.timing.nREFI
    slack = config.controller.postpone * interval
    ranks = channel.spread(Scope.RANK, [Command.REF])
    for rank in range(config.memory.ranks):
        index = ranks.index[ranks.instance == rank]
        time = channel.cycle[index]
        number = np.arange(1, len(index) + 1)
        earliest, latest = number * interval - slack, number * interval + slack
        if from_reset:
            last = (len(index) + 1) * interval + slack
        else:
            ahead = time - number * interval
            latest = number * interval + 2 * slack + _before(np.minimum, ahead)
            earliest = number * interval - 2 * slack + _before(np.maximum, ahead)
            begin = int(channel.records["cycle"][0])
            if len(index):
                latest[0], earliest[0] = begin + interval + 2 * slack, 0
                last = (len(index) + 1) * interval + 2 * slack + int(ahead.min())
            else:
                last = begin + interval + 2 * slack
        for what, missing in (
            ("refresh is late", time - latest),
            ("refresh is pulled in too far", earliest - time),
        ):
            for i in np.flatnonzero(missing > 0).tolist():
                before = int(index[i - 1]) if i else None
                channel.add(5, what, int(index[i]), before, missing[i])
        if end > last:
            words = channel.in_words(int(index[-1])) if len(index) else ""
            channel.add_at_end(5, f"refresh of rank {rank} is late", end, words, end - last)


def _before(extreme: np.ufunc, values: Array) -> Array:
    """Return the extreme of the values before each; the first value for itself."""
    found: Array = np.concatenate([values[:1], extreme.accumulate(values)[:-1]])
    return found
