"""Tests of the interconnect: latencies, order, credits."""

import numpy as np
import pytest

from hw.interconnect import Link
from hw.presets import TINY
from hw.protocol.commands import PimOperation, Request

TAG_BITS = 8


def link(cycles):
    return Link(TINY.replace(link_cycles=cycles), TAG_BITS)


@pytest.mark.parametrize("cycles", [1, 3, 16])
def test_request_takes_forward_cycles_and_its_data_follow(simulate, cycles):
    dut = link(cycles)

    async def testbench(ctx):
        ctx.set(dut.i_requests.payload.kind, Request.WRITE)
        ctx.set(dut.i_requests.payload.tag, 0x5A)
        ctx.set(dut.i_requests.valid, 1)
        await ctx.tick()
        ctx.set(dut.i_requests.valid, 0)
        ctx.set(dut.i_data, 0x1234)
        for cycle in range(1, dut.forward):
            assert not ctx.get(dut.o_requests.valid), cycle
            await ctx.tick()
            ctx.set(dut.i_data, 0)
        assert ctx.get(dut.o_requests.valid)
        assert ctx.get(dut.o_requests.payload.kind) == Request.WRITE
        assert ctx.get(dut.o_requests.payload.tag) == 0x5A
        assert ctx.get(dut.o_requests.payload.data) == 0x1234

    simulate(dut, testbench, deadline=100)


@pytest.mark.parametrize("cycles", [1, 3, 16])
def test_answers_take_back_cycles(simulate, cycles):
    dut = link(cycles)
    seen = []

    async def watch(ctx):
        cycle = 0
        while True:
            if ctx.get(dut.o_reads.valid):
                payload = dut.o_reads.payload
                seen.append((cycle, "read", ctx.get(payload.tag), ctx.get(payload.data)))
            if ctx.get(dut.o_results.valid):
                seen.append((cycle, "result", ctx.get(dut.o_results.payload.data)))
            if ctx.get(dut.o_writes.valid):
                seen.append((cycle, "write", ctx.get(dut.o_writes.payload.tag)))
            if ctx.get(dut.o_pim_done):
                seen.append((cycle, "done"))
            await ctx.tick()
            cycle += 1

    async def testbench(ctx):
        for cycle in range(6):
            ctx.set(dut.i_reads.valid, cycle % 2 == 0)
            ctx.set(dut.i_reads.payload.tag, cycle)
            ctx.set(dut.i_reads.payload.data, 100 + cycle)
            ctx.set(dut.i_results.valid, cycle % 2)
            ctx.set(dut.i_results.payload.data, 200 + cycle)
            ctx.set(dut.i_writes.valid, cycle in (1, 2))
            ctx.set(dut.i_writes.payload.tag, 50 + cycle)
            ctx.set(dut.i_pim_done, cycle == 3)
            await ctx.tick()
        for port in (dut.i_reads.valid, dut.i_results.valid, dut.i_writes.valid, dut.i_pim_done):
            ctx.set(port, 0)
        await ctx.tick().repeat(40)

    simulate(dut, testbench, background=[watch], deadline=100)
    expected = []
    for cycle in range(6):
        at = cycle + dut.back
        if cycle % 2 == 0:
            expected.append((at, "read", cycle, 100 + cycle))
        else:
            expected.append((at, "result", 200 + cycle))
        if cycle in (1, 2):
            expected.append((at, "write", 50 + cycle))
        if cycle == 3:
            expected.append((at, "done"))
    assert seen == expected


@pytest.mark.parametrize("cycles", [1, 16])
def test_writes_are_settled_when_the_last_one_is_in_the_cells(simulate, cycles):
    dut = link(cycles)
    accepts, writes = (3, 4, 9), (20, 22, 60)
    settled = []

    async def testbench(ctx):
        for cycle in range(100):
            ctx.set(dut.i_writes.valid, cycle in accepts)
            ctx.set(dut.i_written, cycle in writes)
            settled.append(ctx.get(dut.o_settled))
            await ctx.tick()

    simulate(dut, testbench, deadline=200)
    first, last = accepts[0] + dut.back, writes[-1] + TINY.memory.timing.nCWL + 3 + dut.back
    assert settled == [not first <= cycle < last for cycle in range(100)]


