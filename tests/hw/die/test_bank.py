import numpy as np
import pytest

from hw.die.bank import Bank
from hw.presets import TINY
from tests.hw.die.mac_steering import Steering, packed, random_columns, summed

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


@pytest.mark.parametrize("row_buffers", [1, 2])
def test_columns_of_the_pim_row_meet_the_vector_two_cycles_later(simulate, row_buffers):
    dut = Bank(CONFIG.replace(row_buffers=row_buffers))
    numbers = random_columns(1, 4, CONFIG.memory.columns, CONFIG.mac_lanes)
    columns = [packed(column) for row in numbers for column in row]
    words = zip(columns[0::2], columns[1::2], strict=True)
    dut.cells.data.init = [low | high << 64 for low, high in words]
    order = [7, 2, 2, 15, 0]
    vectors = random_columns(2, len(order), CONFIG.mac_lanes)
    steering = Steering(CONFIG)
    reads = [2 * n for n in range(len(order))]
    written = [steering.add(cycle + 2, 5) for cycle in reads]
    look = steering.take(steering.keep(written[-1], 5, 0), 0)
    asked = dict(zip(reads, order, strict=True))
    offered = {cycle + 2: packed(v) for cycle, v in zip(reads, vectors, strict=True)}
    results = []

    async def bench(ctx):
        if row_buffers == 2:
            await strobe(ctx, dut, "open", row=1)
            await wait_nRCD(ctx)
        await strobe(ctx, dut, "pim_open", row=3)
        await wait_nRCD(ctx)
        for cycle in range(look + 1):
            ctx.set(dut.control.pim_read, cycle in asked)
            ctx.set(dut.control.pim_column, asked.get(cycle, 9))
            ctx.set(dut.control.read, 0)
            ctx.set(dut.control.column, 4)
            ctx.set(dut.control.vector.as_value(), offered.get(cycle, packed(np.ones(4))))
            steering.set(ctx, dut.control.mac, cycle)
            if cycle == look:
                results.append(ctx.get(dut.result).as_bits())
            await ctx.tick()

    simulate(dut, bench)
    expected = summed(numbers[3, order], vectors, CONFIG.pim.partial_sums)
    assert results == [expected.view(np.uint32)]


def test_row_buffers_are_read_side_by_side(simulate):
    dut = bank()

    async def bench(ctx):
        await strobe(ctx, dut, "open", row=1)
        await wait_nRCD(ctx)
        await strobe(ctx, dut, "pim_open", row=2)
        await wait_nRCD(ctx)
        ctx.set(dut.control.pim_column, 3)
        ctx.set(dut.control.pim_read, 1)
        assert await read(ctx, dut, 5) == 105
        ctx.set(dut.control.pim_read, 0)
        await strobe(ctx, dut, "pim_read", pim_column=3)
        assert ctx.get(dut.o) == 0

    simulate(dut, bench)
