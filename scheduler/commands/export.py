"""``neupims export``: the tops as Verilog."""

import argparse
from pathlib import Path

from rich.console import Console

from hw.export.emit import export
from hw.export.tops import TOPS
from hw.presets import PRESETS
from scheduler.commands.configuration import load_config
from scheduler.commands.errors import UsageError
from scheduler.commands.files import folder, output_folder

__all__ = ["add_parser"]


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "export",
        help="write Verilog",
        description="Write Verilog of the tops, and a manifest.",
        epilog="example: neupims export --config paper --top mac_unit -o verilog",
    )
    parser.add_argument(
        "--config",
        default="tiny",
        help=f"a preset ({', '.join(PRESETS)}) or a .toml file (default: tiny)",
    )
    parser.add_argument(
        "--top", action="append", choices=list(TOPS), help="may be repeated (default: all)"
    )
    parser.add_argument(
        "-o", "--out", type=folder, default=Path("out"), help="folder (default: out)"
    )
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit status."""
    console = Console()
    config = load_config(options.config)
    with output_folder(options.out, "--out") as out:
        try:
            written = export(config, options.top or list(TOPS), out)
        except ValueError as error:
            raise UsageError(f"{error} (configuration {config.name})") from None
    for path in written:
        console.print(f"wrote {path}", soft_wrap=True, highlight=False)
    return 0
