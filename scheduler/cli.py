"""The command line: ``neupims COMMAND``."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from scheduler.commands import check_trace, export, run
from scheduler.commands.errors import UsageError

__all__ = ["main"]


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="neupims",
        description="NeuPIMs: an NPU with dual-row-buffer PIM as RTL, and its host scheduler.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (run, export, check_trace):
        command.add_parser(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status.

    0 if all is well, 1 if a check failed, 2 if something given is unusable (one line on standard
    error), 130 if interrupted.
    """
    signal.signal(signal.SIGTERM, _terminate)
    try:
        options = _parser().parse_args(arguments)
        status = options.command(options)
        sys.stdout.flush()
        return int(status)
    except UsageError as error:
        print(f"neupims: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("neupims: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone: nothing is left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _terminate(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
