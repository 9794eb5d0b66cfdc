"""``python -m sim.traffic``: what :mod:`sim.traffic.command` does."""

import sys


def main() -> int:
    """Run the command line; an interrupt is a line, and status 130."""
    try:
        from sim.traffic.command import main as run  # here, since an interrupt may come meanwhile

        return run()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
