"""Tests of GEMV: the operations of its tiles, in which cycles, and what is refused."""

import numpy as np
import pytest

from hw.npu.pim.gemv_sender import GemvSender
from hw.presets import TINY
from hw.program.instruction_set import OPERANDS, Queue
from hw.protocol.commands import PimOperation

HEADER, ACTIVATION = PimOperation.HEADER, PimOperation.ACTIVATION
GEMV, PRECHARGE = PimOperation.GEMV, PimOperation.PRECHARGE

#: Two bank groups.
GROUPS = TINY.replace(bank_groups=2)
#: Three tiles of three PIM_GEMVs, two of which use the same columns.
TILES = {
    "list": 5,
    "tiles": 3,
    "length": 187,
    "gemvs": 3,
    "queries": 2,
    "k": 4,
    "column": 1,
    "column_gemv": 6,
    "column_step": 2,
    "half": 1,
    "offset": 3,
    "offset_gemv": 7,
    "offset_step": 1,
    "offset_tile": 11,
    "slot": 1,
    "slot_gemv": 2,
    "slots": 2,
    "read": 1,
}
ONE = {"tiles": 1, "gemvs": 1, "k": 1, "slots": 1}


def row_of(entry):
    """Return what the row list of these tests holds: no two entries the same."""
    return 37 * entry % 1021


def run(simulate, config, records, cycles, stalled=(), row_of=row_of):
    """Offer instructions from cycle 0 on; return when they were taken, what was sent, and bad."""
    dut = GemvSender(config)
    taken, sent, bad = [], [], []

    async def bench(ctx):
        waiting = list(records)
        row = 0
        for cycle in range(cycles):
            ctx.set(dut.rows.row, row)
            ctx.set(dut.i.valid, bool(waiting))
            if waiting:
                fields = dict.fromkeys((field.name for field in OPERANDS[Queue.PIM]), 0)
                ctx.set(dut.i.payload, fields | waiting[0])
            ctx.set(dut.o.ready, cycle not in stalled)
            if waiting and ctx.get(dut.i.ready):
                waiting.pop(0)
                taken.append(cycle)
            if ctx.get(dut.o.valid) and cycle not in stalled:
                sent.append((cycle, ctx.get(dut.o.payload)))
            if ctx.get(dut.bad_address):
                bad.append(cycle)
            row = row_of(ctx.get(dut.rows.index))
            await ctx.tick()

    simulate(dut, bench)
    return taken, sent, bad


def check(sent, expected):
    """Check operations and those of their fields that matter."""
    got = [
        (PimOperation(payload.operation), {name: payload[name] for name in fields})
        for (_cycle, payload), (_operation, fields) in zip(sent, expected, strict=True)
    ]
    assert got == expected


def gemv(column, offset, slot, read, **more):
    same = {"k": 4, "column_step": 2, "half": 1, "offset_step": 1, "slots": 2}
    return GEMV, same | {"column": column, "offset": offset, "slot": slot, "read": read} | more


def whole(read):
    """Return the operations of TILES on two groups, written by hand; ``read`` for each tile."""
    operations = [(HEADER, {"tiles": 3, "length": 187})]
    for tile, row in enumerate([185, 222, 259]):
        operations += [(ACTIVATION, {"group": group, "row": row}) for group in (0, 1)]
        operations += [
            gemv(1, 3 + 11 * tile, 1, read[tile]),
            gemv(1, 10 + 11 * tile, 3, read[tile]),
            gemv(7, 17 + 11 * tile, 5, read[tile]),
            (PRECHARGE, {}),
        ]
    return operations


@pytest.mark.parametrize(("read", "reads"), [(0, [0, 0, 0]), (1, [1, 1, 1]), (2, [0, 0, 1])])
def test_tiles_become_operations_one_a_cycle(simulate, read, reads):
    taken, sent, bad = run(simulate, GROUPS, [TILES | {"read": read}], 30)
    check(sent, whole(reads))
    assert taken == [0]
    assert [cycle for cycle, _payload in sent] == list(range(1, 20))
    assert not bad


@pytest.mark.parametrize("seed", range(3))
def test_link_that_is_not_ready_delays_and_changes_nothing(simulate, seed):
    ready = np.random.default_rng(seed).random(120) < 0.3
    stalled = set(np.flatnonzero(~ready))
    _taken, sent, bad = run(simulate, GROUPS, [TILES], 120, stalled)
    check(sent, whole([1, 1, 1]))
    assert [cycle for cycle, _payload in sent] == (np.flatnonzero(ready[1:]) + 1)[:19].tolist()
    assert not bad


