from pathlib import Path

import numpy as np
import pytest

from hw.presets import TINY
from hw.protocol.commands import Command, PimOperation, Request
from sim.channel.compiled_channel import CompiledChannel, pim_dtype, request_dtype
from sim.monitor.monitor import Monitor

#: Cells of 128 MiB, nearly all of which stay untouched.
LARGE = TINY.replace(rows=1 << 18)


@pytest.fixture(scope="module")
def compiled():
    return CompiledChannel(LARGE)


@pytest.fixture
def channel(compiled):
    compiled.reset()
    return compiled


def ordinary(kind, places, seed=0):
    requests = np.zeros(len(places), request_dtype(LARGE))
    requests["kind"] = kind.value
    requests["bank"], requests["row"], requests["column"] = np.array(places).T
    if kind is Request.WRITE:
        content = np.random.default_rng(seed).integers(0, 256, requests["data"].shape, np.uint8)
        requests["data"] = content
    return requests


def test_reads_return_what_was_written_and_the_cells_hold_it(channel):
    places = [(n % 4, 99_999 - n, 2 * (n % 8)) for n in range(40)]
    writes, reads = ordinary(Request.WRITE, places), ordinary(Request.READ, places)
    log = channel.run(np.concatenate([writes, reads]))
    assert np.array_equal(log.read_data[40:], writes["data"])
    bank, row, column = places[7]
    cells = channel.cells(bank)[row].reshape(-1, LARGE.memory.column_bytes)[column : column + 2]
    assert cells.tobytes() == writes["data"][7].tobytes()
    assert (log.answered >= log.entered).all()
    assert not Monitor(LARGE).check(log.trace, end=log.cycles)


def test_cells_that_nobody_writes_take_no_room():
    pages = Path("/proc/self/statm")
    if not pages.exists():
        pytest.skip("the system does not say how much memory a process has")
    before = int(pages.read_text().split()[1])
    channel = CompiledChannel(LARGE)
    channel.run(ordinary(Request.READ, [(n % 4, 1000 * n, 0) for n in range(50)]))
    assert (
        (int(pages.read_text().split()[1]) - before) * 4096 < 16 << 20 < LARGE.memory.channel_bytes
    )


def test_items_wait_for_their_time_and_for_those_before_them(channel):
    requests = ordinary(Request.READ, [(0, 0, 0)] * 4)
    requests["earliest"] = [10, 0, 40, 0]
    requests["gap"] = [0, 5, 0, 0]
    log = channel.run(requests)
    assert log.entered.tolist() == [10, 16, 40, 41]


def test_runs_follow_each_other_on_one_time_axis(channel):
    first = channel.run(ordinary(Request.WRITE, [(1, 5, 2)]), cycles=100)
    second = channel.run(ordinary(Request.READ, [(1, 5, 2)]))
    assert (first.cycles, second.first_cycle) == (100, 100)
    assert second.entered[0] == 100
    assert second.read_data.any()


def test_requests_under_way_when_a_run_ends_are_marked(channel):
    log = channel.run(ordinary(Request.READ, [(0, n, 0) for n in range(100)]), cycles=120)
    waits = log.answered < 0
    assert waits.any()
    assert not waits.all()
    assert waits[log.entered < 0].all()


def test_results_are_logged(channel):
    operations = [
        {"operation": PimOperation.ACTIVATION, "row": 3},
        {"operation": PimOperation.GEMV, "slots": 2, "k": 4, "column_step": 4, "read": 1},
        {"operation": PimOperation.PRECHARGE},
    ]
    pim = np.zeros(len(operations), pim_dtype(LARGE))
    for entry, operation in zip(pim, operations, strict=True):
        for name, value in operation.items():
            entry[name] = value.value if name == "operation" else value
    log = channel.run(pim=pim)
    assert log.results.shape == (2 * LARGE.result_bursts, LARGE.memory.burst_bytes)
    assert Command.PIM_GEMV.value in log.trace["command"]


def test_value_that_does_not_fit_its_field_is_an_error(channel):
    requests = ordinary(Request.READ, [(4, 0, 0)])
    with pytest.raises(ValueError, match=r"^bank must be below 4, not 4$"):
        channel.run(requests)


def test_bank_group_that_is_not_there_is_an_error(channel):
    pim = np.zeros(1, pim_dtype(LARGE))
    pim["operation"], pim["group"] = PimOperation.ACTIVATION.value, 1
    with pytest.raises(ValueError, match=r"^group must be below 1, not 1$"):
        channel.run(pim=pim)
