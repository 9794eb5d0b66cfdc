"""What the queue of PIM operations knows of each: how much it multiplies, and for how long."""

import pytest

from hw.controller.pim.queue import PimQueue
from hw.presets import TINY
from hw.protocol.commands import PimOperation
from hw.protocol.results import result_cycles, result_latency

LATENCY, PERIOD, CCDL = result_latency(TINY), result_cycles(TINY), TINY.memory.timing.nCCDL


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
        assert head.end == max(head.extent + LATENCY + PERIOD, head.first + slots * PERIOD)

    simulate(dut, bench)
