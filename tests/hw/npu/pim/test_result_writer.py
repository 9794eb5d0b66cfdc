"""Tests of the places of PIM results, and of what may be outstanding."""

import pytest

from hw.npu.pim.result_writer import ResultWriter
from hw.presets import TINY
from hw.program.instruction_set import OPERANDS, Queue

#: Two ranks of two groups: a slot's result, 64 bytes, is four bursts of 16.
WIDE = TINY.replace(ranks=2, bank_groups=2)
ONE = {"tiles": 1, "gemvs": 1, "slots": 1, "read": 1}
GEMV = {
    "lane_address": 0x400,
    "tiles": 3,
    "gemvs": 2,
    "slots": 3,
    "lane_tile": 0x800,
    "lane_gemv": 0x200,
    "lane_slot": 0x40,
}
#: Bursts of the first tile, by hand: 0x400 is burst 64; slots are 4, PIM_GEMVs 32, tiles 128 apart.
FIRST_TILE = [64, 68, 72, 96, 100, 104]


def complete(record):
    return dict.fromkeys((field.name for field in OPERANDS[Queue.PIM]), 0) | record


async def offer(ctx, dut, record):
    """Offer an instruction for one cycle; return whether it was taken."""
    ctx.set(dut.i.payload, complete(record))
    ctx.set(dut.i.valid, 1)
    ready = ctx.get(dut.i.ready)
    await ctx.tick()
    ctx.set(dut.i.valid, 0)
    return ready


async def arrive(ctx, dut):
    """Let a burst of results come; return its place, or None if it is not written."""
    ctx.set(dut.result, 1)
    place = ctx.get(dut.write.place) if ctx.get(dut.write.enable) else None
    await ctx.tick()
    ctx.set(dut.result, 0)
    return place


async def end_tile(ctx, dut):
    ctx.set(dut.pim_done, 1)
    await ctx.tick()
    ctx.set(dut.pim_done, 0)


def test_four_instructions_may_be_outstanding_and_the_fifth_waits(simulate):
    dut = ResultWriter(TINY)
    records = [ONE | {"lane_address": 0x100 * n} for n in range(1, 8)]
    places = []

    async def bench(ctx):
        for record in records[:4]:
            assert await offer(ctx, dut, record)
        for _cycle in range(10):
            assert not await offer(ctx, dut, records[4])
        places.append(await arrive(ctx, dut))
        assert ctx.get(dut.done)
        await ctx.tick()
        assert await offer(ctx, dut, records[4])
        for _cycle in range(5):
            assert not await offer(ctx, dut, records[5])
        for _burst in range(4):
            places.append(await arrive(ctx, dut))
        for record in records[5:]:
            assert await offer(ctx, dut, record)
        await ctx.tick().repeat(3)
        for _burst in range(2):
            places.append(await arrive(ctx, dut))

    simulate(dut, bench)
    assert places == [16, 32, 48, 64, 80, 96, 112]


@pytest.mark.parametrize(
    ("read", "tiles", "config", "bursts"), [(1, 3, TINY, 1), (2, 1, TINY, 1), (1, 3, WIDE, 4)]
)
def test_bursts_go_slot_by_slot_gemv_by_gemv_tile_by_tile(simulate, read, tiles, config, bursts):
    dut = ResultWriter(config)
    expected = [
        128 * tile + place + burst
        for tile in range(tiles)
        for place in FIRST_TILE
        for burst in range(bursts)
    ]
    places = []

    async def bench(ctx):
        await offer(ctx, dut, GEMV | {"read": read})
        await offer(ctx, dut, ONE | {"lane_address": 0x2000})
        await ctx.tick().repeat(2)
        for _burst in expected:
            assert not ctx.get(dut.done)
            places.append(await arrive(ctx, dut))
        assert ctx.get(dut.done)
        for burst in range(bursts):
            places.append(await arrive(ctx, dut))
            assert ctx.get(dut.done) == (burst == bursts - 1)

    simulate(dut, bench)
    assert places == expected + [0x200 + burst for burst in range(bursts)]


