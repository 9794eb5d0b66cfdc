import numpy as np
import pytest

from hw.npu.vector.issue.address import Advance
from hw.npu.vector.lanes.transposer import Transposer


@pytest.mark.parametrize(("lanes", "run"), [(4, 4), (8, 4)])
def test_columns_leave_in_the_cycles_after_the_last_row(simulate, lanes, run):
    dut = Transposer(lanes, run, banks=4)
    block = np.random.default_rng(0).integers(0, 1 << 16, (run, lanes))
    columns, advances, ends = [], [], []

    async def drive(ctx):
        ctx.set(dut.row_end, 1)
        ctx.set(dut.ending, 1)
        for index, row in enumerate(block):
            for lane, number in enumerate(row):
                ctx.set(dut.i[lane], int(number))
            ctx.set(dut.take, 1)
            ctx.set(dut.end, index == run - 1)
            await ctx.tick()
        ctx.set(dut.take, 0)
        for _ in range(lanes):
            assert ctx.get(dut.valid)
            columns.append([ctx.get(dut.o[index]) for index in range(run)])
            advances.append(ctx.get(dut.advance))
            ends.append(ctx.get(dut.done))
            await ctx.tick()
        assert not ctx.get(dut.valid)

    simulate(dut, drive)
    np.testing.assert_array_equal(columns, block.T)
    assert ends == [0] * (lanes - 1) + [1]
    rows = [Advance.STEP, Advance.STEP, Advance.STEP, Advance.ROW] * (lanes // 4)
    assert advances == [*rows[:-1], Advance.GROUP]
