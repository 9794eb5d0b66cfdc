import numpy as np
import pytest

from hw.presets import TINY
from hw.protocol.commands import Command
from sim.monitor.monitor import Monitor
from sim.monitor.premises import Premises
from sim.trace.command_trace import ACCEPT, NO_COLUMN, RECORD, record

#: Two ranks of two groups, and one column a bank on the bus for each result.
CONFIG = TINY.replace(ranks=2, bank_groups=2)
T = CONFIG.memory.timing
CUT = Premises(to_end=False)
READ, WRITE, TILE, GWRITE, FORWARD = range(5)


def act(cycle, bank, row):
    return record(cycle, Command.ACT, bank=bank, row=row)


def on_bank(cycle, command, bank, column=0):
    return record(cycle, command, bank=bank, column=column)


def accept(cycle, kind, bank, row, column=0):
    return record(cycle, ACCEPT, kind=kind, bank=bank, row=row, column=column)


def gemv(cycle, slots=2, k=5, half=0, read=1):
    fields = {"slots": slots, "k": k, "half": half, "read": read, "offset_step": k}
    return record(cycle, Command.PIM_GEMV, **fields)


def activation(cycle, group, row):
    return record(cycle, Command.PIM_ACTIVATION, bank=4 * group, row=row)


def legal():
    """Return a trace that keeps every rule to the cycle, by name of what happens."""
    return {
        "accept write": accept(0, WRITE, 0, 7),
        "accept other read": accept(1, READ, 1, 8),
        "accept write of group": accept(2, WRITE, 4, 8),
        "accept read of rank": accept(3, READ, 8, 8),
        "accept next of rank": accept(4, READ, 8, 8, column=2),
        "accept forward": accept(14, FORWARD, 0, 7),
        "act": act(1, 0, 7),
        "wr": on_bank(15, Command.WR, 0),
        "act other bank": act(7, 1, 8),
        "act other group": act(11, 4, 8),
        "act other rank": act(12, 8, 8),
        "rd": on_bank(29, Command.RD, 1),
        "rd other rank": on_bank(32, Command.RD, 8),
        "rd same rank": on_bank(34, Command.RD, 8, 2),
        "wr after rd": on_bank(48, Command.WR, 4),
        "accept tile": accept(30, TILE, 0, 7),
        "pre": record(37, Command.PRE, bank=0),
        "pim act 0": activation(51, 0, 7),
        "pim act 2": activation(52, 2, 7),
        "pim act 1": activation(81, 1, 7),
        "pim act 3": activation(82, 3, 7),
        "accept read": accept(60, READ, 0, 7),
        "vector": record(90, Command.PIM_GWRITE_DATA, half=0, offset=0),
        "gemv": gemv(96, read=0),
        "next gemv": gemv(116),
        "vector behind": record(131, Command.PIM_GWRITE_DATA, half=0, offset=8),
        "pim pre": record(140, Command.PIM_PRECHARGE),
        "act after tile": act(154, 0, 7),
        "rd after tile": on_bank(186, Command.RD, 0),
        "pre all": record(192, Command.PREA, bank=0),
        "pre all of rank": record(193, Command.PREA, bank=8),
        "ref": record(206, Command.REF, bank=0),
        "ref of rank": record(207, Command.REF, bank=8),
        "act after ref": act(466, 0, 7),
    }


def trace_of(records):
    trace = np.array(list(records.values()), RECORD)
    kinds = trace["command"] != ACCEPT
    return trace[np.lexsort((kinds, trace["cycle"]))]


def check(changes, config=CONFIG, without=(), end=None):
    """Check the legal trace, with records moved to other cycles or replaced."""
    records = legal()
    for name in without:
        del records[name]
    for name, change in changes.items():
        if isinstance(change, int):
            records[name]["cycle"] = int(records[name]["cycle"]) + change
        else:
            records[name] = change
    trace = trace_of(records)
    return Monitor(config, CUT).check(trace, int(trace["cycle"].max()) if end is None else end)


def test_legal_trace_is_clean():
    assert check({}) == []


#: Records of the legal trace that are at their earliest cycle, and what forbids the one before.
EARLIEST = {
    "wr": "same bank, nRCDWR = 14 cycles",
    "act other bank": "same bank group, nRRDL = 6 cycles",
    "act other group": "same rank, nRRDS = 4 cycles",
    "rd": "same bank group, nCWL + nBL + nWTRL = 14 cycles",
    "rd other rank": "another rank, nBL + nTURN = 3 cycles",
    "rd same rank": "same channel, nBL = 2 cycles",
    "wr after rd": "same channel, nRTW = 14 cycles",
    "pre": "same bank, nCWL + nBL + nWR = 22 cycles",
    "pim act 0": "same row, nRP = 14 cycles",
    "pim act 1": "same rank, nFAW: 4 openings in 30 cycles",
    "gemv": "same channel, nRCDMAC = 14 cycles",
    "next gemv": "same channel, nCCDL = 2 cycles",
    "vector behind": "a vector must not be overwritten while a product reads it",
    "pim pre": "same channel, nRTPL = 6 cycles",
    "act after tile": "same row, nRP = 14 cycles",
    "pre all": "same bank, nRTPL = 6 cycles",
    "ref": "same rank, nRP = 14 cycles",
    "act after ref": "same rank, nRFC = 260 cycles",
}


