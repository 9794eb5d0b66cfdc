# amaranth: UnusedElaboratable=no

import pytest

from hw.die.cell_array import CellArray, word_columns
from hw.presets import PAPER, TINY
from hw.protocol.timing import Timing

SMALL = TINY.replace(rows=8)


def test_word_is_the_narrowest_that_fills_a_row_in_time():
    assert word_columns(TINY) == 2
    assert word_columns(PAPER) == 4
    assert word_columns(TINY.replace(timing=Timing(nRCD=10))) == 2
    assert word_columns(TINY.replace(timing=Timing(nRCD=9))) == 4


def test_nRCD_must_leave_time_to_fill_a_row_buffer():
    with pytest.raises(ValueError, match=r"^nRCD must be above 2 cycles to fill a row buffer, not"):
        CellArray(TINY.replace(timing=Timing(nRCD=2)))


def test_columns_of_a_row_lie_one_after_the_other(simulate):
    dut = CellArray(SMALL)

    async def bench(ctx):
        for row, column in [(0, 0), (0, 1), (5, 6), (5, 7), (7, 15)]:
            ctx.set(dut.write.row, row)
            ctx.set(dut.write.column, column)
            ctx.set(dut.write.data, 1000 * row + column)
            ctx.set(dut.write.enable, 1)
            await ctx.tick()
        ctx.set(dut.write.enable, 0)
        for row, column in [(0, 0), (0, 1), (5, 6), (5, 7), (7, 15)]:
            word, place = divmod(row * SMALL.memory.columns + column, 2)
            value = ctx.get(dut.data[word]) >> (64 * place) & ((1 << 64) - 1)
            assert value == 1000 * row + column

    simulate(dut, bench)


def test_row_buffers_read_different_rows_in_one_cycle(simulate):
    dut = CellArray(SMALL)
    words = SMALL.memory.columns // 2
    dut.data.init[2 * words + 3] = 23
    dut.data.init[4 * words + 1] = 41

    async def bench(ctx):
        for fill, row, word in [(dut.fills[0], 2, 3), (dut.fills[1], 4, 1)]:
            ctx.set(fill.row, row)
            ctx.set(fill.word, word)
            ctx.set(fill.enable, 1)
        await ctx.tick()
        assert [ctx.get(fill.data) for fill in dut.fills] == [23, 41]

    simulate(dut, bench)
