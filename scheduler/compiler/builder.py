"""Building a program: instructions in one total order, and the tokens that keep it true.

The compiler emits instructions in an order in which, executed one by one, they compute what they
should. Each says which regions of memory it reads and writes. From that the builder derives the
tokens: an instruction waits for the last instruction of every other queue whose access to one of
its regions must come first, unless an earlier wait implies it already.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from hw.config import Config
from hw.npu.vector.ports import CONTEXTS
from hw.program.instruction_set import Opcode, Queue
from hw.program.program import Block, Label, Program, queue_kind, stream_dtype
from hw.program.tokens import token_masks

__all__ = ["ProgramBuilder", "Region"]


class Region:
    """A piece of memory whose accesses are ordered: the last writer, and the readers since.

    Pieces that overlap in a memory must be one region.
    """

    __slots__ = ("name", "readers", "writer")

    def __init__(self, name: str) -> None:
        self.name = name
        self.writer: tuple[int, int] | None = None
        self.readers: dict[int, int] = {}

    def __repr__(self) -> str:
        return f"Region({self.name!r})"


@dataclass(slots=True)
class _Step:
    """Instructions of one queue that go together: the first waits, the last signals."""

    records: np.ndarray
    waits: set[int]
    clock: list[int]
    signals: set[int] = field(default_factory=set)


class ProgramBuilder:
    """Collects instructions and derives their tokens.

    Instructions of one queue are ordered by the hardware: the vector unit, the DMA engines and a
    channel's PIM commands work in order, the matrix unit's three sub-units interlock. A vector
    instruction may overlap with the few before it: those of the same operation, since any other one
    has waited for all before it. So it may read nothing that one of them writes; what both write,
    the later one writes last.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._queues = Queue.PIM + config.memory.channels
        self._dtypes = [stream_dtype(queue_kind(queue)) for queue in range(self._queues)]
        self._steps: list[list[_Step]] = [[] for _ in range(self._queues)]
        self._known = [[-1] * self._queues for _ in range(self._queues)]
        self._barrier: list[int] = [-1] * self._queues
        self._complete: dict[int, int] = {}  # the last vector instruction of another operation
        self._order = 0
        self._labels: dict[Label, int] = {}
        self.row_lists: list[list[int]] = [[] for _ in range(config.memory.channels)]
        self.inputs: list[tuple[Block, bytes]] = []
        self.outputs: dict[str, Block] = {}

    def emit(
        self,
        queue: int,
        opcode: Opcode,
        label: Label,
        *,
        reads: Iterable[Region] = (),
        writes: Iterable[Region] = (),
        **operands: int,
    ) -> None:
        """Append one instruction."""
        record = np.zeros(1, dtype=self._dtypes[queue])
        record["opcode"] = opcode
        for name, value in operands.items():
            record[name] = value
        self.emit_records(queue, record, label, reads=reads, writes=writes)

    def records(self, queue: int, count: int) -> np.ndarray:
        """Return ``count`` empty records of a queue, to be filled and passed to emit_records."""
        return np.zeros(count, dtype=self._dtypes[queue])

    def emit_records(
        self,
        queue: int,
        records: np.ndarray,
        label: Label,
        *,
        reads: Iterable[Region] = (),
        writes: Iterable[Region] = (),
    ) -> None:
        """Append instructions of one queue that access the regions as a whole."""
        records["order"] = np.arange(self._order, self._order + len(records))
        records["label"] = self._labels.setdefault(label, len(self._labels))
        self._order += len(records)
        index = len(self._steps[queue])
        reads, writes = list(reads), list(writes)
        waits = self._waits(queue, self._predecessors(queue, reads, writes))
        if queue in (Queue.EPILOGUE, Queue.ATTENTION):
            steps = self._steps[queue]
            if steps and steps[-1].records["opcode"][0] != records["opcode"][0]:
                self._complete[queue] = index - 1
            complete = max(self._complete.get(queue, -1), index - CONTEXTS)
            written = [r.writer[1] for r in reads if r.writer and r.writer[0] == queue]
            records["overlap"][0] = max(written, default=-1) <= complete
        clock = list(self._known[queue])
        clock[queue] = index
        self._steps[queue].append(_Step(records, waits, clock))
        for region in reads:
            region.readers[queue] = index
        for region in writes:
            region.writer = (queue, index)
            region.readers = {}

    def list_rows(self, channel: int, rows: Iterable[int]) -> int:
        """Append rows to a channel's row list; return the index of the first."""
        entries = self.row_lists[channel]
        start = len(entries)
        entries += [int(row) for row in rows]
        return start

    def barrier(self) -> None:
        """Let everything that follows, but weight loads, wait for everything so far, but those."""
        self._barrier = [len(steps) - 1 for steps in self._steps]
        self._barrier[Queue.LOAD] = -1

    def _predecessors(
        self, queue: int, reads: Sequence[Region], writes: Sequence[Region]
    ) -> dict[int, int]:
        """Return, for each other queue, the last step that must have retired."""
        needed: dict[int, int] = {}
        accesses = [region.writer for region in (*reads, *writes) if region.writer is not None]
        for region in writes:
            accesses += region.readers.items()
        if queue != Queue.LOAD:
            accesses += enumerate(self._barrier)
        for producer, step in accesses:
            if producer >= Queue.PIM and queue >= Queue.PIM:
                continue  # channels share nothing, and have no tokens for each other
            if producer != queue and step > max(needed.get(producer, -1), -1):
                needed[producer] = step
        return needed

    def _waits(self, queue: int, needed: dict[int, int]) -> set[int]:
        """Take tokens of the producers whose steps are not known to have retired."""
        known = self._known[queue]
        open_needs = {p: step for p, step in needed.items() if known[p] < step}
        waits = set()
        for producer, step in open_needs.items():
            implied = any(
                self._steps[other][other_step].clock[producer] >= step
                for other, other_step in open_needs.items()
                if other != producer
            )
            if not implied:
                waits.add(producer)
                self._steps[producer][step].signals.add(queue)
        for producer in waits:
            clock = self._steps[producer][open_needs[producer]].clock
            for i, value in enumerate(clock):
                if value > known[i]:
                    known[i] = value
        return waits

    def finish(self) -> Program:
        """Return the program; every stream is closed by END."""
        end = Label("end")
        for queue in range(self._queues):
            self.emit(queue, Opcode.END, end)
        streams = []
        for steps, dtype in zip(self._steps, self._dtypes, strict=True):
            for step in steps:
                ways = (
                    (step.records[:1], "wait", step.waits),
                    (step.records[-1:], "signal", step.signals),
                )
                for record, way, queues in ways:
                    for name, mask in token_masks(way, queues).items():
                        record[name] = mask
            # Not concatenate, which takes long to see that the types are equal.
            stream = bytearray().join(step.records.tobytes() for step in steps)
            streams.append(np.frombuffer(stream, dtype))
        return Program(
            streams=streams,
            row_lists=[np.array(rows, dtype=np.uint32) for rows in self.row_lists],
            inputs=self.inputs,
            outputs=self.outputs,
            labels=list(self._labels),
        )
