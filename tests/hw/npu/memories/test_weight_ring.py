import numpy as np
import pytest

from hw.npu.memories.weight_ring import WeightRing
from hw.presets import TINY

SMALL = TINY.replace(weight_ring_bytes=512)


@pytest.mark.parametrize(
    "config",
    [
        SMALL.replace(channels=1),  # a row is half a stripe
        SMALL,  # a quarter
        SMALL.replace(array_columns=8, arrays=2),  # a stripe
        SMALL.replace(array_columns=32, array_rows=2),  # two stripes
    ],
    ids=["1/2", "1/4", "1", "2"],
)
def test_bytes_are_striped_over_the_lanes_burst_by_burst(simulate, config):
    dut = WeightRing(config)
    content = np.random.default_rng(0).bytes(config.npu.weight_ring_bytes)
    burst_bytes = config.memory.burst_bytes

    async def bench(ctx):
        for stripe in range(dut.stripes):
            for lane in range(config.memory.channels):
                first = stripe * dut.stripe_bytes + lane * burst_bytes
                port = getattr(dut, f"lane_{lane}")
                ctx.set(port.enable, 1)
                ctx.set(port.address, stripe)
                ctx.set(port.data, int.from_bytes(content[first : first + burst_bytes], "little"))
            await ctx.tick()
        for lane in range(config.memory.channels):
            ctx.set(getattr(dut, f"lane_{lane}").enable, 0)
        got = []
        for address in range(0, len(content) + dut.latency * dut.piece_bytes, dut.piece_bytes):
            ctx.set(dut.read.address, address % len(content))
            got.append(ctx.get(dut.read.data).to_bytes(dut.piece_bytes, "little"))
            await ctx.tick()
        assert b"".join(got[dut.latency :]) == content

    simulate(dut, bench)


def test_lanes_write_while_another_stripe_is_read(simulate):
    dut = WeightRing(SMALL)

    async def bench(ctx):
        for stripe in range(dut.stripes):
            ctx.set(dut.lane_0.enable, 1)
            ctx.set(dut.lane_0.address, stripe)
            ctx.set(dut.lane_0.data, 100 + stripe)
            ctx.set(dut.read.address, (stripe - 1) * dut.stripe_bytes % SMALL.npu.weight_ring_bytes)
            await ctx.tick()
            if stripe >= 2:
                assert ctx.get(dut.read.data) == 100 + stripe - 2

    simulate(dut, bench)
