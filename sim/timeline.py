"""When each unit of a device worked, and on what: the spans of a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hw.program.instruction_set import Opcode, Queue
from hw.program.program import Label, Program, queue_name

__all__ = ["SPAN", "Timed", "Timeline", "make_timeline"]

#: A span: its row of the timeline, its instruction, the instruction's start and retirement, and the
#: cycle from which the row shows it.
SPAN = np.dtype(
    [
        *((name, np.int32) for name in ("row", "queue", "index", "opcode", "label")),
        *((name, np.int64) for name in ("start", "shown_from", "end")),
    ]
)

#: Names of rows, in their order, with the queue and the operations that each shows.
_ROWS = (
    ("DMA weights", Queue.LOAD, (Opcode.LOAD,)),
    ("DMA tails", Queue.TAIL, (Opcode.LOAD, Opcode.LOAD_PAGES)),
    ("DMA stores", Queue.STORE, (Opcode.STORE,)),
    ("Array weights", Queue.MATRIX, (Opcode.WEIGHTS,)),
    ("Systolic array", Queue.MATRIX, (Opcode.GEMM,)),
    ("Array drain", Queue.MATRIX, (Opcode.DRAIN,)),
    ("Vector epilogue", Queue.EPILOGUE, None),
    ("Vector attention", Queue.ATTENTION, None),
    ("Links", Queue.LINK, (Opcode.ALLREDUCE,)),
)
_PIM_ROWS = (("vector", (Opcode.VECTOR,)), ("GEMV", (Opcode.GEMV,)))


class Timed(Protocol):
    """What a timeline needs of a device's result.

    Attributes
    ----------
    starts, retires
        One array a queue: the cycle in which each instruction starts, and retires.
    """

    @property
    def starts(self) -> Sequence[np.ndarray]: ...

    @property
    def retires(self) -> Sequence[np.ndarray]: ...


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """Spans by rows.

    A row is a unit, or a part of one that works by itself: the three sub-units of the matrix queue
    and the two of a PIM queue have rows of their own. An instruction may start while the one before
    it in the row still runs; the row shows it from ``shown_from`` on, when that one has retired.
    Retirement is in the order of the queue, so a sub-unit may have been done earlier than shown.

    Attributes
    ----------
    rows
        Their names, from top to bottom; rows without spans are left out.
    spans
        ``SPAN[n]``, by row, then in the order of the queue.
    labels
        What ``label`` of a span refers to.
    """

    rows: list[str]
    spans: np.ndarray
    labels: list[Label]

    @property
    def end(self) -> int:
        """The cycle in which the last span ends."""
        return int(self.spans["end"].max(initial=0))

    def sub_batches(self) -> np.ndarray:
        """Return the sub-batch of each span."""
        table = np.array([label.sub_batch for label in self.labels], dtype=np.int32)
        return np.asarray(table[self.spans["label"]])

    def busy(self) -> dict[str, int]:
        """Return the cycles in which each row shows a span."""
        lengths = self.spans["end"] - self.spans["shown_from"]
        sums = np.bincount(self.spans["row"], weights=lengths, minlength=len(self.rows))
        return {name: int(cycles) for name, cycles in zip(self.rows, sums, strict=True)}


def make_timeline(program: Program, result: Timed) -> Timeline:
    """Gather the spans of a run.

    Parameters
    ----------
    program
        What has run.
    result
        When its instructions started and retired.

    Raises
    ------
    ValueError
        If the result has not one entry an instruction.
    """
    for queue, stream in enumerate(program.streams):
        for name in ("starts", "retires"):
            count = len(getattr(result, name)[queue])
            if count != len(stream):
                raise ValueError(
                    f"{name} of queue {queue_name(queue)} must have {len(stream)} entries, "
                    f"not {count}"
                )
    rows: list[str] = []
    parts = []
    for name, queue, opcodes in _row_table(program.channels):
        spans = _spans(program, result, queue, opcodes)
        if len(spans):
            spans["row"] = len(rows)
            rows.append(name)
            parts.append(spans)
    spans = np.concatenate(parts) if parts else np.zeros(0, SPAN)
    return Timeline(rows=rows, spans=spans, labels=program.labels or [Label("")])


def _row_table(channels: int) -> list[tuple[str, int, tuple[Opcode, ...] | None]]:
    table: list[tuple[str, int, tuple[Opcode, ...] | None]] = list(_ROWS)
    for channel in range(channels):
        for part, opcodes in _PIM_ROWS:
            table.append((f"PIM {channel} {part}", Queue.PIM + channel, opcodes))
    return table


def _spans(
    program: Program, result: Timed, queue: int, opcodes: tuple[Opcode, ...] | None
) -> np.ndarray:
    """Return the spans of a queue's instructions with one of the operations (all but END)."""
    opcode = program.streams[queue]["opcode"]
    wanted = opcode != Opcode.END if opcodes is None else np.isin(opcode, opcodes)
    index = np.flatnonzero(wanted)
    spans = np.zeros(len(index), SPAN)
    spans["queue"] = queue
    spans["index"] = index
    spans["opcode"] = opcode[index]
    spans["label"] = program.streams[queue]["label"][index]
    spans["start"] = np.asarray(result.starts[queue])[index]
    spans["end"] = np.asarray(result.retires[queue])[index]
    spans["shown_from"] = spans["start"]
    earlier = np.maximum.accumulate(spans["end"])[:-1]
    np.maximum(spans["start"][1:], earlier, out=spans["shown_from"][1:])
    np.minimum(spans["shown_from"], spans["end"], out=spans["shown_from"])
    return spans
