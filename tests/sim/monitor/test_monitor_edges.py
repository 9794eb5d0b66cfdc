"""The monitor on traces made by hand: each rule kept at its edge, and broken by one cycle."""

import numpy as np
import pytest

from hw.presets import AIM, HBM3, PAPER, TINY
from hw.protocol.commands import Command as C
from hw.protocol.constraints import CONSTRAINTS, OPENINGS, TARGETS, Scope
from hw.protocol.results import result_schedule
from sim.monitor.monitor import Monitor
from sim.monitor.premises import Premises
from sim.trace.command_trace import ACCEPT, RECORD, record

PAPER_BLOCKED = PAPER.replace(row_buffers=1)
HBM3_BLOCKED = HBM3.replace(row_buffers=1)
CONFIGS = (PAPER, PAPER_BLOCKED, HBM3, HBM3_BLOCKED, AIM, AIM.replace(row_buffers=2))
READ, WRITE, TILE, GWRITE = range(4)
T = PAPER.memory.timing
BUS = "one driver on the data bus, turn-arounds kept"
SPAN = 4000  # cycles, more than any gap
CUT = Premises(to_end=False)


def violations(config, *records, end=None, premises=CUT):
    trace = np.array(list(records), RECORD)
    return Monitor(config, premises).check(trace, int(trace["cycle"].max()) if end is None else end)


def missing(config, what, *records):
    """Return the cycles that each violation of a kind misses."""
    return [v.missing for v in violations(config, *records) if v.what == what]


def near(config, scope):
    """Return two banks that are as near as a scope, and no nearer."""
    apart = {Scope.BANK_GROUP: 1, Scope.RANK: 4, Scope.CHANNEL: config.memory.banks_per_rank}
    apart[Scope.OTHER_RANK] = config.memory.banks_per_rank
    return 0, apart.get(scope, 0) % config.memory.banks


def command_at(cycle, command, bank):
    """Return a command on a bank and row 5, with the least operands."""
    widths = {Scope.BANK_GROUP: 4, Scope.RANK: 16, Scope.CHANNEL: 1 << 16}
    bank -= bank % widths.get(TARGETS[command], 1)
    gemv = {"slots": 1, "k": 1} if command is C.PIM_GEMV else {}
    return record(cycle, command, bank=bank, row=5, **gemv)


def before(line, bank, cycle):
    """Return what must have happened for commands to concern row 5 of a bank."""
    if line.scope is not Scope.ROW:
        return []
    (opens,) = ({C.ACT, C.PIM_ACTIVATION} - line.later) or {C.ACT}
    needs = line.first & {C.PRE, C.PREA, C.RDA, C.WRA, C.PIM_PRECHARGE}
    return [command_at(cycle, opens, bank)] if needs else []


def pairs(config):
    """Return every pair of commands of every line of the table in a device, and its cycles."""
    for line in CONSTRAINTS:
        gap = line.gap(config.memory.timing)
        holds = config.pim.row_buffers in line.row_buffers and gap > (not line.after_last)
        holds &= line.scope is not Scope.OTHER_RANK or config.memory.ranks > 1
        if holds and line.window == 1:
            for first in sorted(line.first, key=lambda c: c.value):
                for later in sorted(line.later, key=lambda c: c.value):
                    yield line, first, later, gap


