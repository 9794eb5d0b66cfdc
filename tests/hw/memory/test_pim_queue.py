import pytest

from hw.memory.commands import PimOperation
from hw.memory.pim_queue import PimQueue
from hw.presets import TINY


@pytest.mark.parametrize(
    ("operation", "slots", "k"),
    [
        (PimOperation.GEMV, 2, 3),
        (PimOperation.DOTPRODUCT, 1, 1),
        (PimOperation.RDRESULT, 1, 1),
    ],
)
def test_only_a_gemv_has_several_slots_and_columns(simulate, operation, slots, k):
    dut = PimQueue(TINY)
    found = {}

    async def testbench(ctx):
        ctx.set(dut.i.payload, {"operation": operation, "slots": 2, "k": 3})
        ctx.set(dut.i.valid, 1)
        await ctx.tick().until(dut.i.ready)
        ctx.set(dut.i.valid, 0)
        while not ctx.get(dut.valid):
            await ctx.tick()
        found.update({name: ctx.get(dut.head[name]) for name in ("slots", "k")})

    simulate(dut, testbench, deadline=100)
    assert found == {"slots": slots, "k": k}