def test_first_result_may_come_three_cycles_after_the_instruction(simulate):
    dut = ResultWriter(TINY)

    async def bench(ctx):
        await offer(ctx, dut, ONE | {"lane_address": 0x30})
        await ctx.tick().repeat(2)
        assert await arrive(ctx, dut) == 3
        assert ctx.get(dut.done)

    simulate(dut, bench)


def test_instruction_that_reads_nothing_ends_two_cycles_after_its_last_tile(simulate):
    dut = ResultWriter(TINY)
    ends = []

    async def watch(ctx):
        async for _clock, _reset, done in ctx.tick().sample(dut.done):
            ends.append(done)

    async def bench(ctx):
        await offer(ctx, dut, GEMV | {"read": 0, "tiles": 2})
        await ctx.tick().repeat(3)
        for tiles in (1, 3, 2):
            assert await offer(ctx, dut, GEMV | {"read": 0, "tiles": tiles})
        assert not await offer(ctx, dut, GEMV | {"read": 0, "tiles": 5})
        for _tile in range(8):
            await end_tile(ctx, dut)
            await ctx.tick().repeat(4)
        # What was offered and not taken, and what was not offered, does not count.
        await offer(ctx, dut, GEMV | {"read": 0, "tiles": 1})
        await ctx.tick().repeat(6)
        await end_tile(ctx, dut)
        await ctx.tick().repeat(4)

    simulate(dut, bench, background=[watch])
    # Four offers, one refused and three cycles; then a tile ends every five cycles, from 8 on.
    expected = [tile * 5 + 8 + 2 for tile in (1, 2, 5, 7)]
    assert [cycle for cycle, done in enumerate(ends) if done] == [*expected, 8 + 8 * 5 + 7 + 2]


def test_ended_tiles_are_counted_before_their_instruction_is_the_oldest(simulate):
    dut = ResultWriter(TINY)

    async def bench(ctx):
        await offer(ctx, dut, ONE)
        await offer(ctx, dut, GEMV | {"read": 0, "tiles": 2})
        await ctx.tick().repeat(3)
        for _tile in range(3):
            await end_tile(ctx, dut)
        await ctx.tick().repeat(3)
        assert not ctx.get(dut.done)
        await arrive(ctx, dut)
        assert ctx.get(dut.done)
        await ctx.tick()
        assert ctx.get(dut.done)
        await ctx.tick()
        assert not ctx.get(dut.done)

    simulate(dut, bench)


@pytest.mark.parametrize(
    ("address", "place"),
    [
        (TINY.npu.lane_buffer_bytes - 16, TINY.npu.lane_buffer_bytes // 16 - 1),
        (TINY.npu.lane_buffer_bytes, None),
        (8, None),
        (1, None),
        (0, 0),
    ],
)
def test_place_is_refused_outside_of_the_lane_buffer(simulate, address, place):
    dut = ResultWriter(TINY)

    async def bench(ctx):
        await offer(ctx, dut, ONE | {"lane_address": address})
        await ctx.tick().repeat(2)
        assert not ctx.get(dut.bad_address)
        ctx.set(dut.result, 1)
        assert ctx.get(dut.bad_address) == (place is None)
        assert await arrive(ctx, dut) == place

    simulate(dut, bench)


def test_place_past_the_fields_does_not_wrap_around(simulate):
    dut = ResultWriter(TINY)
    record = ONE | {"lane_address": 0x100, "slots": 2, "lane_slot": (1 << 20) - 0x100}

    async def bench(ctx):
        await offer(ctx, dut, record)
        await ctx.tick().repeat(2)
        assert await arrive(ctx, dut) == 0x10
        assert await arrive(ctx, dut) is None

    simulate(dut, bench)
