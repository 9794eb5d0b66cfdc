import pytest

from hw.die.bank import Bank
from hw.presets import TINY

CONFIG = TINY.replace(rows=4)
WORDS = CONFIG.memory.columns // 2


def bank(row_buffers=2):
    """Return a bank whose column c of row r holds 100 r + c."""
    dut = Bank(CONFIG.replace(row_buffers=row_buffers))
    columns = [100 * row + column for row in range(4) for column in range(16)]
    words = zip(columns[0::2], columns[1::2], strict=True)
    dut.cells.data.init = [low | high << 64 for low, high in words]
    return dut


async def strobe(ctx, dut, name, **operands):
    for operand, value in operands.items():
        ctx.set(getattr(dut.control, operand), value)
    ctx.set(getattr(dut.control, name), 1)
    await ctx.tick()
    ctx.set(getattr(dut.control, name), 0)


async def read(ctx, dut, column):
    await strobe(ctx, dut, "read", column=column)
    return ctx.get(dut.o)


async def wait_nRCD(ctx):
    await ctx.tick().repeat(CONFIG.memory.timing.nRCD)


@pytest.mark.parametrize("row_buffers", [1, 2])
def test_write_goes_to_the_cells_and_the_open_row(simulate, row_buffers):
    dut = bank(row_buffers)

    async def bench(ctx):
        await strobe(ctx, dut, "open", row=3)
        await wait_nRCD(ctx)
        await strobe(ctx, dut, "write", write_column=9, write_data=7)
        assert await read(ctx, dut, 9) == 7
        assert ctx.get(dut.cells.data[3 * WORDS + 4]) == 308 | 7 << 64

    simulate(dut, bench)


def test_write_without_an_open_row_is_dropped(simulate):
    dut = bank()

    async def bench(ctx):
        await strobe(ctx, dut, "write", write_column=1, write_data=7)
        await ctx.tick()
        assert ctx.get(dut.cells.data[0]) == 0 | 1 << 64

    simulate(dut, bench)


def test_bank_drives_zero_when_it_is_not_read(simulate):
    dut = bank()

    async def bench(ctx):
        assert await read(ctx, dut, 1) == 0
        await strobe(ctx, dut, "open", row=1)
        await wait_nRCD(ctx)
        assert await read(ctx, dut, 1) == 101
        await ctx.tick()
        assert ctx.get(dut.o) == 0

    simulate(dut, bench)


def test_row_buffers_open_and_close_independently(simulate):
    dut = bank()

    async def bench(ctx):
        await strobe(ctx, dut, "open", row=1)
        await wait_nRCD(ctx)
        await strobe(ctx, dut, "pim_open", row=2)
        await wait_nRCD(ctx)
        assert await read(ctx, dut, 5) == 105
        await strobe(ctx, dut, "pim_close")
        assert await read(ctx, dut, 6) == 106
        await strobe(ctx, dut, "close")
        assert await read(ctx, dut, 7) == 0

    simulate(dut, bench)


def test_single_row_buffer_serves_both_roles(simulate):
    dut = bank(row_buffers=1)

    async def bench(ctx):
        await strobe(ctx, dut, "open", row=1)
        await wait_nRCD(ctx)
        await strobe(ctx, dut, "pim_open", row=2)
        await wait_nRCD(ctx)
        assert await read(ctx, dut, 5) == 205
        await strobe(ctx, dut, "pim_close")
        assert await read(ctx, dut, 5) == 0

    simulate(dut, bench)
