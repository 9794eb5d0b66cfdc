"""``neupims check-trace``: the protocol monitor over a command trace."""

import argparse
from contextlib import nullcontext
from pathlib import Path

from rich.console import Console

from hw.config import Config
from hw.presets import PRESETS
from scheduler.commands.configuration import load_config
from scheduler.commands.errors import UsageError
from scheduler.commands.files import check_readable
from sim.monitor.monitor import Monitor
from sim.trace.command_trace import ACCEPT
from sim.trace.trace_file import read_csv

__all__ = ["add_parser"]

_DESCRIPTION = """\
Check a trace of DRAM commands (neupims run --commands writes them; docs/command-trace.md has the
format) against the rules of a channel: every timing constraint, the states of both row buffers, the
order of acceptance, the global vector buffer, refresh, and both buses. Each violation is a line:
where, the rule, the command, the one before it that matters, and the cycles that are missing."""

_EPILOG = """\
exit status: 0 no violation, 1 violations, 2 the trace or the configuration cannot be used (one line
says which line of the trace, what it holds, and what it must be)

examples:
  neupims run --variant interleaved --commands trace.csv && neupims check-trace trace.csv
  neupims check-trace blocked.csv --config paper --row-buffers 1"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "check-trace",
        help="check a trace of DRAM commands",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the trace, as CSV")
    parser.add_argument(
        "--config",
        default="tiny",
        help=f"of the device that the trace is from: a preset ({', '.join(PRESETS)}) or a .toml "
        "file (default: tiny)",
    )
    parser.add_argument(
        "--row-buffers",
        type=int,
        choices=(1, 2),
        help="row buffers of a bank, 1 for a trace of the blocked baseline (default: those of the "
        "configuration)",
    )
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit status."""
    console = Console(stderr=True)
    config = load_config(options.config)
    if options.row_buffers is not None:
        config = config.replace(row_buffers=options.row_buffers)
    check_readable(options.file, "FILE")
    status = console.status if console.is_terminal else lambda _text: nullcontext()
    with status(f"reading {options.file}"):
        try:
            trace = read_csv(config, options.file)
        except ValueError as error:
            raise UsageError(f"{options.file}: {error} (configuration {config.name})") from None
    accepted = int((trace["command"] == ACCEPT).sum())
    end = int(trace["cycle"].max(initial=0))
    with status(f"checking {len(trace):,} records"):
        violations = Monitor(config).check(trace, end=end)
    for violation in violations:
        print(violation)
    print(_summary(options.file, config, len(trace) - accepted, accepted, len(violations)))
    return 1 if violations else 0


def _summary(path: Path, config: Config, commands: int, accepted: int, violations: int) -> str:
    """Return what was checked, in a line."""
    counts = {"command": commands, "acceptance": accepted, "violation": violations}
    words = [f"{n:,} {name}{'' if n == 1 else 's'}" for name, n in counts.items()]
    buffers = "1 row buffer" if config.pim.row_buffers == 1 else "2 row buffers"
    text = f"{path}: {', '.join(words)} of {config.name} with {buffers}"
    if not accepted:
        text += "; rules 3 and 7 not checked: the trace has no ACCEPT lines"
    return text
