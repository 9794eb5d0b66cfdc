"""``python -m sim.benchmark``: both engines side by side."""

import argparse

from rich.console import Console

from sim.benchmark.engines import compare


def main() -> None:
    """Run the benchmark."""
    argparse.ArgumentParser(prog="python -m sim.benchmark", description=__doc__).parse_args()
    compare(Console())


if __name__ == "__main__":
    main()
