"""Hazards of a program: accesses to the same bytes that its tokens do not order.

Nothing in the hardware arbitrates the memories of the tile, so two instructions of which one writes
what the other reads or writes must be ordered by tokens, or by being of one queue.
"""

from itertools import takewhile

import numpy as np

from hw.config import Config
from hw.npu.vector.ports import CONTEXTS
from hw.program.instruction_set import Opcode
from hw.program.program import Program
from scheduler.compiler.checks.footprint import Access, accesses, memories
from scheduler.compiler.checks.legality import TokenReplay

__all__ = ["check_hazards"]


def check_hazards(config: Config, program: Program) -> None:
    """Check that accesses to the same bytes, one of them a write, are ordered.

    Instructions of one queue work in their order, but for

    - the sub-units of two queues that overlap: DRAIN with GEMM and WEIGHTS, GEMV with VECTOR;
    - loads, whose reads a channel answers in any order: of two into the same bytes, either may be
      the last to write them;
    - what an instruction of a vector unit with ``overlap`` reads: none of the same operation
      directly before it, at most three, may write that, as they may be at work with it. (It may
      write it again: instructions at work at once are the same work, so the units write in the
      order of the queue, and what an earlier one reads it has read by then.)

    These, as all others, are ordered if the later one (in the total order) waits, at first or at
    last, for a token that is sent when the earlier one has retired; a queue may send itself one.
    The program must be legal (:func:`scheduler.compiler.checks.legality.check_legal`).

    Takes time in proportion to the bytes that are accessed: about a second for an iteration of
    ``tiny``.

    Raises
    ------
    ValueError
        Naming both instructions and a byte that they share.
    """
    _Pass(config, program).run()


class _Memory:
    """Last accesses to one memory, granule by granule.

    A user is a sub-unit of a queue: number 2 × queue, or one more for the second sub-unit.
    """

    def __init__(self, granule_bytes: int, nbytes: int, users: int) -> None:
        self.granule_bytes = granule_bytes
        granules = nbytes // granule_bytes
        self.writer = np.full(granules, -1, np.int16)
        self.written = np.full(granules, -1, np.int32)
        self.read = np.full((users, granules), -1, np.int32)


class _Pass:
    """One pass in the total order, with what every queue knows to have retired."""

    def __init__(self, config: Config, program: Program) -> None:
        self.config = config
        self.program = program
        self.replay = TokenReplay(program)
        self.users = 2 * len(program.streams)
        self.memories = {
            name: _Memory(_granule_bytes(config, name), nbytes, self.users)
            for name, nbytes in memories(config).items()
        }

    def run(self) -> None:
        columns = [
            {name: stream[name].tolist() for name in stream.dtype.names or ()}
            for stream in self.program.streams
        ]
        for queue, index in self._in_order():
            self.replay.take(queue, index)
            record = {name: values[index] for name, values in columns[queue].items()}
            at_work = _at_work(columns[queue], index) if record.get("overlap") else 0
            for access in accesses(self.config, self.program, queue, record):
                self._access(queue, index, Opcode(record["opcode"]), access, at_work)
            self.replay.send(queue, index)

    def _in_order(self) -> list[tuple[int, int]]:
        streams = self.program.streams
        orders = np.concatenate([stream["order"] for stream in streams])
        queues = np.repeat(np.arange(len(streams)), [len(stream) for stream in streams])
        indices = np.concatenate([np.arange(len(stream)) for stream in streams])
        sequence = np.argsort(orders, kind="stable")
        return list(zip(queues[sequence].tolist(), indices[sequence].tolist(), strict=True))

    def _access(self, queue: int, index: int, opcode: Opcode, access: Access, at_work: int) -> None:
        """Check and note an access; ``at_work`` instructions before it may still have to write."""
        memory = self.memories[access.memory]
        places = access.granules(memory.granule_bytes)
        user = 2 * queue + (opcode in (Opcode.DRAIN, Opcode.GEMV))
        retired = np.repeat(self.replay.clocks[queue], 2)
        retired[user] = index  # of its own sub-unit, everything before it
        writer = memory.writer[places]
        complete = retired.copy()
        if opcode in (Opcode.LOAD, Opcode.LOAD_PAGES):  # answers may overtake earlier ones
            complete[user] = self.replay.clocks[queue][queue]
        else:
            complete[user] -= 1 + (0 if access.write else at_work)
        written = memory.written[places]
        late = (writer >= 0) & (written > complete[writer])
        late &= (writer != user) | (written != index)
        if late.any():
            place = int(np.argmax(late))
            self._fail(queue, index, access, int(places[place]), int(writer[place]))
        if access.write:
            for other in range(self.users):
                late = memory.read[other, places] > retired[other]
                if late.any():
                    self._fail(queue, index, access, int(places[np.argmax(late)]), other, True)
            memory.writer[places] = user
            memory.written[places] = index
            memory.read[:, places] = -1
        else:
            memory.read[user, places] = index

    def _fail(
        self,
        queue: int,
        index: int,
        access: Access,
        place: int,
        other: int,
        reader: bool = False,
    ) -> None:
        memory = self.memories[access.memory]
        last = memory.read[other, place] if reader else memory.written[place]
        first = self.program.describe(other // 2, int(last))
        then = self.program.describe(queue, index)
        raise ValueError(
            f"instructions that share bytes of the {access.memory} must be ordered by tokens, "
            f"but at {place * memory.granule_bytes:#x} these are not: "
            f"{first} ({'reads' if reader else 'writes'}), "
            f"{then} ({'writes' if access.write else 'reads'})"
        )


def _at_work(columns: dict[str, list[int]], index: int) -> int:
    """Return how many instructions of a vector queue may be at work when one that overlaps starts.

    The first of another operation has waited for all before it, and the one after it for it.

    >>> _at_work({"opcode": [1, 2, 2, 2, 2, 2]}, 3), _at_work({"opcode": [1, 2, 2, 2, 2, 2]}, 5)
    (2, 3)
    """
    before = columns["opcode"][max(0, index - CONTEXTS + 1) : index]
    same = (opcode == columns["opcode"][index] for opcode in reversed(before))
    return sum(takewhile(bool, same))


def _granule_bytes(config: Config, name: str) -> int:
    """Return the bytes that one entry stands for: two where elements count, else a burst."""
    return 2 if name.startswith(("activation", "lane")) else config.memory.burst_bytes
