"""What a device connects with what: its parts do nothing here, and are all visible."""

import numpy as np
import pytest
from amaranth.hdl import ClockDomain, Module

import hw.device
from hw.presets import TINY
from hw.protocol.commands import Request
from hw.repeated import _silence


@pytest.fixture
def wired(monkeypatch):
    """Give a device of idle parts, and those: {name of the kind: parts, in channel order}."""
    parts = {name: [] for name in ("Tile", "Link", "MemoryChannel", "Counters")}

    def idle(name):
        class Idle(getattr(hw.device, name)):
            def __init__(self, *args):
                super().__init__(*args)
                _silence(self)
                parts[name].append(self)

            def elaborate(self, platform):
                return Module()

        return Idle

    for name in parts:
        monkeypatch.setattr(hw.device, name, idle(name))
    device = hw.device.Device(TINY.replace(channels=4))
    top = Module()
    top.submodules.device = device
    top.domains.sync = ClockDomain()  # the bench has a clock, although nothing here has a register
    return device, parts, top


def test_row_list_write_goes_to_the_channel_that_it_names(simulate, wired):
    device, parts, top = wired

    async def bench(ctx):
        (tile,) = parts["Tile"]
        for valid in (0, 1):
            for channel in range(4):
                written = {"channel": channel, "index": 7 + channel, "row": 900 + channel}
                ctx.set(device.list_write, {"valid": valid, **written})
                for other in range(4):
                    listed = getattr(tile, f"list_write_{other}")
                    assert ctx.get(listed.enable) == (valid and other == channel)
                listed = getattr(tile, f"list_write_{channel}")
                assert (ctx.get(listed.index), ctx.get(listed.row)) == (7 + channel, 900 + channel)

    simulate(top, bench)


def test_write_is_answered_when_its_channel_accepts_it(simulate, wired):
    _device, parts, top = wired
    kinds = {0: Request.READ, 1: Request.WRITE, 2: None, 3: None, 4: None}  # tile, gwrite, forward

    async def bench(ctx):
        for channel, memory in enumerate(parts["MemoryChannel"]):
            for kind, request in kinds.items():
                for valid in (0, 1):
                    ctx.set(memory.accept.valid, valid)
                    ctx.set(memory.accept.kind, kind)
                    ctx.set(memory.accept.tag, 5 + channel)
                    link = parts["Link"][channel]
                    answered = valid and request is Request.WRITE
                    assert ctx.get(link.i_writes.valid) == answered
                    assert ctx.get(link.i_writes.payload.tag) == 5 + channel
            ctx.set(memory.accept.valid, 0)

    simulate(top, bench)


async def is_wired(ctx, source, sink, value):
    """Check that a value passes, and 0 does."""
    for each in (value, 0, value):
        ctx.set(source, each)
        assert ctx.get(sink) == each


def test_every_channel_has_its_own_link_and_place_at_the_tile(simulate, wired):
    device, parts, top = wired
    rng = np.random.default_rng(1)

    async def bench(ctx):
        (tile,), (counters,) = parts["Tile"], parts["Counters"]
        ends = zip(parts["Link"], parts["MemoryChannel"], strict=True)
        for number, (link, memory) in enumerate(ends):
            near = getattr(tile, f"channel_{number}")
            pairs = [
                (near.requests.valid, link.i_requests.valid),
                (near.requests.payload.tag, link.i_requests.payload.tag),
                (link.i_requests.ready, near.requests.ready),
                (near.pim.valid, link.i_pim.valid),
                (near.pim.payload.row, link.i_pim.payload.row),
                (link.i_pim.ready, near.pim.ready),
                (near.data, link.i_data),
                (link.o_reads.valid, near.reads.valid),
                (link.o_reads.payload.data, near.reads.payload.data),
                (link.o_writes.valid, near.writes.valid),
                (link.o_writes.payload.tag, near.writes.payload.tag),
                (link.o_results.valid, near.results.valid),
                (link.o_results.payload.data, near.results.payload.data),
                (link.o_pim_done, near.pim_done),
                (link.o_settled, near.settled),
                (link.o_requests.valid, memory.i_requests.valid),
                (link.o_requests.payload.data, memory.i_requests.payload.data),
                (memory.i_requests.ready, link.o_requests.ready),
                (link.o_pim.valid, memory.i_pim.valid),
                (link.o_pim.payload.k, memory.i_pim.payload.k),
                (memory.i_pim.ready, link.o_pim.ready),
                (memory.o_reads.valid, link.i_reads.valid),
                (memory.o_reads.payload.tag, link.i_reads.payload.tag),
                (memory.o_results.valid, link.i_results.valid),
                (memory.o_results.payload.data, link.i_results.payload.data),
                (memory.o_writes.valid, link.i_written),
                (memory.o_pim_done, link.i_pim_done),
                (memory.command.row, getattr(device, f"trace_{number}").command.row),
                (memory.accept.tag, getattr(device, f"trace_{number}").accept.tag),
                (memory.command.row, getattr(counters, f"command_{number}").row),
                (memory.drives, getattr(counters, f"drives_{number}")),
            ]
            for source, sink in pairs:
                value = int(rng.integers(1, 1 << min(len(source), 60)))
                await is_wired(ctx, source, sink, value)

    simulate(top, bench)


def test_program_state_of_the_tile_is_that_of_the_device(simulate, wired):
    device, parts, top = wired

    async def bench(ctx):
        ((tile,), (counters,)) = parts["Tile"], parts["Counters"]
        for source, sink in (
            (tile.start, device.start),
            (tile.retire, device.retire),
            (tile.done, device.o_done),
            (tile.error.as_value(), device.o_error.as_value()),
            (tile.matrix_row, counters.matrix_row),
            (tile.vector_busy, counters.vector_busy),
            (counters.o.as_value(), device.counters.as_value()),
        ):
            await is_wired(ctx, source, sink, 1)
            await is_wired(ctx, source, sink, (1 << len(source)) - 1)
        for queue in range(len(device.start)):
            pushed, taken = getattr(device, f"queue_{queue}"), getattr(tile, f"queue_{queue}")
            await is_wired(ctx, pushed.valid, taken.valid, 1)
            await is_wired(ctx, pushed.payload, taken.payload, 5 + queue)
            await is_wired(ctx, taken.ready, pushed.ready, 1)

    simulate(top, bench)
