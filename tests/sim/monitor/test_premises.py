"""Traces that are cut, that are not refreshed, and of channels with two C/A buses."""

from dataclasses import replace

import numpy as np
import pytest

from hw.presets import TINY
from hw.protocol.commands import Command as C
from sim.monitor.monitor import Monitor
from sim.monitor.premises import Premises
from sim.trace.command_trace import ACCEPT, RECORD, record

WINDOW = Premises(from_reset=False, to_end=False)
WHOLE = Premises()
NOW = 7_000_000  # when windows begin


def found(premises, *records):
    trace = np.array(list(records), RECORD)
    trace["cycle"] += NOW * (not premises.from_reset)
    end = int(trace["cycle"].max())
    return {v.what for v in Monitor(TINY, premises).check(trace, end)}


def at(cycle, command, bank=0, **fields):
    return record(cycle, command, bank=bank, **fields)


OPEN = "ACT needs a closed MEM row buffer"
CLOSED = "a column command needs an open row"
GROUPS = "a product needs the PIM row buffers of all bank groups open"
NO_TILE = "PIM_PRECHARGE needs an open PIM row buffer"
PIM_OPEN = "PIM_ACTIVATION needs a closed PIM row buffer"
INSIDE = "REF must not fall inside a tile"
PRODUCT = {"slots": 1, "k": 1}

