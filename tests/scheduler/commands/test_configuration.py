"""Timing in configuration files: cycles and nanoseconds, and what is said of them."""

from dataclasses import replace

import pytest

from hw.presets import HBM3, PAPER
from scheduler.commands.configuration import load_config
from scheduler.commands.errors import UsageError


@pytest.fixture
def load(tmp_path):
    def run(timing):
        path = tmp_path / "mine.toml"
        path.write_text(f'preset = "paper"\n[memory.timing]\n{timing}\n')
        return load_config(str(path)).memory.timing

    return run


def test_times_in_nanoseconds(load, capsys):
    timing = load("tCK = 0.8\ntRCD = 14.0\ntRRD_S = 4.0\nnRRDS = 4\ntREFI = 3900\nnCL = 15\n")
    assert (timing.nRCD, timing.nRRDS, timing.nREFI, timing.nCL) == (18, 5, 4875, 15)
    assert timing.nRAS == PAPER.memory.timing.nRAS
    assert capsys.readouterr().err == ""


def test_fields_may_stand_outside_of_all_tables(tmp_path):
    path = tmp_path / "flat.toml"
    path.write_text(
        'preset = "hbm3"\nranks = 3\nage = 2048\n[timing]\nnFAW = 30\n[pim]\nslots = 8\n'
    )
    config = load_config(str(path))
    assert config == HBM3.replace(
        name="flat",
        ranks=3,
        age=2048,
        slots=8,
        timing=replace(HBM3.memory.timing, nFAW=30),
    )


def test_what_is_used_in_place_of_a_value_is_said(load, capsys, tmp_path):
    assert load("nRC = 47").row_cycle == 48
    assert capsys.readouterr().err == (
        "neupims: nRC is 47 cycles, less than nRAS + nRP: 48 cycles are used "
        f"(in {tmp_path}/mine.toml)\n"
    )


@pytest.mark.parametrize(
    ("timing", "message"),
    [
        ("nRC = 46", "nRC must be at least nRAS + nRP (48 cycles), not 46"),
        ("tCK = 1\ntRC = 46", "nRC must be at least nRAS + nRP (48 cycles), not 46"),
        ("nRFC = 3900", "nRFC must be below nREFI (3900 cycles), not 3900"),
        ("tCK = 0.5\ntRFC = 3000", "nRFC must be below nREFI (3900 cycles), not 6000"),
        ("tRCD = 14.0", "tCK must be given, in nanoseconds, beside tRCD"),
        ("tCK = 1\ntRCD = nan", "tRCD must be a positive number of nanoseconds, not nan"),
        ("tCK = 1\ntRCD = [14]", "tRCD must be a positive number of nanoseconds, not [14]"),
        ("tCK = 1\ntRCD = 14\nnRCD = '14'", "memory.timing.nRCD must be a whole number, not '14'"),
        ("tCK = 1\ntXYZ = 14\ntRP = 14", "memory.timing.tXYZ must be one of nRCD, "),
    ],
)
def test_timing_that_cannot_be(load, timing, message, tmp_path):
    with pytest.raises(UsageError) as failure:
        load(timing)
    assert str(failure.value).startswith(message)
    assert str(failure.value).endswith(f"(in {tmp_path}/mine.toml)")
