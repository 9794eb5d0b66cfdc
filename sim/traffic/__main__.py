"""``python -m sim.traffic``: random traffic on memory channels, everything checked."""

import argparse
import sys
import time

from rich.console import Console
from rich.table import Table

from sim.memory_channel import CompiledChannel
from sim.traffic.geometries import GEOMETRIES
from sim.traffic.run import Totals, TrafficError, run_round

#: Share of the commands that run on ``paper``, which simulates slowest (chosen).
_PAPER_SHARE = 0.1


def _count(text: str) -> int:
    try:
        count = int(text)
    except ValueError:
        count = 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"must be a positive number, not {text!r}")
    return count


def _goals(names: list[str], commands: int) -> dict[str, int]:
    """Return how many commands each geometry is to run."""
    others = [name for name in names if name != "paper"]
    goals = {}
    for name in names:
        share = _PAPER_SHARE if name == "paper" else (1 - _PAPER_SHARE) / len(others)
        goals[name] = int(commands * (share if len(names) > 1 and "paper" in names else 1))
    if "paper" not in names:
        goals = {name: commands // len(names) for name in names}
    return goals


def _run(console: Console, names: list[str], commands: int, seed: int) -> None:
    """Run all geometries; print a line for each."""
    table = Table(title=f"random traffic, seed {seed}: no rule broken, all answers right")
    table.add_column("geometry")
    headings = ("commands", "cycles", "requests", "tiles", "GEMVs", "results", "seconds")
    for heading in headings:
        table.add_column(heading, justify="right")
    total, begin = Totals(), time.monotonic()
    for name, goal in _goals(names, commands).items():
        start, sums, number = time.monotonic(), Totals(), 0
        channel = CompiledChannel(GEOMETRIES[name], console.print)
        index = list(GEOMETRIES).index(name)
        while sums.commands < goal:
            sums += run_round(channel, (seed, index, number))
            number += 1
        total += sums
        seconds = time.monotonic() - start
        cells = [f"{value:,}" for value in vars(sums).values()]
        console.print(f"{name}: {cells[0]} commands in {seconds:.0f} s")
        table.add_row(name, *cells, f"{seconds:.0f}")
    table.add_section()
    sums_of_all = [f"{value:,}" for value in vars(total).values()]
    table.add_row("all", *sums_of_all, f"{time.monotonic() - begin:.0f}")
    console.print(table)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m sim.traffic", description=__doc__)
    parser.add_argument(
        "--commands",
        type=_count,
        default=1_000_000,
        metavar="N",
        help="DRAM commands to run at least, over all geometries (default: 1,000,000)",
    )
    parser.add_argument("--seed", type=_count, default=1, metavar="S", help="(default: 1)")
    parser.add_argument(
        "--geometry",
        action="append",
        choices=tuple(GEOMETRIES),
        help="one geometry only; may be repeated (default: all)",
    )
    arguments = parser.parse_args()
    try:
        _run(
            Console(),
            arguments.geometry or list(GEOMETRIES),
            arguments.commands,
            arguments.seed,
        )
    except TrafficError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
