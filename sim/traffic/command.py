"""``python -m sim.traffic``: random traffic on memory channels, everything checked."""

import argparse
import functools
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from hw.protocol.commands import Command
from sim.traffic.geometries import GEOMETRIES
from sim.traffic.stretches import Outcome, run_stretches, stretches

#: Columns of a page that is no terminal.
_WIDTH = 120

_INTRODUCTION = """\
# Random traffic

Made by `python -m sim.traffic --commands {commands} --seed {seed} --markdown FILE`: reads, writes
and tiles of every shape at every pace on whole channels (`sim/traffic/geometries.py`), as compiled
RTL. Counted are commands on the C/A bus, as `docs/command-trace.md` names them. Every read must
return what a flat memory holds, every result must equal the golden model bit for bit, the cells
must hold all writes at the end (else: mismatches), and the monitor must find nothing (violations).

A failure names geometry and seed; `--geometry NAME --seed S` with the first number of that seed
repeats it."""


class _Section(NamedTuple):
    """A table: its title, what stands above its columns, and its lines."""

    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]


def _sections(outcomes: dict[str, Outcome]) -> list[_Section]:
    """Return what was run on each geometry, and how many commands of each kind."""
    everything = Outcome()
    for outcome in outcomes.values():
        everything += outcome
    columns = outcomes | {"all": everything}
    rows = []
    for name, outcome in columns.items():
        totals = outcome.totals
        numbers = (
            *(totals.total, totals.cycles, totals.requests, totals.count(Command.PIM_PRECHARGE)),
            *(totals.results, outcome.violations, outcome.mismatches, round(outcome.seconds)),
        )
        rows.append((name, *(f"{number:,}" for number in numbers)))
    head = ("geometry", "commands", "cycles", "reads, writes", "tiles", "results")
    head += ("violations", "mismatches", "CPU seconds")
    kinds = [
        (command.name, *(f"{outcome.totals.count(command):,}" for outcome in columns.values()))
        for command in Command
        if command is not Command.NOP
    ]
    return [
        _Section("What was run", head, rows),
        _Section("Commands on the C/A buses", ("command", *columns), kinds),
    ]


def _print(console: Console, sections: Sequence[_Section]) -> None:
    for section in sections:
        table = Table(title=section.title)
        for number, heading in enumerate(section.head):
            table.add_column(heading, justify="right" if number else "left", overflow="fold")
        for row in section.rows:
            table.add_row(*row)
        console.print(table)


def _markdown(sections: Sequence[_Section], commands: int, seed: int) -> str:
    parts = [_INTRODUCTION.format(commands=commands, seed=seed)]
    for section in sections:
        parts += ["", f"## {section.title}", "", f"| {' | '.join(section.head)} |"]
        parts.append("|---" + "|--:" * (len(section.head) - 1) + "|")
        parts += [f"| {' | '.join(row)} |" for row in section.rows]
    return "\n".join(parts) + "\n"


def _count(text: str) -> int:
    try:
        count = int(text)
    except ValueError:
        count = 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"must be a positive number, not {text!r}")
    return count


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m sim.traffic",
        description=__doc__,
        epilog="A failure names geometry and seed; --geometry NAME --seed S with the first number "
        "of that seed repeats it. Runs of different seeds add up: ten of a million are one of ten "
        "million. Exit status: 0 nothing wrong, 1 something was.",
    )
    parser.add_argument(
        "--commands",
        type=_count,
        default=1_000_000,
        metavar="N",
        help="commands on the C/A bus to run at least, over all geometries (default: 1,000,000)",
    )
    parser.add_argument("--seed", type=_count, default=1, metavar="S", help="(default: 1)")
    parser.add_argument(
        "--geometry",
        action="append",
        choices=tuple(GEOMETRIES),
        help="one geometry only; may be repeated (default: all)",
    )
    parser.add_argument(
        "--workers",
        type=_count,
        default=os.cpu_count(),
        metavar="W",
        help="processes (default: one a core)",
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the page, too")
    arguments = parser.parse_args()
    names = list(dict.fromkeys(arguments.geometry or GEOMETRIES))
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    tasks = list(stretches(names, arguments.commands, arguments.seed))
    announce = functools.partial(console.print, highlight=False, markup=False)
    try:
        outcomes = run_stretches(tasks, arguments.workers, announce)
    except KeyboardInterrupt:
        return 130
    sections = _sections(outcomes)
    _print(console, sections)
    if arguments.markdown:
        arguments.markdown.write_text(_markdown(sections, arguments.commands, arguments.seed))
        announce(f"wrote {arguments.markdown}")
    return 1 if any(outcome.failures for outcome in outcomes.values()) else 0
