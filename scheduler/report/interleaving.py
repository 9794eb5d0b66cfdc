"""Why interleaving sub-batches wins or does not: the times that it hides, and that it adds."""

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from hw.program.instruction_set import Opcode, Queue
from hw.program.program import Program
from scheduler.compiler.iteration_program import Schedule
from sim.device import Result

__all__ = ["covered", "explain_interleaving"]


class _Variant(Protocol):
    @property
    def schedule(self) -> Schedule: ...


class _Snapshot(Protocol):
    @property
    def program(self) -> Program: ...
    @property
    def result(self) -> Result: ...


class _Outcome(Protocol):
    @property
    def variant(self) -> _Variant: ...
    @property
    def snapshot(self) -> _Snapshot | None: ...
    @property
    def cycles(self) -> int: ...


def covered(spans: Iterable[tuple[int, int]]) -> int:
    """Return the cycles in which at least one span is under way.

    >>> covered([(0, 10), (5, 12), (20, 21)])
    13
    """
    total = end = 0
    for start, stop in sorted(spans):
        total += max(0, stop - max(start, end))
        end = max(end, stop)
    return total


def _times(snapshot: _Snapshot) -> tuple[int, int, int]:
    """Return the cycles of an iteration, those with a GEMM, and those with attention."""
    result = snapshot.result
    gemm: list[tuple[int, int]] = []
    attention: list[tuple[int, int]] = []
    for queue, stream in enumerate(snapshot.program.streams):
        if queue != Queue.MATRIX and queue != Queue.ATTENTION and queue < Queue.PIM:
            continue
        kept = np.flatnonzero(stream["opcode"] != Opcode.END)
        starts = result.starts[queue][kept].tolist()
        spans = zip(starts, result.retires[queue][kept].tolist(), strict=True)
        (gemm if queue == Queue.MATRIX else attention).extend(spans)
    return result.cycles, covered(gemm), covered(attention)


def explain_interleaving(outcomes: Sequence[_Outcome]) -> str:
    """Return what an iteration spends on GEMMs and on attention, with and without interleaving.

    Empty unless both were run.
    """
    by_schedule = {outcome.variant.schedule: outcome for outcome in outcomes}
    heads, both = by_schedule.get(Schedule.HEADS), by_schedule.get(Schedule.INTERLEAVED)
    if not heads or not both or not heads.snapshot or not both.snapshot:
        return ""
    total_one, gemm_one, attention_one = _times(heads.snapshot)
    total_two, gemm_two, attention_two = _times(both.snapshot)
    verdict = "wins" if both.cycles < heads.cycles else "does not win at this size"
    return (
        f"Interleaving {verdict}. In the iteration of the pictures it streams all weights twice, "
        f"so GEMMs take {gemm_two:,} cycles instead of {gemm_one:,}; beside them it can hide at "
        f"most the attention, {attention_two:,} cycles ({attention_one:,} without interleaving). "
        f"In all: {total_two:,} cycles instead of {total_one:,}."
    )