@pytest.mark.parametrize("name", EARLIEST)
def test_command_one_cycle_early_is_flagged(name):
    later = legal()[name]
    violations = check({name: -1})
    assert any(
        violation.what == EARLIEST[name]
        and violation.missing == 1
        and violation.cycle == later["cycle"] - 1
        for violation in violations
    ), violations


#: Changes of the legal trace, and the rule that each breaks.
MUTATIONS = {
    "column of a closed bank": (
        {"rd after tile": on_bank(186, Command.RD, 2)},
        "a column command needs an open row",
    ),
    "ACT of an open bank": (
        {"act after tile": act(170, 1, 9)},
        "ACT needs a closed MEM row buffer",
    ),
    "row in both row buffers": (
        {"act after tile": act(130, 0, 7)},
        "a row must not be open in both row buffers",
    ),
    "tile of a row that is open": (
        {"pre": record(200, Command.PRE, bank=0)},
        "a row must not be open in both row buffers",
    ),
    "two commands in a cycle": ({"ref of rank": -1}, "one command a cycle on the C/A bus"),
    "REF inside a tile": (
        {"ref": record(120, Command.REF, bank=0)},
        "REF must not fall inside a tile",
    ),
    "REF beside an open row": (
        {"ref": record(120, Command.REF, bank=0)},
        "REF needs closed MEM row buffers",
    ),
    "burst under a result": (
        {"rd after tile": on_bank(135, Command.RD, 1)},
        "one driver on the data bus, turn-arounds kept",
    ),
    "vector overwritten": (
        {"vector behind": record(126, Command.PIM_GWRITE_DATA, half=0, offset=8)},
        "a vector must not be overwritten while a product reads it",
    ),
    "forward of what is written": (
        {"accept forward": accept(16, FORWARD, 0, 7)},
        "a forwarded read must find a pending write to its row",
    ),
    "forward of another burst": (
        {"accept forward": accept(14, FORWARD, 0, 7, column=2)},
        "a forwarded read must follow a write to its burst",
    ),
    "read of another burst": (
        {"rd same rank": on_bank(34, Command.RD, 8, 4)},
        "a command must serve an accepted read",
    ),
    "write of another burst": (
        {"wr": on_bank(15, Command.WR, 0, 6)},
        "a command must serve an accepted write",
    ),
    "tile before an earlier write": (
        {"accept tile": accept(16, TILE, 0, 7), "accept read": accept(10, WRITE, 0, 7)},
        "a tile must not overtake earlier requests to its row",
    ),
    "request before an earlier tile": (
        {"accept tile": accept(0, TILE, 0, 7), "accept write": accept(1, WRITE, 0, 7)},
        "a request must not overtake a tile of its row",
    ),
    "tile that nobody accepted": (
        {"accept tile": accept(30, TILE, 0, 6)},
        "a tile must be accepted before it starts",
    ),
    "GEMV with a group closed": (
        {"pim act 3": record(82, Command.PRE, bank=12)},
        "a product needs the PIM row buffers of all bank groups open",
    ),
    "two rows in a tile": ({"pim act 3": activation(82, 3, 6)}, "a tile has one row"),
    "group opened twice": (
        {"pim act 3": activation(111, 1, 7)},
        "PIM_ACTIVATION needs a closed PIM row buffer",
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutated_trace_is_flagged(name):
    changes, what = MUTATIONS[name]
    found = {violation.what for violation in check(changes)}
    assert what in found, found


def test_gap_between_row_buffers_depends_on_their_number():
    blocked = CONFIG.replace(row_buffers=1)
    assert check({}, blocked)
    changes = {"pim act 0": activation(51, 0, 9)}
    assert not any("row buffers" in v.what for v in check(changes))
    assert any("row buffers" in v.what for v in check(changes, blocked))


def test_rows_of_one_subarray_are_not_open_in_both_row_buffers():
    changes = {
        name: activation(legal()[name]["cycle"], g, 9)
        for g, name in enumerate(("pim act 0", "pim act 1", "pim act 2", "pim act 3"))
    }
    changes["accept tile"] = accept(30, TILE, 0, 9)
    assert check(changes) == []
    found = {v.what for v in check(changes, CONFIG.replace(subarrays=64))}
    assert found == {
        "a row must not be open in both row buffers",
        "same subarray, nRC = 48 cycles",
    }


def test_channels_are_checked_apart():
    trace = trace_of(legal())
    other = trace.copy()
    other["channel"] = 1
    both = np.concatenate([trace, other])
    trace = both[np.argsort(both["cycle"], kind="stable")]
    assert Monitor(CONFIG, CUT).check(trace, 500) == []


def test_unordered_trace_is_rejected():
    with pytest.raises(ValueError, match=r"^records of channel 0 must be in the order of time$"):
        Monitor(CONFIG).check(trace_of(legal())[::-1], 500)


def test_end_before_the_last_record_is_rejected():
    with pytest.raises(ValueError, match=r"^end must be at least 466, not 465$"):
        Monitor(CONFIG).check(trace_of(legal()), 465)


def unserved(changes, config=CONFIG, end=500, without=()):
    """Return what has not been served, and what names it, in a whole trace."""
    records = legal() | changes
    for name in without:
        del records[name]
    found = Monitor(config).check(trace_of(records), end)
    assert all((v.cycle, v.rule, v.later) == (end, 7, "") for v in found if "be served" in v.what)
    return [(v.what, v.first) for v in found if "be served" in v.what]


def test_whole_trace_has_served_everything():
    # The write of the group, the tile and everything else of the legal trace have been.
    assert unserved({"wr after rd": on_bank(48, Command.WR, 4)}) == []


@pytest.mark.parametrize(
    ("extra", "what", "first"),
    [
        (
            accept(400, READ, 1, 8, column=4),
            "an accepted read must be served",
            "ACCEPT tag=0 kind=read rank=0 bank_group=0 bank=1 row=8 column=4 in cycle 400",
        ),
        (
            accept(400, WRITE, 9, 3),
            "an accepted write must be served",
            "ACCEPT tag=0 kind=write rank=1 bank_group=2 bank=9 row=3 column=0 in cycle 400",
        ),
        (accept(400, TILE, 0, 5), "an accepted tile must be served", "ACCEPT kind=tile row=5"),
        (
            accept(400, GWRITE, 0, 5),
            "an accepted gwrite must be served",
            "ACCEPT kind=gwrite rank=0 bank_group=0 bank=0 row=5 column=0 in cycle 400",
        ),
    ],
)
def test_what_is_never_served_is_reported_at_the_end(extra, what, first):
    ((found, words),) = unserved({"extra": extra})
    assert found == what
    assert words.startswith(first)
    assert not any("be served" in v.what for v in check({"extra": extra}))


def test_of_two_requests_to_a_burst_the_second_is_left():
    ((_what, words),) = unserved({"again": accept(300, READ, 8, 8, column=2)})
    assert words.endswith("in cycle 300")
    ((_what, words),) = unserved({}, without=["rd same rank"])
    assert words.endswith("in cycle 4")


def test_last_record_may_serve_the_last_request():
    trace = np.array([accept(0, READ, 0, 7), act(1, 0, 7), on_bank(15, Command.RD, 0)], RECORD)
    assert Monitor(CONFIG).check(trace, 15) == []


def test_tile_that_has_started_is_not_left():
    last = 100
    records = {name: entry for name, entry in legal().items() if entry["cycle"] < last}
    found = Monitor(CONFIG).check(trace_of(records), last)
    assert {v.what for v in found} == {"an accepted read must be served"}


def test_columns_that_an_accept_does_not_say_are_not_checked():
    changes = {"accept next of rank": accept(4, READ, 8, 8, column=NO_COLUMN)}
    assert check(changes) == []
    assert check(changes | {"rd same rank": on_bank(34, Command.RD, 8, 4)}) == []
    found = check(changes | {"accept next of rank": accept(4, READ, 8, 9, column=NO_COLUMN)})
    assert {v.what for v in found} == {"a command must serve an accepted read"}


def test_decided_edges_between_ranks_and_within_a_refresh():
    def at(cycle, command, bank=0):
        return record(cycle, command, bank=bank)

    trace = [
        *(act(0, 0, 7), act(20, 8, 7), at(60, Command.WR, 0), at(62, Command.WR, 8)),
        *(at(200, Command.PREA, 0), at(201, Command.PREA, 8), at(300, Command.REF, 0)),
        at(301, Command.PIM_GWRITE_DATA),
    ]
    assert Monitor(CONFIG).check(np.array(trace, RECORD), 400) == []
    trace[3]["cycle"] = 61
    assert [v.what for v in Monitor(CONFIG).check(np.array(trace, RECORD), 400)][:1] == [
        "same channel, nBL = 2 cycles"
    ]
