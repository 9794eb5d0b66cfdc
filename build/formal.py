"""Prove the rules of a memory channel on small geometry, and that faults break the proofs.

``python build/formal.py`` needs the extra ``formal``; it prints each verdict as it comes, then the
tables that docs/formal.md explains. Exit status 0: every property holds and every mutant is caught;
1: one does not or is not; 2: unusable arguments or tools.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from rich.console import Console
from rich.table import Table

from hw.formal.coverage import COVERED
from hw.formal.mutants import MUTANTS, Mutant
from hw.formal.proofs import COVERAGE, PROOFS, Task
from hw.formal.prover import Prover, Verdict


@dataclass(frozen=True, slots=True)
class _Job:
    """A verdict to come: of a property, or of the property that a mutant must break."""

    task: Task
    guarded: str
    mutant: Mutant | None
    judge: Callable[[], Verdict]

    @property
    def covers(self) -> bool:
        """Whether it is no property, but what a search must be able to see."""
        return self.guarded == COVERED

    def expected(self, verdict: Verdict) -> bool:
        """Return whether the verdict is as it must be."""
        found = self.mutant or self.covers
        return verdict.holds is False if found else verdict.holds is not False

    def said(self, verdict: Verdict) -> str:
        """Return the verdict in words."""
        if self.covers:
            return f"seen within {verdict.cycles} cycles" if verdict.holds is False else "not seen"
        if verdict.holds is None:
            reach = "not broken" if self.mutant else "holds"
            return f"{reach} within {verdict.cycles} cycles of reset"
        return "for all time" if verdict.holds else f"broken after {verdict.cycles} cycles"


def _jobs(
    folder: Path, rules: set[int], seconds: int, with_proofs: bool, with_mutants: bool
) -> Iterator[_Job]:
    """Make the designs one by one, each in a folder, and what is to be judged of each."""
    tasks = [task for task in PROOFS if with_proofs and task.rule in rules]
    searched = {task.geometry for task in tasks if task.rule}
    for number, task in enumerate([*(t for t in COVERAGE if t.geometry in searched), *tasks]):
        prover = Prover(task.make(task.geometry), folder / f"proof_{number}")
        for name in prover.properties:
            yield _Job(task, name, None, _judge(prover, name, task, seconds))
    for number, mutant in enumerate(MUTANTS if with_mutants else ()):
        if mutant.rule not in rules:
            continue
        with mutant.fault():
            prover = Prover(mutant.task.make(mutant.task.geometry), folder / f"mutant_{number}")
        (name, *_) = (n for n in prover.properties if n.startswith(mutant.guarded))
        task = replace(mutant.task, cycles=mutant.cycles, for_all_time=False)
        yield _Job(mutant.task, name, mutant, _judge(prover, name, task, seconds))


def _judge(prover: Prover, name: str, task: Task, seconds: int) -> Callable[[], Verdict]:
    engine = prover.prove if task.for_all_time else prover.unroll
    return lambda: engine(name, cycles=task.cycles, seconds=seconds)


def main(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="build/formal.py", description=__doc__.splitlines()[0])
    rules = sorted({task.rule for task in PROOFS})
    parser.add_argument("--rule", type=int, nargs="+", choices=rules, default=rules)
    parser.add_argument("--only", choices=("proofs", "mutants"), help="half of the work")
    parser.add_argument("--jobs", type=int, default=2, help="properties at a time (default 2)")
    parser.add_argument("--seconds", type=int, default=400, help="a property may take (400)")
    options = parser.parse_args(arguments)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 150)
    start = monotonic()

    def judge(job: _Job) -> tuple[_Job, Verdict]:
        verdict = job.judge()
        mark = "" if job.expected(verdict) else "  <- WRONG"
        label = f"{job.mutant.name}: {job.guarded}" if job.mutant else job.guarded
        rule = "" if job.covers else f"rule {job.task.rule}, "
        console.print(
            f"{verdict.seconds:6.1f} s  {rule}{job.task.geometry.name}: "
            f"{label}: {job.said(verdict)}{mark}",
            soft_wrap=True,
        )
        return job, verdict

    with_proofs, with_mutants = options.only != "mutants", options.only != "proofs"
    try:
        with TemporaryDirectory() as folder, ThreadPoolExecutor(options.jobs) as pool:
            chosen = set(options.rule)
            jobs = _jobs(Path(folder), chosen, options.seconds, with_proofs, with_mutants)
            running = [pool.submit(judge, job) for job in jobs]
            results = [future.result() for future in running]
    except ValueError as error:
        print(f"build/formal.py: {error}", file=sys.stderr)
        return 2
    wrong = sum(not job.expected(verdict) for job, verdict in results)
    _summary(console, results)
    print(f"{len(results)} verdicts, {wrong} wrong, {monotonic() - start:.0f} s")
    return 1 if wrong else 0


def _summary(console: Console, results: list[tuple[_Job, Verdict]]) -> None:
    """Print a line for each rule and geometry, and one for each mutant."""
    table = Table("rule", "geometry", "property", "proven", "covers", "s", title="What was proven")
    least = {job.task.geometry: verdict.cycles for job, verdict in results if job.covers}
    groups: dict[tuple[Task, str, str], list[tuple[str, float]]] = {}
    for job, verdict in results:
        if job.mutant or job.covers:
            continue
        needed = least.get(job.task.geometry, 0)
        deep = verdict.cycles >= needed > 0 and not verdict.holds
        covers = "all" if verdict.holds else f"yes ({needed})" if deep else f"no ({needed})"
        # Lines of the timing table, and fields of the queue, that were proven alike are one line.
        kind = job.guarded.split(":")[0]
        key = job.task, kind, f"{job.said(verdict)}|{covers}"
        groups.setdefault(key, []).append((job.guarded, verdict.seconds))
    for (task, kind, said), members in groups.items():
        proven, covers = said.split("|")
        name = members[0][0] if len(members) == 1 else f"{kind}: {len(members)} of them"
        seconds = sum(taken for _name, taken in members)
        table.add_row(
            str(task.rule) if task.rule else "queue",
            task.geometry.name,
            name,
            proven,
            covers if task.rule else "",
            f"{seconds:.0f}",
        )
    console.print(table)
    table = Table("mutant", "property of rule", "", title="What the mutants break")
    for job, verdict in results:
        if job.mutant:
            guarded = f"{job.task.rule}: {job.guarded}"
            table.add_row(job.mutant.name, guarded, job.said(verdict))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
