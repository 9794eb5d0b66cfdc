"""The legality of a program: one linear pass over its tokens.

A program that passes cannot deadlock and overflows no token counter, however long anything takes.
"""

from bisect import bisect_right
from collections import defaultdict

import numpy as np

from hw.program.instruction_set import Opcode, Queue
from hw.program.program import Program, queue_name
from hw.program.tokens import named_queues

__all__ = ["MAXIMUM_TOKENS", "TokenReplay", "check_legal"]

#: What a token counter of the device holds: 8 bits.
MAXIMUM_TOKENS = 255


def check_legal(program: Program) -> None:
    """Check that the total order is consistent with every queue and every token.

    The k-th token that a queue takes of another is the k-th that the other sends. In the total
    order each must be sent before it is taken, all must be taken in the end, and never may more
    than a counter holds be on their way, even if the taker is as late as the tokens allow.

    WEIGHTS and GEMM take turns: a second weight tile stays in the matrix unit until the GEMM of the
    first has started, so that what this GEMM waits for may not wait for it.

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
    _check_turns(program)
    replay = TokenReplay(program)
    for queue, index in _with_tokens(program):
        replay.take(queue, index)
        replay.send(queue, index)
    replay.check_taken()


def _check_turns(program: Program) -> None:
    """Raise ValueError if WEIGHTS and GEMM do not take turns."""
    opcodes = program.streams[Queue.MATRIX]["opcode"]
    indices = np.flatnonzero((opcodes == Opcode.WEIGHTS) | (opcodes == Opcode.GEMM))
    wrong = (opcodes[indices] == Opcode.WEIGHTS) == (np.arange(len(indices)) % 2 == 1)
    if wrong.any():
        where = program.describe(Queue.MATRIX, int(indices[np.argmax(wrong)]))
        raise ValueError(f"WEIGHTS and GEMM must take turns, but do not before {where}")
    if len(indices) % 2:
        where = program.describe(Queue.MATRIX, int(indices[-1]))
        raise ValueError(f"every weight tile must be used by a GEMM, but none uses that of {where}")


class TokenReplay:
    """Tokens of a program, replayed in its total order with vector clocks.

    :meth:`take` and then :meth:`send` are called for every instruction that has tokens.

    Attributes
    ----------
    clocks
        Of every queue: the last instruction of every queue that surely has retired when the
        queue's present instruction starts; -1 for none.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        queues = len(program.streams)
        self.clocks = [[-1] * queues for _ in range(queues)]
        self._sent: defaultdict[tuple[int, int], list[tuple[int, list[int]]]] = defaultdict(list)
        self._taken: defaultdict[tuple[int, int], list[int]] = defaultdict(list)

    def take(self, queue: int, index: int) -> None:
        """Take the tokens that an instruction waits for; ValueError if one is not there."""
        for producer in named_queues(self.program.streams[queue][index], "wait"):
            number = len(self._taken[producer, queue])
            sent = self._sent[producer, queue]
            if number >= len(sent):
                where = self.program.describe(queue, index)
                raise ValueError(
                    "a token must be sent before it is taken in the total order, but token "
                    f"{number} of {queue_name(producer)} is not when taken by {where}"
                )
            self._taken[producer, queue].append(index)
            clock = self.clocks[queue]
            for i, value in enumerate(sent[number][1]):
                clock[i] = max(clock[i], value)

    def send(self, queue: int, index: int) -> None:
        """Send the tokens of an instruction; ValueError if a counter could overflow."""
        for consumer in named_queues(self.program.streams[queue][index], "signal"):
            clock = list(self.clocks[queue])
            clock[queue] = index
            sent = self._sent[queue, consumer]
            sent.append((index, clock))
            surely_taken = bisect_right(self._taken[queue, consumer], clock[consumer])
            if len(sent) - surely_taken > MAXIMUM_TOKENS:
                where = self.program.describe(queue, index)
                raise ValueError(
                    f"at most {MAXIMUM_TOKENS} tokens may be on their way to "
                    f"{queue_name(consumer)}, not {len(sent) - surely_taken} after {where}"
                )

    def check_taken(self) -> None:
        """Raise ValueError if a token was sent that nobody has taken."""
        for (producer, consumer), sent in self._sent.items():
            taken = len(self._taken[producer, consumer])
            if taken != len(sent):
                where = self.program.describe(producer, sent[taken][0])
                raise ValueError(f"every token must be taken, but none takes that of {where}")


def _with_tokens(program: Program) -> list[tuple[int, int]]:
    """Return queue and index of every instruction that has tokens, in the total order."""
    found = []
    for queue, stream in enumerate(program.streams):
        names = ("wait", "signal", "wait_channels", "signal_channels")
        masks = np.bitwise_or.reduce([stream[name] for name in names])
        for index in np.flatnonzero(masks).tolist():
            found.append((int(stream["order"][index]), queue, index))
    return [(queue, index) for _order, queue, index in sorted(found)]
