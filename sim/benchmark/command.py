"""``python -m sim.benchmark``: engines, rates of memory channel and NPU, waits, errors."""

import argparse
from pathlib import Path

from rich.console import Console

from sim.benchmark.engines import compare
from sim.benchmark.memory.page import page
from sim.benchmark.memory.rates import figures, print_figures
from sim.benchmark.memory.starvation import all_waits, print_waits
from sim.benchmark.memory.sweeps import draw, run_sweeps
from sim.benchmark.npu import accuracy
from sim.benchmark.npu import page as npu


def main() -> int:
    """Run a benchmark; return the exit status, 1 if a wait exceeds its bound."""
    parser = argparse.ArgumentParser(prog="python -m sim.benchmark", description=__doc__)
    parser.add_argument(
        "what",
        nargs="?",
        choices=("engines", "memory", "sweeps", "starvation", "accuracy", "npu"),
        default="engines",
        help="engines: cycles a second of both simulators; memory: rates and longest waits of a "
        "whole channel of paper, some minutes; sweeps: rates over banks, rows and tFAW, as a "
        "picture, some ten minutes; starvation: longest waits alone; accuracy: errors of the "
        "vector unit's functions, over all inputs about a minute on two cores; npu: rates of the "
        "tile, sizes of the array, some minutes (default: engines)",
    )
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="memory, accuracy, npu: write the page, too"
    )
    parser.add_argument(
        "--largest",
        type=int,
        default=64,
        metavar="N",
        help="npu: largest array that is compiled, rows and columns (default: 64)",
    )
    parser.add_argument(
        "--sample", type=int, metavar="N", help="accuracy: N random inputs instead of all"
    )
    parser.add_argument(
        "--full", action="store_true", help="accuracy: all 2^32 inputs one by one, minutes"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="sweeps: folder of the picture (default: here)",
    )
    arguments = parser.parse_args()
    console = Console()
    if arguments.what == "engines":
        compare(console)
        return 0
    if arguments.what == "starvation":
        waits = list(all_waits(console.print))
        print_waits(console, waits, "longest waits in cycles, whole channel of paper")
        return 0 if all(line.kept for line in waits) else 1
    if arguments.what == "sweeps":
        arguments.output.mkdir(parents=True, exist_ok=True)  # before minutes of measuring
        path = draw(run_sweeps(console.print), arguments.output)
        console.print(f"wrote {path}")
        return 0
    if arguments.what == "accuracy":
        if arguments.sample is not None and arguments.sample < 1:
            parser.error(f"--sample must be positive, not {arguments.sample}")
        lines = accuracy.accuracies(arguments.sample, full=arguments.full)
        accuracy.print_accuracies(console, lines)
        text = accuracy.markdown(lines)
    elif arguments.what == "npu":
        tables = list(npu.sections(console, arguments.largest))
        text = npu.markdown(tables, arguments.largest)
    else:
        found, waits = figures(console), list(all_waits(console.print))
        print_figures(console, found, "whole channel of paper, compiled RTL")
        print_waits(console, waits, "longest waits in cycles, whole channel of paper")
        text = page(found, waits)
    if arguments.markdown:
        arguments.markdown.write_text(text + "\n")
    return 0
