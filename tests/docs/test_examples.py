"""The scripts that a researcher would start from do run, and say what they should."""

import importlib.util
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("configure", "a tile of 32 columns in 187 cycles"),
        ("drive_channel", "0 violations"),
        ("run_program", "matrix GEMM rows=1"),
        ("export_top", "output o: 32 bits"),
    ],
)
def test_example_prints(capsys, name, words):
    load(name).main()
    assert words in capsys.readouterr().out


def test_example_of_a_module_under_pytest():
    load("simulate_module").test_sum_leaves_after_the_latency(3.0, -3.0)


def test_every_example_is_run():
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    assert names == {"configure", "drive_channel", "run_program", "export_top", "simulate_module"}
