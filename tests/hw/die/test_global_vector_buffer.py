from hw.die.global_vector_buffer import GlobalVectorBuffer
from hw.presets import TINY


async def write(ctx, dut, half, offset, value):
    ctx.set(dut.write, 1)
    ctx.set(dut.write_half, half)
    ctx.set(dut.write_offset, offset)
    ctx.set(dut.write_data, value)
    await ctx.tick()
    ctx.set(dut.write, 0)


async def start_read(ctx, dut, half, offset):
    ctx.set(dut.read, 1)
    ctx.set(dut.read_half, half)
    ctx.set(dut.read_offset, offset)
    await ctx.tick()
    ctx.set(dut.read, 0)


def value(ctx, dut):
    return ctx.get(dut.o.as_value())


def test_halves_hold_different_columns_at_the_same_offset(simulate):
    dut = GlobalVectorBuffer(TINY)
    last = TINY.vector_columns - 1

    async def bench(ctx):
        for half, offset in [(0, 0), (1, 0), (0, last), (1, last)]:
            await write(ctx, dut, half, offset, 1000 * half + offset + 1)
        for half, offset in [(0, 0), (1, 0), (0, last), (1, last)]:
            await start_read(ctx, dut, half, offset)
            await ctx.tick()
            assert value(ctx, dut) == 1000 * half + offset + 1

    simulate(dut, bench)


def test_read_latency(simulate):
    dut = GlobalVectorBuffer(TINY)

    async def bench(ctx):
        await write(ctx, dut, 0, 5, 99)
        await start_read(ctx, dut, 0, 5)
        assert dut.latency == 2
        assert value(ctx, dut) == 0
        await ctx.tick()
        assert value(ctx, dut) == 99

    simulate(dut, bench)
