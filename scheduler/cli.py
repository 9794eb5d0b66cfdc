"""The command line: ``neupims COMMAND``."""

import argparse
import io
import os
import signal
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import NoReturn

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    # Only now, so that an interrupt while modules are loaded is one like any other.
    from scheduler.commands import check_trace, export, run
    from scheduler.commands.errors import UsageError

    class Parser(argparse.ArgumentParser):
        """Says what is wrong in one line."""

        def error(self, message: str) -> NoReturn:
            raise UsageError(f"{message} (see {self.prog} --help)")

    parser = Parser(
        prog="neupims",
        description="NeuPIMs: an NPU with dual-row-buffer PIM as RTL, and its host scheduler.",
        epilog="example: neupims run --variant heads --out out",
    )
    parser.add_argument("--version", action="version", version=f"neupims {_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (run, export, check_trace):
        command.add_parser(commands)
    return parser


def _version() -> str:
    try:
        return metadata.version("neupims")
    except metadata.PackageNotFoundError:
        return "of a checkout that is not installed"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status.

    0 if all is well, 1 if a check failed, 2 if something given is unusable (one line on standard
    error), 130 if interrupted.
    """
    for name in ("SIGTERM", "SIGHUP"):
        if number := getattr(signal, name, None):
            signal.signal(number, _terminate)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows ASCII alone
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        print("neupims: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone: nothing is left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        print(f"neupims: {_said(error)}", file=sys.stderr)
        return 2


def _run(arguments: Sequence[str] | None) -> int:
    from scheduler.commands.errors import UsageError

    try:
        options = _parser().parse_args(arguments)
        status = options.command(options)
        sys.stdout.flush()
        return int(status)
    except UsageError as error:
        print(f"neupims: {' '.join(str(error).splitlines())}", file=sys.stderr)
        return 2


def _said(error: OSError) -> str:
    """Return in a line what the system refused."""
    from scheduler.commands.errors import os_error_text

    return os_error_text(error)


def _terminate(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
