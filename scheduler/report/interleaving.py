"""Why interleaving sub-batches wins or does not: what each unit is asked for, with and without."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rich.table import Table

from hw.config import Config
from hw.program.program import Program
from scheduler.compiler.iteration_program import Schedule
from sim.device import Result
from sim.unit_bounds import Bound, Piece, Unit, binding_unit, counted_work, unit_bounds

__all__ = ["Comparison", "compare_interleaving"]

#: Kinds of work of a unit that the text names, the longest first (chosen).
_NAMED = 3


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
    def config(self) -> Config: ...
    @property
    def snapshot(self) -> _Snapshot | None: ...
    @property
    def cycles(self) -> int: ...


@dataclass(frozen=True, slots=True)
class _Iteration:
    """One iteration: what its program asks of the units, and how long it took.

    Attributes
    ----------
    cycles
        Cycles that it took.
    bounds
        What it asks of each unit.
    split
        Whether it has two sub-batches.
    disagreements
        Counters of work that differ from the program: name, what was counted, what should be.
    """

    cycles: int
    bounds: dict[Unit, Bound]
    split: bool
    disagreements: tuple[tuple[str, int, int], ...]

    @classmethod
    def of(cls, config: Config, snapshot: _Snapshot) -> "_Iteration":
        program, result = snapshot.program, snapshot.result
        work = counted_work(config, program, result.trace)
        return cls(
            cycles=result.cycles,
            bounds=unit_bounds(config, program),
            split=any(label.sub_batch for label in program.labels),
            disagreements=tuple(
                (name, result.counters[name], expected)
                for name, expected in work.items()
                if result.counters[name] != expected
            ),
        )

    @property
    def binding(self) -> Unit:
        return binding_unit(self.bounds)

    @property
    def bound(self) -> int:
        """Bound of the unit that binds."""
        return self.bounds[self.binding].cycles

    @property
    def waits(self) -> int:
        """Cycles in which the unit that binds may wait."""
        return self.cycles - self.bound


@dataclass(frozen=True, slots=True)
class Comparison:
    """The largest iteration of a run, without interleaving and with it.

    Attributes
    ----------
    run_without, run_interleaved
        Cycles of the whole run.
    without, interleaved
        The iteration of either variant.
    """

    run_without: int
    run_interleaved: int
    without: _Iteration
    interleaved: _Iteration

    def table(self) -> Table:
        """Return for each unit how long it is held at least, and its share of the iteration."""
        table = Table(title="What the largest iteration asks of each unit, at least")
        table.add_column("unit", no_wrap=True)
        for name in ("heads", "interleaved"):
            table.add_column(f"cycles, {name}", justify="right")
            table.add_column("share", justify="right")
        both = (self.without, self.interleaved)
        for unit in Unit:
            cells = [str(unit)]
            for iteration in both:
                cycles = iteration.bounds[unit].cycles
                cells += [f"{cycles:,}", f"{cycles / iteration.cycles:.1%}"]
            table.add_row(*cells)
        totals = [cell for iteration in both for cell in (f"{iteration.cycles:,}", "")]
        table.add_row("the iteration took", *totals)
        return table

    def text(self) -> str:
        """Return which unit binds, how its bound changed and why, and what it no longer waits."""
        one, two = self.without, self.interleaved
        wins = "wins" if self.run_interleaved < self.run_without else "does not win at this size"
        verdict = (
            f"Interleaving {wins}: the run takes {self.run_interleaved:,} cycles instead of "
            f"{self.run_without:,}."
        )
        split = "" if two.split else "No iteration had enough requests to be split in two."
        rest = (
            f"Beyond its bound the iteration takes {two.waits:,} cycles with interleaving, "
            f"{one.waits:,} without: in all {two.cycles:,} instead of {one.cycles:,}."
        )
        return " ".join(filter(None, (verdict, split, self._cause(), rest, self._agreement())))

    def _cause(self) -> str:
        one, two = self.without, self.interleaved
        if one.binding is not two.binding:
            return (
                f"In the largest iteration without it {_held(one.binding, one.bound)}: "
                f"{_sum(one.bounds[one.binding].pieces)}. With it "
                f"{_held(two.binding, two.bound)}: {_sum(two.bounds[two.binding].pieces)}."
            )
        unit = one.binding
        held = f"In the largest iteration, with and without it, {_held(unit, two.bound)}"
        before, after = one.bounds[unit].pieces, two.bounds[unit].pieces
        if before == after:
            return f"{held} either way: {_sum(before)}."
        gained = _sum([piece for piece in after if piece not in before])
        lost = _sum([piece for piece in before if piece not in after])
        return f"{held} instead of {one.bound:,}: {gained}, instead of {lost}."

    def _agreement(self) -> str:
        """Return whether the device has counted the work that the bounds are made from."""
        wrong = (*self.without.disagreements, *self.interleaved.disagreements)
        if not wrong:
            return "The device's counters of rows, columns and bus cycles agree with that work."
        name, counted, expected = wrong[0]
        return (
            f"But the device's counter {name} says {counted:,}, and the program {expected:,}: the "
            "bounds are those of another program."
        )


def compare_interleaving(outcomes: Sequence[_Outcome]) -> Comparison | None:
    """Compare the largest iteration with interleaving and without; None unless both were run.

    Without is the schedule ``heads``, whose overlap within attention is the same.
    """
    by_schedule = {outcome.variant.schedule: outcome for outcome in outcomes}
    heads, both = by_schedule.get(Schedule.HEADS), by_schedule.get(Schedule.INTERLEAVED)
    if not heads or not both or not heads.snapshot or not both.snapshot:
        return None
    return Comparison(
        run_without=heads.cycles,
        run_interleaved=both.cycles,
        without=_Iteration.of(heads.config, heads.snapshot),
        interleaved=_Iteration.of(both.config, both.snapshot),
    )


def _held(unit: Unit, cycles: int) -> str:
    """Return that a unit binds, and for how long it is held."""
    name = str(unit) if unit is Unit.PIM else f"the {unit}"
    several = unit in (Unit.ARRAYS, Unit.VECTOR_UNITS)
    return f"{name} {'bind' if several else 'binds'}, held for at least {cycles:,} cycles"


def _sum(pieces: Sequence[Piece]) -> str:
    """Return what pieces are, the longest ones by name."""
    ranked = sorted(pieces, key=lambda piece: -piece.count * piece.cycles)
    texts = [
        f"{piece.count:,} {piece.what} at {piece.cycles:,} cycles"
        + (f" ({piece.reason})" if piece.reason else "")
        for piece in ranked[:_NAMED]
    ]
    if rest := sum(piece.count * piece.cycles for piece in ranked[_NAMED:]):
        texts.append(f"{rest:,} cycles of others")
    return ", ".join(texts) or "nothing"
