"""Tests of the row list: what is written, what is not, and two readers."""

import pytest

from hw.npu.memories.row_list import RowList, list_layout, no_row
from hw.presets import PAPER, TINY


@pytest.fixture
def row_list():
    return RowList(TINY)


async def write(ctx, dut, index, row, enable=1):
    ctx.set(dut.write, {"enable": enable, "index": index, "row": row})
    await ctx.tick()
    ctx.set(dut.write, {"enable": 0, "index": 0, "row": 0})


async def read(ctx, user, index):
    ctx.set(user.index, index)
    await ctx.tick()
    return ctx.get(user.row)


def test_both_users_read_every_entry_a_cycle_later(simulate, row_list):
    entries = {0: 1023, 1: 1, 2: 512, 511: 7, 1022: 1024, 1023: 2047}

    async def bench(ctx):
        for index, row in entries.items():
            await write(ctx, row_list, index, row)
        indices = list(entries)
        for tile, page in zip(indices, reversed(indices), strict=True):
            ctx.set(row_list.tiles.index, tile)
            ctx.set(row_list.pages.index, page)
            await ctx.tick()
            assert ctx.get(row_list.tiles.row) == entries[tile]
            assert ctx.get(row_list.pages.row) == entries[page]

    simulate(row_list, bench)


def test_entry_is_written_only_when_enabled(simulate, row_list):
    async def bench(ctx):
        await write(ctx, row_list, 0, 77)
        await write(ctx, row_list, 5, 99)
        await write(ctx, row_list, 5, 3, enable=0)
        await ctx.tick().repeat(3)
        assert await read(ctx, row_list.tiles, 5) == 99
        assert await read(ctx, row_list.pages, 0) == 77

    simulate(row_list, bench)


@pytest.mark.parametrize(
    ("config", "none", "bits"), [(TINY, 2047, 11), (PAPER, 65535, 16), (TINY.replace(rows=1), 1, 1)]
)
def test_entry_without_a_row_has_a_bit_more_than_rows_need(config, none, bits):
    assert no_row(config) == none >= config.memory.rows
    assert list_layout(config)["row"].width == bits
