import numpy as np
import pytest

from hw.arith.binary32 import add
from hw.npu.matrix.accumulator import Accumulator


def pack(numbers):
    return int.from_bytes(numbers.astype(np.float32).tobytes(), "little")


@pytest.mark.parametrize("rows", [1, 2, 5, 8])
def test_rows_are_added_in_order_at_the_least_interval(simulate, rows):
    rng = np.random.default_rng(rows)
    columns = 2
    dut = Accumulator(8, columns)
    period = max(rows, dut.interval)
    accumulators = np.zeros((2, rows, columns), np.float32)
    arrivals = {}
    for tile in range(6):
        half, accumulate = int(rng.integers(2)), int(tile >= 2 and rng.integers(4) > 0)
        if tile < 2:
            half = tile
        for row in range(rows):
            sums = rng.standard_normal(columns).astype(np.float32)
            before = accumulators[half, row]
            accumulators[half, row] = add(before, sums) if accumulate else sums
            arrivals[tile * period + row] = (half, row, accumulate, sums)
    last = max(arrivals)

    async def bench(ctx):
        for cycle in range(last + 2):
            half, row, accumulate, _ = arrivals.get(cycle, (0, 0, 0, None))
            ctx.set(dut.valid, cycle in arrivals)
            ctx.set(dut.half, half)
            ctx.set(dut.row, row)
            ctx.set(dut.accumulate, accumulate)
            if cycle - 1 in arrivals:
                ctx.set(dut.sums.as_value(), pack(arrivals[cycle - 1][3]))
            await ctx.tick()
        await ctx.tick().repeat(dut.latency)
        ctx.set(dut.read, 1)
        for half in range(2):
            for row in range(rows):
                ctx.set(dut.read_half, half)
                ctx.set(dut.read_row, row)
                await ctx.tick()
                assert ctx.get(dut.o.as_value()) == pack(accumulators[half, row])

    simulate(dut, bench)


def test_replaced_accumulators_keep_the_sign_of_zero(simulate):
    dut = Accumulator(2, 1)

    async def bench(ctx):
        for wanted in (0x80000000, 0x00000000, 0x7FC00000):
            ctx.set(dut.valid, 1)
            await ctx.tick()
            ctx.set(dut.valid, 0)
            ctx.set(dut.sums.as_value(), wanted)
            await ctx.tick().repeat(1 + dut.latency)
            ctx.set(dut.read, 1)
            await ctx.tick()
            assert ctx.get(dut.o.as_value()) == wanted
            ctx.set(dut.read, 0)

    simulate(dut, bench)


def test_one_half_is_read_while_the_other_is_added_to(simulate):
    dut = Accumulator(2, 1)

    async def bench(ctx):
        for half, value in ((0, 1.0), (1, 2.0)):
            ctx.set(dut.valid, 1)
            ctx.set(dut.half, half)
            await ctx.tick()
            ctx.set(dut.valid, 0)
            ctx.set(dut.sums.as_value(), pack(np.array(value)))
            await ctx.tick().repeat(dut.interval)
        ctx.set(dut.read, 1)
        ctx.set(dut.accumulate, 1)
        for read, total in ((0, 1.0), (1, 4.0), (0, 3.0)):
            ctx.set(dut.read_half, read)
            ctx.set(dut.half, 1 - read)
            ctx.set(dut.valid, 1)
            await ctx.tick()
            assert ctx.get(dut.o.as_value()) == pack(np.array(total))
            ctx.set(dut.valid, 0)
            await ctx.tick().repeat(dut.interval - 1)

    simulate(dut, bench)
