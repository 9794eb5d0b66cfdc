import subprocess
import sys

import numpy as np
import pytest

from hw.npu.vector import golden
from hw.program.instruction_set import Function
from sim.benchmark.npu.accuracy import EXHAUSTIVE, TRUE, accuracies, markdown


@pytest.fixture(scope="module")
def measured():
    return accuracies(sample=200_000, workers=1)


def test_every_function_is_measured():
    assert set(TRUE) == set(Function)


def test_sampled_errors_are_within_the_specification(measured):
    for line in measured:
        assert line.judged > 50_000, line
        assert line.ulp <= 1, line
        assert 0 < line.error <= 2.0**-16 or line.function not in EXHAUSTIVE, line


def test_table_has_a_line_for_every_function(measured):
    lines = markdown(measured).splitlines()
    assert len(lines) == 2 + len(Function)
    assert {line.split(" | ")[1] for line in lines[2:]} == {"200,000 random"}


@pytest.mark.parametrize("function", [Function.RECIPROCAL, Function.RSQRT])
def test_one_binade_of_each_parity_stands_for_all(function):
    fraction = np.random.default_rng(0).integers(0, 1 << 23, (1, 500), dtype=np.uint32)
    exponents = np.arange(3, 252, dtype=np.uint32)[:, None]
    x = (exponents << np.uint32(23) | fraction).view(np.float32)
    parity = 127 + ((exponents + 1) & int(function is Function.RSQRT))
    standing = (parity.astype(np.uint32) << np.uint32(23) | fraction).view(np.float32)
    power = exponents.astype(int) - parity
    scale = 2.0 ** (-power / 2 if function is Function.RSQRT else -power)
    np.testing.assert_array_equal(
        golden.function(function, x), golden.function(function, standing) * scale
    )


def test_exponential_is_one_below_what_is_measured():
    bits = np.random.default_rng(1).integers(0, 127 - 27 << 23, 100_000, dtype=np.uint32)
    for sign in (0, 1 << 31):
        assert (golden.function(Function.EXP, (bits | np.uint32(sign)).view(np.float32)) == 1).all()


def test_a_wrong_function_is_found(monkeypatch):
    monkeypatch.setitem(TRUE, Function.SILU, lambda x: x)
    line = next(one for one in accuracies(sample=1000) if one.function is Function.SILU)
    assert line.error > 0.1
    assert line.ulp > 1


def test_sample_must_be_positive():
    with pytest.raises(ValueError, match=r"^sample must be positive, not 0$"):
        accuracies(sample=0)


def test_command_rejects_a_sample_in_one_line_with_status_2():
    command = [sys.executable, "-m", "sim.benchmark", "accuracy", "--sample", "-3"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1].endswith("--sample must be positive, not -3")


def test_command_writes_the_table(tmp_path):
    table = tmp_path / "table.md"
    command = [sys.executable, "-m", "sim.benchmark", "accuracy", "--sample", "1000"]
    subprocess.run([*command, "--markdown", str(table)], check=True, capture_output=True)
    assert len(table.read_text().splitlines()) == 2 + len(Function)
