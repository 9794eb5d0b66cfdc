"""The legality of a program: one linear pass over its tokens.

A program that passes cannot deadlock and overflows no token counter, however long anything takes.
"""

from bisect import bisect_right
from collections import defaultdict

import numpy as np

from hw.isa import Opcode, Queue
from hw.program import Program, queue_name

__all__ = ["MAXIMUM_TOKENS", "check_legal"]

#: What a token counter of the device holds: 8 bits.
MAXIMUM_TOKENS = 255


def check_legal(program: Program) -> None:
    """Check that the total order is consistent with every queue and every token.

    The k-th token that a queue takes of another is the k-th that the other sends. In the total
    order each must be sent before it is taken, all must be taken in the end, and never may more
    than a counter holds be on their way, even if the taker is as late as the tokens allow.

    Raises
    ------
    ValueError
        Naming the instruction.
    """
    for queue, stream in enumerate(program.streams):
        ends = np.flatnonzero(stream["opcode"] == Opcode.END)
        if len(ends) != 1 or ends[0] != len(stream) - 1:
            raise ValueError(f"queue {queue_name(queue)} must end with its only END")
        if (np.diff(stream["order"].astype(np.int64)) <= 0).any():
            raise ValueError(f"queue {queue_name(queue)} must be in the total order")
    _Replay(program).run()


class _Replay:
    """Tokens of a program, replayed in its total order with vector clocks.

    A clock holds, for every queue, the last instruction that surely has retired.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        queues = len(program.streams)
        self.clocks = [[-1] * queues for _ in range(queues)]
        self.sent: defaultdict[tuple[int, int], list[tuple[int, list[int]]]] = defaultdict(list)
        self.taken: defaultdict[tuple[int, int], list[int]] = defaultdict(list)

    def run(self) -> None:
        for queue, index in self._with_tokens():
            record = self.program.streams[queue][index]
            for producer in _queues(record, "wait"):
                self._take(producer, queue, index)
            for consumer in _queues(record, "signal"):
                self._send(queue, consumer, index)
        for (producer, consumer), sent in self.sent.items():
            taken = len(self.taken[producer, consumer])
            if taken != len(sent):
                where = self.program.describe(producer, sent[taken][0])
                raise ValueError(f"every token must be taken, but none takes that of {where}")

    def _with_tokens(self) -> list[tuple[int, int]]:
        found = []
        for queue, stream in enumerate(self.program.streams):
            names = ("wait", "signal", "wait_channels", "signal_channels")
            masks = np.bitwise_or.reduce([stream[name] for name in names])
            for index in np.flatnonzero(masks).tolist():
                found.append((int(stream["order"][index]), queue, index))
        return [(queue, index) for _order, queue, index in sorted(found)]

    def _take(self, producer: int, consumer: int, index: int) -> None:
        number = len(self.taken[producer, consumer])
        sent = self.sent[producer, consumer]
        if number >= len(sent):
            where = self.program.describe(consumer, index)
            raise ValueError(
                f"a token must be sent before it is taken in the total order, but token {number} "
                f"of {queue_name(producer)} is not when taken by {where}"
            )
        self.taken[producer, consumer].append(index)
        clock = self.clocks[consumer]
        for i, value in enumerate(sent[number][1]):
            clock[i] = max(clock[i], value)

    def _send(self, producer: int, consumer: int, index: int) -> None:
        clock = list(self.clocks[producer])
        clock[producer] = index
        sent = self.sent[producer, consumer]
        sent.append((index, clock))
        surely_taken = bisect_right(self.taken[producer, consumer], clock[consumer])
        if len(sent) - surely_taken > MAXIMUM_TOKENS:
            where = self.program.describe(producer, index)
            raise ValueError(
                f"at most {MAXIMUM_TOKENS} tokens may be on their way to {queue_name(consumer)}, "
                f"not {len(sent) - surely_taken} after {where}"
            )


def _queues(record: np.void, way: str) -> list[int]:
    """Return the queues that a record's masks name."""
    scalar, channels = int(record[way]), int(record[f"{way}_channels"])
    named = [queue for queue in range(Queue.PIM) if scalar >> queue & 1]
    return named + [Queue.PIM + c for c in range(channels.bit_length()) if channels >> c & 1]