@pytest.mark.parametrize("config", CONFIGS)
def test_every_line_of_the_table_is_kept_at_its_cycle_and_broken_one_before(config):
    words = {
        Scope.ROW: "same row",
        Scope.BANK: "same bank",
        Scope.BANK_GROUP: "same bank group",
        Scope.RANK: "same rank",
        Scope.CHANNEL: "same channel",
        Scope.OTHER_RANK: "another rank",
    }
    trace, kept, broken = [], set(), set()
    for number, (line, first, later, gap) in enumerate(pairs(config)):
        what = f"{words[line.scope]}, {line.formula} = {gap} cycles"
        bank, other = near(config, line.scope)
        for short in range(2):
            start = (2 * number + short) * SPAN
            end = start + SPAN // 2 + gap - short
            trace += before(line, bank, start)
            trace += [command_at(start + SPAN // 2, first, bank), command_at(end, later, other)]
            (broken if short else kept).add((what, end))
    assert len(broken) > 80
    found = {(v.what, v.cycle): v.missing for v in violations(config, *trace)}
    assert [edge for edge in kept if edge in found] == []
    assert [edge for edge in broken if found.get(edge) != 1] == []


@pytest.mark.parametrize("config", CONFIGS)
def test_window_of_four_openings(config):
    what = f"same rank, nFAW: 4 openings in {config.memory.timing.nFAW} cycles"
    banks = (0, 4, 8, 12)
    acts = [command_at(100 * i, C.ACT, bank) for i, bank in enumerate(banks[:3])]
    late = [command_at(1000 + i, C.ACT, bank) for i, bank in enumerate(banks)]
    gap = config.memory.timing.nFAW
    for cycles, expected in ((gap, []), (gap - 1, [1])):
        assert missing(config, what, *late, command_at(1000 + cycles, C.ACT, 1)) == expected
        for first, later in ((C.PIM_ACTIVATION, C.ACT), (C.PIM_ACTIVATION, C.PIM_ACTIVATION)):
            trace = [command_at(500, first, 0), command_at(500 + cycles, later, 4)]
            assert missing(config, what, *acts, *trace) == expected
        trace = [command_at(500, C.ACT, 0), command_at(500 + cycles, C.PIM_ACTIVATION, 4)]
        assert missing(config, what, *acts, *trace) == expected
    assert OPENINGS == {C.ACT: 1, C.PIM_ACTIVATION: 4}


def test_gap_counts_from_the_last_column_of_a_gemv():
    gemv = record(100, C.PIM_GEMV, slots=3, k=5)
    last = 100 + (3 * 5 - 1) * T.nCCDL
    what = "same channel, nRTPL = 6 cycles"
    assert missing(PAPER, what, gemv, record(last + 6, C.PIM_PRECHARGE)) == []
    assert missing(PAPER, what, gemv, record(last + 5, C.PIM_PRECHARGE)) == [1]


@pytest.mark.parametrize("bursts", [1, 16])
def test_gap_counts_from_the_last_burst_of_a_gwrite(bursts):
    gwrite = record(100, C.PIM_GWRITE, bank=3, k=bursts)
    last = 100 + (bursts - 1) * 2
    for later, bank, gap, what in (
        (C.PRE, 3, 6, "same bank, nRTPL = 6 cycles"),
        (C.RD, 2, 2, "same bank group, nCCDL = 2 cycles"),
        (C.WR, 20, 2, "same channel, nBL = 2 cycles"),
        (C.PIM_GWRITE_DATA, 0, 2, "same channel, nBL = 2 cycles"),
        (C.PIM_DOTPRODUCT, 0, 14, "same channel, nCL = 14 cycles"),
    ):
        assert missing(PAPER, what, gwrite, command_at(last + gap, later, bank)) == []
        assert missing(PAPER, what, gwrite, command_at(last + gap - 1, later, bank)) == [1]


# Rule 1, states of the row buffers, and rule 2.


@pytest.mark.parametrize("closing", [C.RDA, C.WRA])
def test_the_a_forms_close_their_bank(closing):
    trace = [command_at(0, C.ACT, 3), command_at(100, closing, 3)]
    assert "ACT needs a closed MEM row buffer" not in {
        v.what for v in violations(PAPER, *trace, command_at(200, C.ACT, 3))
    }
    found = {v.what for v in violations(PAPER, *trace, command_at(200, C.RD, 3))}
    assert found == {"a column command needs an open row"}


@pytest.mark.parametrize("config", [PAPER, PAPER_BLOCKED])
def test_row_in_both_row_buffers(config):
    what = "a row must not be open in both row buffers"
    for first, later in ((C.ACT, C.PIM_ACTIVATION), (C.PIM_ACTIVATION, C.ACT)):
        same = [record(0, first, bank=4, row=5), record(100, later, bank=4, row=5)]
        assert what in {v.what for v in violations(config, *same)}
        other = [record(0, first, bank=4, row=5), record(100, later, bank=4, row=6)]
        shared = config.pim.row_buffers == 1
        assert (what in {v.what for v in violations(config, *other)}) is shared
        assert all(v.rule == 2 for v in violations(config, *other) if v.what == what)


# Rule 3 and rule 7.


def accept(cycle, kind, bank=0, row=5):
    return record(cycle, ACCEPT, kind=kind, bank=bank, row=row)


def served(cycle, command, bank=0):
    """Return ACT of row 5, a column command, and PRE; the command is in the given cycle."""
    return [
        command_at(cycle - 14, C.ACT, bank),
        command_at(cycle, command, bank),
        command_at(cycle + 22, C.PRE, bank),
    ]


def tile(cycle, row=5):
    """Return a tile of ``tiny``, which has one group."""
    return [
        record(cycle, C.PIM_ACTIVATION, row=row),
        record(cycle + 14, C.PIM_GEMV, slots=1, k=1),
        record(cycle + 34, C.PIM_PRECHARGE),
    ]


REQUEST_BEFORE = [accept(0, WRITE), accept(10, TILE)]
TILE_BEFORE = [accept(10, TILE), accept(11, READ)]
UNASKED = "a command must serve an accepted read"
OVERTAKES_REQUEST = "a tile must not overtake earlier requests to its row"
UNACCEPTED = "a tile must be accepted before it starts"
OVERTAKES_TILE = "a request must not overtake a tile of its row"
CASES = {
    "request first": ([*REQUEST_BEFORE, *served(50, C.WR), *tile(100)], set()),
    "request of another row": (
        [accept(0, WRITE, row=5), accept(10, TILE, row=6), *tile(20, 6), *served(50, C.WR)],
        set(),
    ),
    "tile overtakes a request": (
        [*REQUEST_BEFORE, *tile(20), *served(90, C.WR)],
        {OVERTAKES_REQUEST},
    ),
    "tile overtakes one of two requests": (
        [accept(0, READ), accept(1, READ), accept(9, TILE), *served(50, C.RD), *tile(100)],
        {OVERTAKES_REQUEST},
    ),
    "tile first": ([*TILE_BEFORE, *tile(20), *served(90, C.RD)], set()),
    "request overtakes a tile": ([*TILE_BEFORE, *served(50, C.RD), *tile(100)], {OVERTAKES_TILE}),
    "request between two tiles": (
        [
            *TILE_BEFORE,
            *tile(20),
            accept(60, TILE),
            *served(90, C.RD),
            *tile(150),
        ],
        set(),
    ),
    "second tile overtakes the request": (
        [*TILE_BEFORE, *tile(20), accept(60, TILE), *tile(100), *served(190, C.RD)],
        {OVERTAKES_REQUEST},
    ),
    "nobody accepted the tile": ([accept(0, READ), *served(50, C.RD), *tile(100)], {UNACCEPTED}),
    "tile of a row that nobody accepted": ([accept(0, TILE, row=6), *tile(100)], {UNACCEPTED}),
    "tile accepted once, started twice": ([accept(0, TILE), *tile(20), *tile(100)], {UNACCEPTED}),
    "nobody asked for the read": ([accept(0, WRITE), *served(50, C.RD)], {UNASKED}),
    "one read too many": (
        [accept(0, READ), *served(50, C.RD), *served(150, C.RD), accept(260, READ)],
        {UNASKED},
    ),
    "read before it is accepted": ([*served(50, C.RD), accept(60, READ)], {UNASKED}),
    "gwrite after the write": (
        [accept(0, WRITE), accept(1, GWRITE), *served(50, C.WR), *served(150, C.PIM_GWRITE)],
        set(),
    ),
    "gwrite overtakes the write": (
        [accept(0, WRITE), accept(1, GWRITE), *served(50, C.PIM_GWRITE), *served(150, C.WR)],
        {"a PIM_GWRITE must not overtake earlier writes to its row"},
    ),
    "write overtakes the gwrite": (
        [accept(0, GWRITE), accept(1, WRITE), *served(50, C.WR), *served(150, C.PIM_GWRITE)],
        {"a write must not overtake a PIM_GWRITE of its row"},
    ),
    "write after the gwrite": (
        [accept(0, GWRITE), accept(1, WRITE), *served(50, C.PIM_GWRITE), *served(150, C.WR)],
        set(),
    ),
    "gwrite that no record accepts, after the write": (
        [accept(0, WRITE), *served(50, C.WR), *served(150, C.PIM_GWRITE), accept(150, WRITE)],
        set(),
    ),
    "gwrite that no record accepts overtakes the write": (
        [*served(150, C.PIM_GWRITE), accept(149, WRITE), *served(250, C.WR)],
        {"a PIM_GWRITE must not overtake earlier writes to its row"},
    ),
    "nobody asked for the gwrite": (
        [accept(0, GWRITE), *served(50, C.PIM_GWRITE), *served(150, C.PIM_GWRITE)],
        {"a command must serve an accepted gwrite"},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_order_of_acceptance(name):
    records, expected = CASES[name]
    trace = np.array(records, RECORD)
    trace = trace[np.lexsort((trace["command"] != ACCEPT, trace["cycle"]))]
    found = {v.what for v in Monitor(TINY, CUT).check(trace, 300) if v.rule in (3, 7)}
    assert found == expected


# Rule 4.


@pytest.mark.parametrize(
    ("write", "lands", "entries"),
    [
        ({"command": C.PIM_GWRITE_DATA}, 4, 2),
        ({"command": C.PIM_GWRITE, "k": 1}, 0, 2),
        ({"command": C.PIM_GWRITE, "k": 4}, 0, 8),
    ],
)
def test_vector_is_not_overwritten_before_its_last_reader(write, lands, entries):
    what = "a vector must not be overwritten while a product reads it"
    # Slot i reads columns 20 + 20 i to 24 + 20 i of half 1, a column every two cycles.
    gemv = record(100, C.PIM_GEMV, slots=3, k=5, half=1, offset=20, offset_step=20)
    for slot in range(3):
        last = 100 + (5 * slot + 4) * 2
        for offset in (20 + 20 * slot, 24 + 20 * slot, 20 + 20 * slot - entries + 2):
            fields = dict(write)
            command = fields.pop("command")
            fields |= {"half": 1, "offset": offset}
            for cycle, expected in ((last + 1 - lands, []), (last - lands, [1])):
                got = missing(PAPER, what, gemv, record(cycle, command, **fields))
                assert got == expected, (slot, offset)
            fields["half"] = 0
            assert missing(PAPER, what, gemv, record(last - lands, command, **fields)) == []
    for offset in (20 - entries, 50):
        fields |= {"half": 1, "offset": offset}
        assert missing(PAPER, what, gemv, record(101, command, **fields)) == []


def test_vector_of_a_dotproduct():
    what = "a vector must not be overwritten while a product reads it"
    product = record(100, C.PIM_DOTPRODUCT, half=1, offset=21)
    write = {"half": 1, "offset": 20}
    assert missing(PAPER, what, product, record(101, C.PIM_GWRITE, **write)) == []
    assert missing(PAPER, what, record(100, C.PIM_GWRITE, **write), product) == []


# Rule 5.


def test_refresh_may_be_late_by_the_postponed_and_not_by_more():
    config = PAPER.replace(ranks=1)
    limit = (1 + config.controller.postpone) * T.nREFI
    refresh = [record(limit + 300 * i, C.REF) for i in range(9)]
    assert violations(config, *refresh) == []
    refresh[0]["cycle"] = limit + 1
    (violation,) = violations(config, *refresh)
    assert (violation.rule, violation.what, violation.missing) == (5, "refresh is late", 1)


def test_refresh_may_be_pulled_in_and_not_by_more():
    config = PAPER.replace(ranks=1)
    refresh = [record((i + 1) * T.nRFC, C.REF) for i in range(config.controller.postpone)]
    ninth = record(T.nREFI, C.REF)
    assert violations(config, *refresh, ninth) == []
    ninth["cycle"] = T.nREFI - 1
    (violation,) = violations(config, *refresh, ninth)
    assert (violation.what, violation.missing) == ("refresh is pulled in too far", 1)


@pytest.mark.parametrize("postpone", [1, 8])
def test_refresh_that_never_comes_is_missed_at_the_end(postpone):
    config = PAPER.replace(postpone=postpone)
    trace = [record(5, C.PREA, bank=0)]
    limit = (1 + postpone) * T.nREFI
    assert violations(config, *trace, end=limit) == []
    found = violations(config, *trace, end=limit + 1)
    assert [(v.what, v.missing) for v in found] == [
        ("refresh of rank 0 is late", 1),
        ("refresh of rank 1 is late", 1),
    ]


def test_refresh_falls_inside_no_tile():
    what = "REF must not fall inside a tile"
    tile = [
        *(record(100 + 31 * i, C.PIM_ACTIVATION, bank=4 * i) for i in range(8)),
        record(500, C.PIM_PRECHARGE),
    ]
    for cycle, inside in ((99, False), (101, True), (499, True), (514, False)):
        for bank in (0, 16):
            trace = sorted([*tile, record(cycle, C.REF, bank=bank)], key=lambda r: r["cycle"])
            found = [v for v in violations(PAPER, *trace) if v.what == what]
            assert len(found) == inside, cycle
            assert all("PIM_ACTIVATION" in v.first for v in found)


# Rule 8.


def test_two_commands_in_a_cycle():
    what = "one command a cycle on the C/A bus"
    assert missing(PAPER, what, command_at(7, C.PREA, 0), command_at(8, C.PREA, 16)) == []
    assert missing(PAPER, what, command_at(7, C.PREA, 0), command_at(7, C.PREA, 16)) == [1]


def result(config, cycle):
    """Return a PIM_GEMV of one slot whose result starts in a cycle, and the cycle after it."""
    ((start, end),) = result_schedule(config, 1, 4)
    gemv = record(cycle - start, C.PIM_GEMV, slots=1, k=4, read=1)
    return gemv, cycle - start + end


@pytest.mark.parametrize(
    ("command", "bank", "latency", "turn_before", "turn_after"),
    [
        (C.RD, 0, T.nCL, 0, 1),  # the result begins in rank 0 and ends in rank 1
        (C.RDA, 16, T.nCL, 1, 0),
        (C.WR, 0, T.nCWL, 1, 1),
        (C.PIM_GWRITE_DATA, 0, T.nCWL, 1, 1),
    ],
)
def test_burst_beside_a_result(command, bank, latency, turn_before, turn_after):
    gemv, end = result(PAPER, 1000)
    for cycle, expected in (
        (1000 - T.nBL - turn_before, []),
        (1000 - T.nBL - turn_before + 1, [1]),
        (end + turn_after, []),
        (end + turn_after - 1, [1]),
    ):
        burst = command_at(cycle - latency, command, bank)
        trace = sorted([gemv, burst], key=lambda r: r["cycle"])
        assert missing(PAPER, BUS, *trace) == expected, cycle


def test_result_beside_a_result():
    gemv, end = result(PAPER, 1000)
    (start, _end), _next = result_schedule(PAPER, 2, 1)
    for cycle, expected in ((end + T.nTURN, []), (end + T.nTURN - 1, [1])):
        single = record(cycle - start, C.PIM_RDRESULT)
        assert missing(PAPER, BUS, gemv, single) == expected


def test_results_of_one_gemv_wait_for_each_other():
    gemv = record(100, C.PIM_GEMV, slots=4, k=1, read=1)
    assert violations(TINY, gemv) != []  # no row is open
    assert missing(TINY, BUS, gemv) == []
    assert missing(PAPER, BUS, gemv) == []


def test_bursts_of_two_ranks_turn_the_bus_around():
    reads = [command_at(100, C.RD, 0), command_at(103, C.RD, 16)]
    assert missing(PAPER, BUS, *reads) == []
    reads[1]["cycle"] = 102
    assert missing(PAPER, BUS, *reads) == [1]
