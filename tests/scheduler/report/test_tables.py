import io

import pytest
from rich.console import Console

from hw.presets import PAPER, TINY
from scheduler.report.tables import Variant, measure, variant_rows, variants_table

IDLE = {"matrix_macs": 0, "vector_busy": 0, "pim_columns": 0, "ca_busy": 0, "bus_busy": 0}


def variant(name, cycles, tokens=10, **counters):
    return Variant(
        name=name, config=TINY, cycles=cycles, tokens=tokens, counters={**IDLE, **counters}
    )


@pytest.mark.parametrize("config", [PAPER, TINY], ids=["paper", "tiny"])
def test_units_that_never_rest_are_utilized_fully(config):
    cycles = 1000
    counters = {
        "matrix_macs": cycles
        * config.npu.array_rows
        * config.npu.array_columns
        * config.npu.arrays,
        "vector_busy": cycles,
        "pim_columns": cycles
        // config.memory.timing.nCCDL
        * config.memory.banks
        * config.memory.channels,
        "ca_busy": cycles * config.memory.channels,
        "bus_busy": cycles * config.memory.channels,
    }
    used = measure(config, cycles, counters)
    assert used.systolic_array == pytest.approx(1)
    assert used.vector_unit == pytest.approx(1)
    assert used.pim == pytest.approx(1)
    assert used.command_bus == pytest.approx(1)
    assert used.data_bus == pytest.approx(1)


def test_speed_up_is_of_cycles_a_token_over_the_first_variant():
    rows = variant_rows([variant("serial", 1000), variant("heads", 500), variant("b", 500, 20)])
    assert [row["speed_up"] for row in rows] == [1.0, 2.0, 4.0]
    assert [row["cycles_per_token"] for row in rows] == [100.0, 50.0, 25.0]


def test_the_table_shows_every_variant_with_its_numbers():
    table = variants_table(
        [variant("serial", 12345), variant("interleaved", 6000, matrix_macs=48000)], title="tiny"
    )
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(table)
    text = console.export_text()
    for expected in ("tiny", "serial", "12,345", "1,234.5", "interleaved", "50.0%", "2.06 ×"):
        assert expected in text


def test_no_cycles_are_refused():
    with pytest.raises(ValueError, match=r"^cycles must be at least 1, not 0$"):
        measure(TINY, 0, IDLE)
