"""Tests of the memories behind the tile addresses."""

import numpy as np
import pytest

from hw.npu.memories.tile_memories import TileMemories
from hw.npu.vector.ports import READ_LATENCY, NumberFormat
from hw.presets import TINY
from hw.program.instruction_set import lane_tile_address

SMALL = TINY.replace(activation_bytes=1024, lane_buffer_bytes=512)
LANES = SMALL.npu.lanes
MASK = (1 << 32 * LANES) - 1


def spaces():
    """Return tile addresses of the start of every memory."""
    return [0, *(lane_tile_address(c, 0) for c in range(SMALL.memory.channels))]


async def write(ctx, port, address, value, number_format, enable=(1 << LANES) - 1):
    ctx.set(port.enable, enable)
    ctx.set(port.address, address)
    ctx.set(port.format, number_format)
    ctx.set(port.data, value)
    await ctx.tick()
    ctx.set(port.enable, 0)


async def read(ctx, port, address, number_format):
    ctx.set(port.enable, 1)
    ctx.set(port.address, address)
    ctx.set(port.format, number_format)
    await ctx.tick()
    ctx.set(port.enable, 0)
    await ctx.tick().repeat(READ_LATENCY - 1)
    return ctx.get(port.data)


def test_vector_unit_reads_what_it_wrote_in_both_formats_and_every_memory(simulate):
    dut = TileMemories(SMALL)
    rng = np.random.default_rng(3)

    async def testbench(ctx):
        content = {}
        for start in spaces():
            for step in range(12):
                wide = bool(rng.integers(2))
                size = (4 if wide else 2) * LANES
                address = start + step * 4 * LANES + (0 if wide else size * int(rng.integers(2)))
                value = int.from_bytes(rng.bytes(size), "little")
                number_format = NumberFormat.BINARY32 if wide else NumberFormat.BF16
                await write(ctx, dut.o_0, address, value, number_format)
                content[address] = (value, size, number_format)
        for address, (value, size, number_format) in content.items():
            for port in (dut.a_0, dut.b_0, dut.c_0):
                got = await read(ctx, port, address, number_format)
                assert got & ((1 << 8 * size) - 1) == value, hex(address)

    simulate(dut, testbench, deadline=2000)


def test_enables_write_single_numbers(simulate):
    dut = TileMemories(SMALL)

    async def testbench(ctx):
        for wide in (False, True):
            number_format = NumberFormat.BINARY32 if wide else NumberFormat.BF16
            bits = 32 if wide else 16
            start = 4 * LANES * 3 + (0 if wide else 2 * LANES)
            await write(ctx, dut.o_0, start, MASK, number_format)
            await write(ctx, dut.o_0, start, 0, number_format, enable=0b0110)
            got = await read(ctx, dut.b_0, start, number_format)
            want = sum(((1 << bits) - 1) << bits * n for n in (0, 3))
            assert got & ((1 << bits * LANES) - 1) == want

    simulate(dut, testbench, deadline=200)


def test_lane_matrix_unit_and_vector_unit_see_the_same_bytes(simulate):
    dut = TileMemories(SMALL)
    burst = SMALL.memory.burst_bytes

    async def testbench(ctx):
        ctx.set(dut.lane_1.write.enable, 1)
        ctx.set(dut.lane_1.write.place, 5)
        ctx.set(dut.lane_1.write_data, 0x1234_5678_9ABC_DEF0)
        await ctx.tick()
        ctx.set(dut.lane_1.write.enable, 0)
        address = lane_tile_address(1, 5 * burst)
        assert await read(ctx, dut.a_0, address, NumberFormat.BINARY32) == 0x1234_5678_9ABC_DEF0
        await write(ctx, dut.o_0, address, 0xFEDC, NumberFormat.BINARY32)
        ctx.set(dut.lane_1.read.enable, 1)
        ctx.set(dut.lane_1.read.place, 5)
        await ctx.tick()
        assert ctx.get(dut.lane_1.read_data) == 0xFEDC

        row = 4 * SMALL.npu.tile_columns
        ctx.set(dut.drain.enable, 0b11)
        ctx.set(dut.drain.address, 3 * row)
        ctx.set(dut.drain.data, 0xAAAA_5555_0000_FFFF)
        await ctx.tick()
        ctx.set(dut.drain.enable, 0)
        assert await read(ctx, dut.c_0, 3 * row, NumberFormat.BF16) == 0xAAAA_5555_0000_FFFF
        ctx.set(dut.gemm.address, 3 * row)
        await ctx.tick()
        assert ctx.get(dut.gemm.data) == 0xAAAA_5555_0000_FFFF

    simulate(dut, testbench, deadline=200)


@pytest.mark.parametrize(
    ("address", "bad"),
    [
        (SMALL.npu.activation_bytes - 16, 0),
        (SMALL.npu.activation_bytes, 1),
        (lane_tile_address(1, SMALL.npu.lane_buffer_bytes - 16), 0),
        (lane_tile_address(1, SMALL.npu.lane_buffer_bytes), 1),
        (lane_tile_address(SMALL.memory.channels, 0), 1),
    ],
)
def test_address_outside_of_the_memories_is_reported(simulate, address, bad):
    dut = TileMemories(SMALL)

    async def testbench(ctx):
        for port, enable in ((dut.a_0, 1), (dut.b_0, 1), (dut.c_0, 1), (dut.o_0, 1)):
            ctx.set(port.address, address)
            assert ctx.get(dut.bad_address) == 0
            ctx.set(port.enable, enable)
            assert ctx.get(dut.bad_address) == bad
            ctx.set(port.enable, 0)
            await ctx.tick()

    simulate(dut, testbench, deadline=200)
