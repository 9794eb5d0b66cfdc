"""The benchmark of the NPU tile: what it measures equals the formulas that it prints."""

import numpy as np
import pytest

from hw.npu.matrix.unit import MatrixUnit
from hw.presets import TINY
from hw.program.assembly import assemble
from sim.benchmark.npu import page as npu
from sim.benchmark.npu.matrix_rates import (
    Shape,
    gemm_cycles,
    scale_sim_cycles,
    scale_sim_formula,
    shaped,
)
from sim.benchmark.npu.vector_rates import INSTRUCTIONS, measure
from sim.devices.compiled_device import RtlDevice


@pytest.mark.parametrize("seed", range(6))
def test_tiles_follow_at_the_period_of_the_formula_over_random_shapes(seed):
    rng = np.random.default_rng(seed)
    rows, columns, arrays = (int(2 ** rng.integers(low, 4)) for low in (1, 1, 0))
    config = shaped(rows, columns, min(arrays, 2))
    m, tiles = int(rng.integers(1, 3 * rows)), int(rng.integers(2, 5))
    completions = gemm_cycles(config, tiles, m)
    assert set(np.diff(completions)) == {MatrixUnit.period_of(config, m)}, (config.name, m)
    # The first one: its weights, then its rows through the array.
    ready = max(1, MatrixUnit.weight_cycles_of(config) - 1)
    assert completions[0] == 1 + ready + MatrixUnit.latency_of(config) + m - 1


@pytest.mark.parametrize("case", INSTRUCTIONS[:1])
def test_vector_instructions_take_the_cycles_of_their_formula(case):
    _name, opcode, function = case
    took, formula = measure(TINY, opcode, function, rows=2, n=8)
    assert took == formula


def test_formula_of_scale_sim_is_what_it_counts():
    pytest.importorskip("scalesim")
    for size, shape in (((4, 4), Shape(8, 8, 8)), ((8, 4), Shape(5, 9, 6))):
        config = shaped(*size)
        assert scale_sim_cycles(config, shape) == scale_sim_formula(config, shape)


@pytest.mark.parametrize("tail_step", [None, 9 * TINY.memory.row_bytes])
def test_weight_stream_keeps_every_channel_busy(tail_step):
    result = RtlDevice(TINY).run(assemble(npu.weight_stream(tail_step)))
    assert min(npu.bus_shares(result)) >= 0.9


def test_tables_become_markdown():
    section = npu.Section("Title", "Words.", ("what", "how many"), [("rows", "4")])
    assert npu.markdown([section], 4).endswith(
        "## Title\n\nWords.\n\n| what | how many |\n|---|--:|\n| rows | 4 |"
    )
