"""``python -m sim.benchmark``: both engines side by side, or the rates of the memory channel."""

import argparse
from pathlib import Path

from rich.console import Console

from sim.benchmark.engines import compare
from sim.benchmark.memory import figures, markdown, print_figures


def main() -> None:
    """Run a benchmark."""
    parser = argparse.ArgumentParser(prog="python -m sim.benchmark", description=__doc__)
    parser.add_argument(
        "what",
        nargs="?",
        choices=("engines", "memory"),
        default="engines",
        help="engines: cycles a second of both simulators; memory: rates of a whole channel of "
        "paper, some minutes (default: engines)",
    )
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="memory: write the table to a file, too"
    )
    arguments = parser.parse_args()
    console = Console()
    if arguments.what == "engines":
        compare(console)
        return
    found = figures(console)
    print_figures(console, found, "whole channel of paper, compiled RTL")
    if arguments.markdown:
        arguments.markdown.write_text(markdown(found) + "\n")


if __name__ == "__main__":
    main()
