from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import connect

from hw.die.cell_array import CellArray
from hw.die.row_buffer import RowBuffer
from hw.presets import TINY

CONFIG = TINY.replace(rows=4, row_buffers=1)
MASK = (1 << 64) - 1


class Buffered(wiring.Component):
    """A row buffer and its cells, column c of row r holding 100 r + c."""

    def __init__(self):
        super().__init__({})
        self.buffer = RowBuffer(CONFIG)
        self.cells = CellArray(CONFIG)
        columns = [100 * row + column for row in range(4) for column in range(16)]
        words = zip(columns[0::2], columns[1::2], strict=True)
        self.cells.data.init = [low | high << 64 for low, high in words]

    def elaborate(self, platform):
        m = Module()
        m.submodules.buffer = self.buffer
        m.submodules.cells = self.cells
        connect(m, self.buffer.fill, self.cells.fills[0])
        return m


async def open_row(ctx, buffer, row, cycles=CONFIG.memory.timing.nRCD):
    ctx.set(buffer.open, 1)
    ctx.set(buffer.row, row)
    await ctx.tick()
    ctx.set(buffer.open, 0)
    await ctx.tick().repeat(cycles - 1)


async def read(ctx, buffer, column):
    ctx.set(buffer.read, 1)
    ctx.set(buffer.read_column, column)
    await ctx.tick()
    ctx.set(buffer.read, 0)
    return ctx.get(buffer.o)


def test_row_is_complete_nRCD_after_it_is_opened(simulate):
    for column in (0, 15):
        dut = Buffered()

        async def bench(ctx, dut=dut, column=column):
            await open_row(ctx, dut.buffer, 2)
            assert await read(ctx, dut.buffer, column) == 200 + column

        simulate(dut, bench)


def test_row_of_8_words_is_copied_in_10_cycles(simulate):
    dut = Buffered()

    async def bench(ctx):
        await open_row(ctx, dut.buffer, 2, cycles=9)
        assert await read(ctx, dut.buffer, 15) != 215
        assert await read(ctx, dut.buffer, 15) == 215

    simulate(dut, bench)


def test_write_changes_one_column_of_the_copy(simulate):
    dut = Buffered()

    async def bench(ctx):
        await open_row(ctx, dut.buffer, 1)
        ctx.set(dut.buffer.write, 1)
        ctx.set(dut.buffer.write_column, 6)
        ctx.set(dut.buffer.write_data, MASK)
        await ctx.tick()
        ctx.set(dut.buffer.write, 0)
        assert [await read(ctx, dut.buffer, column) for column in (5, 6, 7)] == [105, MASK, 107]
        assert ctx.get(dut.cells.data[8 + 3]) == 106 | 107 << 64

    simulate(dut, bench)


def test_closed_buffer_is_neither_read_nor_written(simulate):
    dut = Buffered()

    async def bench(ctx):
        await open_row(ctx, dut.buffer, 1)
        assert await read(ctx, dut.buffer, 3) == 103
        ctx.set(dut.buffer.close, 1)
        await ctx.tick()
        ctx.set(dut.buffer.close, 0)
        assert not ctx.get(dut.buffer.o_open)
        ctx.set(dut.buffer.write, 1)
        ctx.set(dut.buffer.write_column, 4)
        await ctx.tick()
        ctx.set(dut.buffer.write, 0)
        assert await read(ctx, dut.buffer, 4) == 103

    simulate(dut, bench)