def test_next_instruction_is_taken_in_the_cycle_after_the_last_precharge(simulate):
    taken, sent, _bad = run(simulate, TINY, [ONE, ONE | {"list": 9}], 20)
    assert taken == [0, 5]
    one = [(HEADER, {}), (ACTIVATION, {"row": 0}), (GEMV, {"slot": 0}), (PRECHARGE, {})]
    check(sent, [*one, one[0], (ACTIVATION, {"row": row_of(9)}), *one[2:]])
    assert [cycle for cycle, _payload in sent] == [1, 2, 3, 4, 6, 7, 8, 9]


def test_without_queries_every_gemv_has_columns_of_its_own(simulate):
    record = ONE | {"gemvs": 3, "column": 2, "column_gemv": 5}
    _taken, sent, _bad = run(simulate, TINY, [record], 12)
    columns = [(GEMV, {"column": column}) for column in (2, 7, 12)]
    check(sent, [(HEADER, {}), (ACTIVATION, {}), *columns, (PRECHARGE, {})])


def test_sets_of_queries_may_be_as_many_as_the_field_says(simulate):
    record = ONE | {"gemvs": 63, "queries": 62, "column": 3, "column_gemv": 5}
    _taken, sent, _bad = run(simulate, TINY, [record], 70)
    columns = [(GEMV, {"column": column}) for column in [3] * 62 + [8]]
    check(sent, [(HEADER, {}), (ACTIVATION, {}), *columns, (PRECHARGE, {})])


ENTRIES, COLUMNS, SLOTS = TINY.npu.row_list_entries, TINY.memory.columns, TINY.pim.slots


LEGAL = [
    {"list": ENTRIES - 1},
    {"column": COLUMNS - 1},
    {"gemvs": 2, "column": COLUMNS - 2, "column_gemv": 1},
    {"offset": TINY.vector_columns - 1},
    {"slot": SLOTS - 1},
    {"slots": SLOTS},
    {"gemvs": 2, "slot": SLOTS - 2, "slot_gemv": 1},
    {"tiles": 2, "offset": TINY.vector_columns - 2, "offset_tile": 1},
]


@pytest.mark.parametrize("record", LEGAL)
def test_last_entry_column_offset_and_slot_may_be_used(simulate, record):
    taken, sent, bad = run(simulate, TINY, [ONE | record, ONE], 20)
    whole = ONE | record
    assert not bad
    assert len(sent) == 1 + whole["tiles"] * (2 + whole["gemvs"]) + 4
    assert len(taken) == 2


@pytest.mark.parametrize(
    ("record", "sent"),
    [
        ({"tiles": 0}, 0),
        ({"gemvs": 0}, 0),
        ({"list": ENTRIES}, 1),
        ({"list": ENTRIES - 1, "tiles": 2}, 4),
        ({"list": (1 << 16) - 1}, 1),
        ({"column": COLUMNS}, 2),
        ({"gemvs": 2, "column": COLUMNS - 2, "column_gemv": 2}, 3),
        ({"gemvs": 2, "column": 1, "column_gemv": 255}, 3),
        ({"offset": TINY.vector_columns}, 2),
        ({"gemvs": 2, "offset": TINY.vector_columns - 1, "offset_gemv": 1}, 3),
        ({"tiles": 2, "offset": TINY.vector_columns - 1, "offset_tile": 1}, 5),
        ({"tiles": 2, "offset": 1, "offset_tile": 4095}, 5),
        ({"slot": SLOTS}, 2),
        ({"slot": 1, "slots": SLOTS}, 2),
        ({"gemvs": 2, "slot": SLOTS - 1, "slot_gemv": 1}, 3),
        ({"gemvs": 2, "slot": 1, "slot_gemv": 63}, 3),
        ({"slots": 0}, 2),
        ({"k": 0}, 2),
    ],
)
def test_what_lies_outside_is_reported_and_not_sent(simulate, record, sent):
    taken, operations, bad = run(simulate, TINY, [ONE | record, ONE], 12)
    assert len(operations) == sent
    assert bad == list(range(sent + 1, 12))
    assert taken == [0]


@pytest.mark.parametrize(
    ("row", "legal"), [(TINY.memory.rows - 1, True), (TINY.memory.rows, False)]
)
def test_entry_that_names_no_row_is_refused(simulate, row, legal):
    _taken, sent, bad = run(simulate, TINY, [ONE], 10, row_of=lambda _entry: row)
    assert len(sent) == (4 if legal else 1)
    assert bool(bad) != legal
