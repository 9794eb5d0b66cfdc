"""``neupims check-trace``: the protocol monitor over a command trace."""

import argparse
from contextlib import nullcontext
from pathlib import Path

from rich.console import Console

from hw.config import Config
from hw.presets import PRESETS
from scheduler.commands.configuration import load_config
from scheduler.commands.errors import UsageError
from sim.monitor.monitor import Monitor
from sim.monitor.premises import Premises
from sim.trace.command_trace import ACCEPT, lacks_columns
from sim.trace.trace_file import read_csv

__all__ = ["add_parser"]

_DESCRIPTION = """\
Check a trace of DRAM commands (neupims run --commands writes them; docs/command-trace.md has the
format) against the rules of a channel: every timing constraint, the states of both row buffers, the
order of acceptance, the global vector buffer, refresh, and both buses. Each violation is a line:
where, the rule, the command, the one before it that matters, and the cycles that are missing. The
last line says what was not checked."""

_EPILOG = """\
exit status: 0 no violation, 1 violations, 2 the trace or the configuration cannot be used (one line
says which line of the trace, what it holds, and what it must be)

examples:
  neupims run --variant interleaved --commands trace.csv && neupims check-trace trace.csv
  neupims check-trace blocked.csv --config paper --row-buffers 1
  neupims check-trace window.csv.gz --config hbm3 --window --separate-buses
  gunzip -c trace.csv.gz | neupims check-trace /dev/stdin --no-refresh"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "check-trace",
        help="check a trace of DRAM commands",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="the trace, as CSV, plain or gzip; a pipe will do"
    )
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
    premises = parser.add_argument_group("traces of other kinds")
    premises.add_argument(
        "--window",
        action="store_true",
        help="the trace is cut from mid-run: what was before its first record, and comes after its "
        "last one, is unknown",
    )
    premises.add_argument(
        "--cut-end",
        action="store_true",
        help="the trace begins at reset, but ends before all that was accepted has been served",
    )
    premises.add_argument(
        "--no-refresh", action="store_true", help="the device does not refresh its ranks"
    )
    premises.add_argument(
        "--separate-buses",
        action="store_true",
        help="row commands and column commands have a C/A bus each, as in HBM",
    )
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit status."""
    console = Console(stderr=True)
    config = load_config(options.config)
    if options.row_buffers is not None:
        config = config.replace(row_buffers=options.row_buffers)
    premises = Premises(
        from_reset=not options.window,
        to_end=not (options.window or options.cut_end),
        refreshed=not options.no_refresh,
        separate_buses=options.separate_buses,
    )
    status = console.status if console.is_terminal else lambda _text: nullcontext()
    with status(f"reading {options.file}"):
        try:
            trace = read_csv(config, options.file)
        except OSError as error:
            raise UsageError(
                f"FILE must be a readable file, not {str(options.file)!r} "
                f"({error.strerror or error})"
            ) from None
        except ValueError as error:
            raise UsageError(f"{options.file}: {error} (configuration {config.name})") from None
    if not len(trace):
        raise UsageError(f"{options.file}: there is nothing to check: a header, but no records")
    accepted = int((trace["command"] == ACCEPT).sum())
    with status(f"checking {len(trace):,} records"):
        violations = Monitor(config, premises).check(trace, end=int(trace["cycle"].max()))
    for violation in violations:
        print(violation)
    counts = {
        "command": len(trace) - accepted,
        "acceptance": accepted,
        "violation": len(violations),
    }
    unchecked = premises.unchecked(acceptances=accepted > 0, columns=not lacks_columns(trace))
    print(_summary(options.file, config, counts, unchecked))
    return 1 if violations else 0


def _summary(path: Path, config: Config, counts: dict[str, int], unchecked: list[str]) -> str:
    """Return what was checked, and what was not, in a line."""
    words = [f"{n:,} {name}{'' if n == 1 else 's'}" for name, n in counts.items()]
    buffers = "1 row buffer" if config.pim.row_buffers == 1 else "2 row buffers"
    text = f"{path}: {', '.join(words)} of {config.name} with {buffers}"
    return "; ".join([text, *unchecked])
