"""What `.ci/run` calls, with every program replaced by one that writes down how it was called."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = ("python3", "python", "pip", "pytest", "ruff", "mypy", "neupims")
STAND_IN = """#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLS"
case "$*" in
    "-m venv "*) mkdir -p "$3/bin"; : > "$3/bin/activate" ;;
    "$FAILS"*) exit 1 ;;
esac
"""


@pytest.fixture
def calls(tmp_path):
    """Run it; return its exit status and the programs that it called."""
    for name in PROGRAMS:
        (tmp_path / name).write_text(STAND_IN)
        (tmp_path / name).chmod(0o755)

    def run(fails="nothing"):
        log = tmp_path / "calls"
        path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
        environment = os.environ | {"PATH": path, "CALLS": str(log), "FAILS": fails}
        done = subprocess.run([ROOT / ".ci" / "run"], env=environment, capture_output=True)
        return done.returncode, log.read_text().splitlines()

    return run


def test_the_slow_tests_run_before_the_readmes_test_command_which_comes_last(calls):
    status, lines = calls()
    assert status == 0
    slow, quick = (call for call in lines if call.startswith("pytest"))
    assert slow.startswith("pytest -m slow")
    assert "-k" not in slow.split()
    assert quick.split() == ["pytest"]
    assert lines[-1] == quick
    assert lines.index("pip install -e .[test]") < lines.index(slow)


def test_a_slow_test_that_fails_ends_it(calls):
    status, lines = calls(fails="-m slow")
    assert status != 0
    assert lines[-1].startswith("pytest -m slow")