def test_credits_bound_what_is_sent_and_come_back(simulate):
    dut = link(4)  # buffers of 8 entries
    sent, received, sent_while_blocked = [], [], []

    async def source(ctx):
        ctx.set(dut.i_pim.valid, 1)
        ctx.set(dut.i_pim.payload.operation, PimOperation.GWRITE)
        for number in range(40):
            ctx.set(dut.i_pim.payload.offset, number % 64)
            await ctx.tick().until(dut.i_pim.ready)
            sent.append(number % 64)
            ctx.set(dut.i_data, 1000 + number)
        ctx.set(dut.i_pim.valid, 0)

    async def sink(ctx):
        await ctx.tick().repeat(60)
        sent_while_blocked.extend(sent)
        ctx.set(dut.o_pim.ready, 1)
        while len(received) < 40:
            _clk, _rst, valid, offset, data = await ctx.tick().sample(
                dut.o_pim.valid, dut.o_pim.payload.offset, dut.o_pim.payload.data
            )
            if valid:
                received.append((offset, data))

        # Nothing more arrives.
        for _cycle in range(60):
            assert not ctx.get(dut.o_pim.valid)
            await ctx.tick()

    simulate(dut, source, sink, deadline=1000)
    assert sent_while_blocked == list(range(8))
    assert received == [(n % 64, 1000 + n) for n in range(40)]


@pytest.mark.parametrize("cycles", [1, 4])
def test_entry_can_be_sent_again_cycles_plus_one_after_it_was_taken(simulate, cycles):
    dut = link(cycles)
    entries = {1: 2, 4: 8}[cycles]
    taken, ready = [], []

    async def testbench(ctx):
        ctx.set(dut.i_pim.valid, 1)
        while ctx.get(dut.i_pim.ready):
            ready.append(1)
            await ctx.tick()
        ctx.set(dut.i_pim.valid, 0)
        await ctx.tick().repeat(20)
        ctx.set(dut.o_pim.ready, 1)
        assert ctx.get(dut.o_pim.valid)
        await ctx.tick()
        ctx.set(dut.o_pim.ready, 0)
        for _cycle in range(1, 20):
            taken.append(ctx.get(dut.i_pim.ready))
            await ctx.tick()

    simulate(dut, testbench, deadline=200)
    assert sum(ready) == entries
    assert taken == [cycle >= cycles + 1 for cycle in range(1, 20)]


@pytest.mark.parametrize("cycles", [1, 3, 16])
@pytest.mark.parametrize("way", ["requests", "pim"])
def test_random_traffic_arrives_once_in_order_and_is_held_until_it_is_taken(simulate, way, cycles):
    dut = link(cycles)
    i, o = getattr(dut, f"i_{way}"), getattr(dut, f"o_{way}")
    other = dut.o_pim if way == "requests" else dut.o_requests
    name = "tag" if way == "requests" else "offset"
    rng = np.random.default_rng(cycles)
    sent, taken = [], []  # what, and in which cycle it can be taken at the earliest
    last = 0

    async def testbench(ctx):
        nonlocal last
        held, data = None, 0
        for cycle in range(1200):
            # Long stretches of a sender or a receiver that pauses, and a pause at the end.
            offers = cycle < 1000 and rng.random() < (0.9 if cycle // 100 % 2 else 0.2)
            takes = cycle >= 1000 or rng.random() < (0.9 if cycle // 150 % 2 else 0.2)
            value = int(rng.integers(32))
            ctx.set(i.valid, offers)
            ctx.set(i.payload[name], value)
            ctx.set(dut.i_data, data)
            ctx.set(o.ready, takes)
            if ctx.get(o.valid):
                got = ctx.get(o.payload[name]), ctx.get(o.payload.data)
                assert held in (None, got)
                earliest, *entry = sent[len(taken)]
                assert cycle >= earliest
                assert got == tuple(entry)
                held = None if takes else got
                if takes:
                    taken.append(got)
                    last = cycle
            else:
                assert held is None
            assert not ctx.get(other.valid)
            data = int(rng.integers(1 << 60))
            if offers and ctx.get(i.ready):
                sent.append((cycle + dut.forward, value, data))
            await ctx.tick()

    simulate(dut, testbench, deadline=1300)
    assert len(taken) == len(sent) > 100
    assert last < 1000 + dut.forward + 40


def test_requests_flow_in_nearly_every_cycle(simulate):
    dut = link(16)
    received = []

    async def source(ctx):
        ctx.set(dut.i_requests.valid, 1)
        await ctx.tick().repeat(240)

    async def sink(ctx):
        ctx.set(dut.o_requests.ready, 1)
        while True:
            _clk, _rst, valid = await ctx.tick().sample(dut.o_requests.valid)
            received.append(valid)

    simulate(dut, source, background=[sink], deadline=300)
    assert sum(received[40:220]) >= 0.85 * 180
