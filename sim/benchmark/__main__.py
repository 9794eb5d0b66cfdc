"""``python -m sim.benchmark``: both engines, rates of the memory channel, errors of functions."""

import argparse
from pathlib import Path

from rich.console import Console

from sim.benchmark import accuracy
from sim.benchmark.engines import compare
from sim.benchmark.memory import figures, markdown, print_figures


def main() -> None:
    """Run a benchmark."""
    parser = argparse.ArgumentParser(prog="python -m sim.benchmark", description=__doc__)
    parser.add_argument(
        "what",
        nargs="?",
        choices=("engines", "memory", "accuracy"),
        default="engines",
        help="engines: cycles a second of both simulators; memory: rates of a whole channel of "
        "paper, some minutes; accuracy: errors of the vector unit's functions, over all inputs "
        "about ten minutes on two cores (default: engines)",
    )
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="memory, accuracy: write the table, too"
    )
    parser.add_argument(
        "--sample", type=int, metavar="N", help="accuracy: N random inputs instead of all"
    )
    arguments = parser.parse_args()
    console = Console()
    if arguments.what == "engines":
        compare(console)
        return
    if arguments.what == "accuracy":
        if arguments.sample is not None and arguments.sample < 1:
            parser.error(f"--sample must be positive, not {arguments.sample}")
        lines = accuracy.accuracies(arguments.sample)
        accuracy.print_accuracies(console, lines)
        text = accuracy.markdown(lines)
    else:
        found = figures(console)
        print_figures(console, found, "whole channel of paper, compiled RTL")
        text = markdown(found)
    if arguments.markdown:
        arguments.markdown.write_text(text + "\n")


if __name__ == "__main__":
    main()
