"""What the queue of PIM operations knows of each: how much it multiplies, and for how long."""

import numpy as np
import pytest

from hw.controller.pim.queue import PimQueue
from hw.presets import PAPER, TINY
from hw.protocol.commands import Command, PimOperation
from hw.protocol.results import result_latency, result_schedule

LATENCY, CCDL = result_latency(TINY), TINY.memory.timing.nCCDL


@pytest.mark.parametrize(
    ("operation", "fields", "expected"),
    [
        (PimOperation.GEMV, {"slots": 3, "k": 5, "read": 1}, (3, 5, 1)),
        (PimOperation.GEMV, {"slots": 2, "k": 1, "read": 0}, (2, 1, 0)),
        # Single products and results are of one column of one slot, whatever else they say.
        (PimOperation.DOTPRODUCT, {}, (1, 1, 0)),
        (PimOperation.DOTPRODUCT, {"slots": 6, "k": 3, "read": 1}, (1, 1, 0)),
        (PimOperation.RDRESULT, {}, (1, 1, 1)),
        (PimOperation.RDRESULT, {"slots": 6, "k": 3}, (1, 1, 1)),
    ],
)
def test_operation_comes_out_with_its_slots_columns_and_times(
    simulate, operation, fields, expected
):
    dut = PimQueue(TINY)
    slots, k, _read = expected

    async def bench(ctx):
        ctx.set(dut.i.payload, {"operation": operation, "slot": 2, **fields})
        ctx.set(dut.i.valid, 1)
        await ctx.tick().until(dut.i.ready)
        ctx.set(dut.i.valid, 0)
        await ctx.tick().until(dut.valid)
        head = ctx.get(dut.head)
        assert (head.operation, head.slot) == (operation, 2)
        assert (head.slots, head.k, head.read) == expected
        assert head.extent == (slots * k - 1) * CCDL
        assert head.first == (k - 1) * CCDL + LATENCY
        assert head.end == result_schedule(TINY, slots, k)[-1][1]

    simulate(dut, bench)


@pytest.mark.parametrize("config", [TINY, TINY.replace(ranks=2), PAPER], ids=["1", "2", "paper"])
@pytest.mark.parametrize(("slots", "k"), [(8, 1), (8, 2), (1, 16), (3, 5)])
def test_end_is_when_the_bus_is_free_again(simulate, config, slots, k):
    """Also where results, one after the other, outlast the columns."""
    dut = PimQueue(config)

    async def bench(ctx):
        fields = {"operation": PimOperation.GEMV, "slots": slots, "k": k, "read": 1}
        ctx.set(dut.i.payload, fields)
        ctx.set(dut.i.valid, 1)
        await ctx.tick().until(dut.i.ready)
        ctx.set(dut.i.valid, 0)
        await ctx.tick().until(dut.valid)
        turn = config.memory.timing.nTURN if config.memory.ranks > 1 else 0
        assert ctx.get(dut.head).end == result_schedule(config, slots, k)[-1][1] + turn

    simulate(dut, bench)


def test_results_that_outlast_their_columns_set_the_pace(drive):
    """GEMVs of eight slots of one column, on two ranks: a result takes longer than a column."""
    config = TINY.replace(ranks=2, bank_groups=2)
    operations = [
        {"operation": PimOperation.ACTIVATION, "group": g, "row": 5} for g in (0, 2, 1, 3)
    ]
    gemv = {"operation": PimOperation.GEMV, "slots": 8, "k": 1, "column_step": 1, "read": 1}
    pim = [*operations, *[gemv] * 5, {"operation": PimOperation.PRECHARGE}]
    trace = drive(config, [], pim).trace
    issues = trace["cycle"][trace["command"] == Command.PIM_GEMV.value].astype(int)
    # A rank's eight banks take four columns, and the bus turns around behind each rank.
    results = 8 * 2 * (4 + config.memory.timing.nTURN)
    assert set(np.diff(issues)) == {results}
