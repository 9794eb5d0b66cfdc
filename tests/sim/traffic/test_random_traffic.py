from dataclasses import replace

import numpy as np
import pytest

from hw.controller.pim.result_windows import check_result_latency
from hw.controller.refresh import longest_tile
from hw.die.column_path import check_timing
from hw.die.mac_unit import check_partial_sums
from hw.protocol.commands import Command, PimOperation, Request
from sim.channel.compiled_channel import CompiledChannel, request_dtype
from sim.channel.workload import TileShape, tiles
from sim.trace.command_trace import ACCEPT, KINDS
from sim.traffic.geometries import GEOMETRIES
from sim.traffic.golden import FlatMemory, check_log
from sim.traffic.random_streams import random_numbers, random_operations, random_requests
from sim.traffic.run import TrafficError, check_round, run_round

CONFIG = GEOMETRIES["tiny"]
ROWS = [3, 4, 700]


@pytest.fixture(scope="module")
def channel():
    return CompiledChannel(CONFIG)


def content(seed=0):
    shape = (len(ROWS), CONFIG.memory.banks, CONFIG.memory.row_bytes)
    return random_numbers(np.random.default_rng(seed), int(np.prod(shape))).reshape(shape)


@pytest.mark.parametrize("number", range(4))
def test_seeded_traffic_breaks_no_rule_and_answers_right(channel, number):
    totals = run_round(channel, (7, number), requests=1500)
    assert totals.requests == 1500
    assert min(totals.results, totals.count(Command.PIM_PRECHARGE)) > 20


@pytest.fixture
def checked(channel):
    """Return what `check_log` needs of a run, and the run's log."""
    rng = np.random.default_rng(5)
    requests = random_requests(CONFIG, rng, 300, ROWS)
    pim = random_operations(CONFIG, rng, 20, ROWS)
    log, _totals = check_round(channel, requests, pim, ROWS, content())
    return requests, pim, log


def faults(requests, pim, log):
    return check_log(CONFIG, FlatMemory(CONFIG, ROWS, content()), requests, pim, log)


def test_wrong_data_of_one_read_is_reported(checked):
    requests, pim, log = checked
    assert faults(requests, pim, log) == []
    victim = int(np.flatnonzero(requests["kind"] == Request.READ.value)[-1])
    data = log.read_data.copy()
    data[victim, 5] ^= 1
    (fault,) = faults(requests, pim, replace(log, read_data=data))
    assert fault.startswith(f"read {victim} of bank {requests['bank'][victim]}")


def test_wrong_bit_of_one_result_is_reported(checked):
    requests, pim, log = checked
    results = log.results.copy()
    results[3, 0] ^= 1
    (fault,) = faults(requests, pim, replace(log, results=results))
    assert fault.startswith("result 3 of bank 0 is 0x")


def test_missing_result_is_reported(checked):
    requests, pim, log = checked
    count = len(log.results)
    (fault,) = faults(requests, pim, replace(log, results=log.results[:-1]))
    assert fault == f"{count - 1} results came, not {count}"


def test_tile_that_sees_a_later_write_is_reported(checked):
    requests, pim, log = checked
    is_request = (log.trace["command"] == ACCEPT) & (log.trace["kind"] < KINDS.index("tile"))
    early = np.concatenate([log.trace[is_request], log.trace[~is_request]])
    assert any("result" in fault for fault in faults(requests, pim, replace(log, trace=early)))


def test_cells_that_differ_at_the_end_are_reported(channel, monkeypatch):
    requests = np.zeros(1, request_dtype(CONFIG))
    requests["kind"], requests["row"] = Request.WRITE.value, ROWS[0]
    monkeypatch.setattr(FlatMemory, "write", lambda *_: None)
    requests["data"] = 1
    empty = tiles(CONFIG, 0, TileShape.attend(CONFIG, 16), header=False)
    with pytest.raises(TrafficError, match=r"^the cells differ from byte 0 of row 3 of bank 0 on$"):
        check_round(channel, requests, empty, ROWS, content())


def test_stimulus_has_every_operation_and_command_form():
    pim = random_operations(CONFIG, np.random.default_rng(1), 200, ROWS)
    assert set(pim["operation"].tolist()) == {operation.value for operation in PimOperation}
    within = np.flatnonzero(pim["operation"] == PimOperation.GEMV.value) + 1
    assert pim["gap"][within].max() > 0
    assert {config.controller.pim_commands for config in GEOMETRIES.values()} == {
        "gemv",
        "separate",
    }
    assert {config.controller.pim_header for config in GEOMETRIES.values()} == {False, True}
    forms = {(config.pim.gwrite, config.pim.row_buffers) for config in GEOMETRIES.values()}
    assert forms == {("row", 1), ("row", 2), ("burst", 1), ("burst", 2)}
    assert any(config.memory.subarrays for config in GEOMETRIES.values())
    assert len({config.memory.address_order for config in GEOMETRIES.values()}) == 3


def test_random_operations_stay_within_row_slots_and_vector_buffer():
    for name, config in GEOMETRIES.items():
        pim = random_operations(config, np.random.default_rng(1), 60, [0, 1])
        gemvs = pim[pim["operation"] == PimOperation.GEMV.value].astype(pim.dtype)
        last = gemvs["slots"] - 1
        column = gemvs["column"] + last * gemvs["column_step"] + gemvs["k"]
        offset = gemvs["offset"] + last * gemvs["offset_step"] + gemvs["k"]
        assert column.max() <= config.memory.columns, name
        assert offset.max() <= config.vector_columns, name
        assert (gemvs["slot"] + gemvs["slots"]).max() <= config.pim.slots, name


@pytest.mark.parametrize("config", GEOMETRIES.values(), ids=GEOMETRIES)
def test_every_geometry_can_be_built(config):
    check_result_latency(config)
    check_partial_sums(config)
    check_timing(config)
    assert longest_tile(config) < config.controller.postpone * config.memory.timing.nREFI