#: Commands, what is wrong with them in a whole trace, and in a window.
CASES = {
    "RD of a row that is open": ([at(20, C.RD)], {CLOSED}, set()),
    "ACT of it": ([at(20, C.RD), at(90, C.ACT)], {CLOSED}, {OPEN}),
    "ACT after PRE of it": ([at(20, C.RD), at(60, C.PRE), at(90, C.ACT)], {CLOSED}, set()),
    "RD after PRE": ([at(20, C.PRE), at(90, C.RD)], {CLOSED}, {CLOSED}),
    "RD after RDA": ([at(20, C.RDA), at(90, C.RD)], {CLOSED}, {CLOSED}),
    "RD after REF": ([at(20, C.REF), at(300, C.RD)], {CLOSED}, {CLOSED}),
    "REF of an open row": (
        [at(20, C.RD), at(300, C.REF)],
        {CLOSED},
        {"REF needs closed MEM row buffers"},
    ),
    "end of a tile": ([at(20, C.PIM_PRECHARGE)], {NO_TILE}, set()),
    "two ends": ([at(20, C.PIM_PRECHARGE), at(90, C.PIM_PRECHARGE)], {NO_TILE}, {NO_TILE}),
    "product of a tile": ([at(20, C.PIM_GEMV, **PRODUCT)], {GROUPS}, set()),
    "product after the end of a tile": (
        [at(20, C.PIM_PRECHARGE), at(90, C.PIM_GEMV, **PRODUCT)],
        {NO_TILE, GROUPS},
        {GROUPS},
    ),
    "product after REF": ([at(20, C.REF), at(300, C.PIM_GEMV, **PRODUCT)], {GROUPS}, {GROUPS}),
    "opening of what a product needs open": (
        [at(20, C.PIM_GEMV, **PRODUCT), at(90, C.PIM_ACTIVATION)],
        {GROUPS},
        {PIM_OPEN},
    ),
    "REF inside a tile that began before": (
        [at(20, C.PIM_GEMV, **PRODUCT), at(90, C.REF)],
        {GROUPS},
        {INSIDE},
    ),
    "REF inside a tile": (
        [at(20, C.PIM_ACTIVATION), at(90, C.REF)],
        {INSIDE},
        {INSIDE},
    ),
    "nRCD within the window": (
        [at(20, C.ACT), at(33, C.RD)],
        {"same bank, nRCD = 14 cycles"},
        {"same bank, nRCD = 14 cycles"},
    ),
    "requests that nobody is seen to accept": (
        [at(0, ACCEPT, row=9), at(20, C.ACT, row=5), at(34, C.RD)],
        {"a command must serve an accepted read", "an accepted read must be served"},
        set(),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_state_before_a_window_is_unknown_until_it_shows(name):
    records, whole, window = CASES[name]
    assert found(WHOLE, *records) == whole
    assert found(WINDOW, *records) == window


def test_groups_that_opened_before_a_window():
    config = TINY.replace(bank_groups=2)
    trace = [at(20, C.PIM_ACTIVATION, 4, row=3), at(90, C.PIM_GEMV, **PRODUCT)]
    for premises, wrong in ((WHOLE, {GROUPS}), (WINDOW, set())):
        violations = Monitor(config, premises).check(np.array(trace, RECORD), 100)
        assert {v.what for v in violations} == wrong
    trace += [
        *(at(200, C.PIM_PRECHARGE), at(300, C.PIM_ACTIVATION, 0, row=3)),
        at(390, C.PIM_GEMV, **PRODUCT),
    ]
    violations = Monitor(config, WINDOW).check(np.array(trace, RECORD), 400)
    assert {v.what for v in violations} == {GROUPS}


def test_one_row_buffer_that_is_open_since_before_a_window():
    blocked = TINY.replace(row_buffers=1)
    trace = np.array([at(20, C.RD), at(90, C.PIM_ACTIVATION)], RECORD)
    violations = Monitor(blocked, WINDOW).check(trace, 100)
    assert {v.what for v in violations} == {"a row must not be open in both row buffers"}


def test_device_without_refresh():
    late = 20 * TINY.memory.timing.nREFI
    whats = found(WHOLE, at(10, C.PREA), at(late, C.PREA))
    assert whats == {"refresh of rank 0 is late"}
    assert found(Premises(refreshed=False), at(10, C.PREA), at(late, C.PREA)) == set()
    inside = [at(10, C.PIM_ACTIVATION), at(100, C.REF)]
    assert found(Premises(refreshed=False), *inside) == {INSIDE}


TWO = Premises(separate_buses=True)


def test_row_and_column_commands_of_one_cycle():
    trace = [at(20, C.ACT, 0), at(70, C.ACT, 1), at(70, C.RD, 0)]
    assert found(WHOLE, *trace) == {"one command a cycle on the C/A bus"}
    assert found(TWO, *trace) == set()
    assert found(TWO, trace[0], trace[2], trace[1]) == set()


def test_each_of_two_buses_has_one_command_a_cycle():
    rows = [at(20, C.PRE, 0), at(20, C.ACT, 1)]
    assert found(TWO, *rows) == {"one command a cycle on the row C/A bus"}
    columns = [at(20, C.PIM_GWRITE_DATA), at(20, C.PIM_GWRITE_DATA, offset=2)]
    assert "one command a cycle on the column C/A bus" in found(TWO, *columns)
    three = [at(20, C.ACT, 0), at(70, C.RD, 0), at(70, C.PRE, 1), at(70, C.ACT, 2)]
    assert found(TWO, *three) == {"one command a cycle on the row C/A bus"}


def test_gap_of_a_cycle_counts_where_commands_may_share_one():
    short = TINY.replace(timing=replace(TINY.memory.timing, nRTPS=1, nRTPL=1))
    trace = [at(20, C.ACT, 0), at(70, C.RD, 0), at(70, C.PRE, 0)]
    violations = Monitor(short, TWO).check(np.array(trace, RECORD), 100)
    assert [v.what for v in violations] == ["same bank, nRTPL = 1 cycles"]
    trace[2]["cycle"] = 71
    assert Monitor(short, TWO).check(np.array(trace, RECORD), 100) == []


def test_what_is_not_checked_is_said():
    seen = {"acceptances": True, "columns": True}
    assert WHOLE.unchecked(**seen) == []
    assert WHOLE.unchecked(acceptances=False, columns=True) == [
        "rules 3 and 7 not checked: the trace has no ACCEPT lines"
    ]
    assert WHOLE.unchecked(acceptances=True, columns=False) == [
        "columns of bursts not checked: there are ACCEPT lines without one"
    ]
    assert Premises(to_end=False).unchecked(**seen) == [
        "what is never served not checked: the trace is cut"
    ]
    assert Premises(refreshed=False).unchecked(**seen) == [
        "rule 5 not checked, but for REF inside a tile: there is no refresh"
    ]
    assert WINDOW.unchecked(**seen) == [
        "rules 3 and 7 not checked: what was accepted before the trace is unknown",
        "states of rows and PIM not checked before their first commands",
        "when refreshes are due not checked, but how far apart they are",
    ]
    assert TWO.unchecked(**seen) == []
