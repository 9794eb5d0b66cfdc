"""Tests of the DMA lane against a channel that answers late and out of order."""

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring

from hw.npu.dma.engine import Engine, tag_layout
from hw.npu.dma.lanes import DmaLane
from hw.npu.memories.row_list import RowList, no_row
from hw.presets import TINY
from hw.protocol.commands import Request

BURST = TINY.memory.burst_bytes


def channel_address(config, bank, row, column):
    return (
        row * config.memory.banks + bank
    ) * config.memory.row_bytes + column * config.memory.column_bytes


class Channel:
    """Answers requests after a random time; writes it notes, with what the lane buffer was read."""

    def __init__(self, lane, rng, latency, ready=1.0):
        self.lane, self.rng, self.latency, self.readiness = lane, rng, latency, ready
        self.requests = []  # (engine, address, place)
        self.stores = []  # (address, place read)
        self.landed = {Engine.LOAD: {}, Engine.TAIL: {}}  # place: address
        self.done = {engine: [] for engine in Engine}
        self.cycle = 0
        self.errors = 0

    async def run(self, ctx):
        lane = self.lane
        layout = tag_layout(TINY)
        pending = []  # (time, kind, tag, address)
        while True:
            ready = self.rng.random() < self.readiness
            ctx.set(lane.o_requests.ready, ready)
            answers = [
                next((p for p in pending if p[0] <= self.cycle and p[1] == k), None)
                for k in (Request.READ, Request.WRITE)
            ]
            for answer, port in zip(answers, (lane.i_reads, lane.i_writes), strict=True):
                ctx.set(port.valid, answer is not None)
                if answer is not None:
                    pending.remove(answer)
                    ctx.set(port.payload.tag, answer[2])
            sampled = ctx.get(lane.o_requests.valid) and ready
            if sampled:
                payload = lane.o_requests.payload
                tag = ctx.get(payload.tag)
                fields = layout.from_bits(tag)
                address = channel_address(
                    TINY, ctx.get(payload.bank), ctx.get(payload.row), ctx.get(payload.column)
                )
                kind = ctx.get(payload.kind)
                self.requests.append((self.cycle, Engine(fields.engine), address, fields.place))
                low, high = self.latency
                pending.append((self.cycle + int(self.rng.integers(low, high)), kind, tag, address))
                self.rng.shuffle(pending)
                pending.sort(key=lambda p: p[0])
                assert ctx.get(lane.read.enable) == (kind == Request.WRITE)
                if kind == Request.WRITE:
                    self.stores.append((address, ctx.get(lane.read.place)))
            if answers[0] is not None:
                for engine, port in ((Engine.LOAD, lane.ring), (Engine.TAIL, lane.buffer)):
                    if ctx.get(port.enable):
                        self.landed[engine][ctx.get(port.place)] = answers[0][3]
            done = ctx.get(lane.done)
            for engine in Engine:
                if done >> engine.value & 1:
                    self.done[engine].append((self.cycle, len(self.landed.get(engine, ()))))
            self.errors |= ctx.get(lane.bad_address)
            await ctx.tick()
            self.cycle += 1


async def push(ctx, port, **fields):
    rest = {"enable": 1, "place_stride": 0, "stride": 0}
    if "paged" in port.payload.shape().members:
        rest |= {"paged": 0, "pages": 0, "list": 0}
    for name, value in (rest | fields).items():
        ctx.set(port.payload[name], value)
    ctx.set(port.valid, 1)
    await ctx.tick().until(port.ready)
    ctx.set(port.valid, 0)


def expected(address, bursts, rows, stride, place, place_stride, ring):
    """Pairs of a burst's channel address and its place."""
    result = []
    for row in range(rows):
        for burst in range(bursts):
            where = (
                place + row * bursts + burst
                if ring
                else (place + row * place_stride) // BURST + burst
            )
            result.append((address + row * stride + burst * BURST, where))
    return result


@pytest.mark.parametrize("latency", [(1, 2), (5, 60)])
def test_transfers_of_all_engines_arrive_whole_and_in_order_of_completion(simulate, latency):
    rng = np.random.default_rng(7)
    dut = DmaLane(TINY)
    channel = Channel(dut, rng, latency, ready=0.7)
    transfers = {engine: [] for engine in Engine}
    for engine in Engine:
        base = engine.value * 0x20000
        for index in range(9):
            bursts, rows = (int(x) for x in rng.integers(1, 6, 2))
            transfers[engine].append(
                {
                    "address": base + index * 0x2000,
                    "bursts": bursts,
                    "rows": rows,
                    "stride": int(rng.integers(6, 20)) * BURST,
                    "place": index * 32 if engine is Engine.LOAD else index * 64 * BURST,
                    "place_stride": int(rng.integers(6, 12)) * BURST,
                }
            )
    ports = {
        Engine.LOAD: dut.i_load,
        Engine.TAIL: dut.i_tail,
        Engine.STORE: dut.i_store,
    }

    def host(engine):
        async def testbench(ctx):
            for transfer in transfers[engine]:
                await push(ctx, ports[engine], **transfer)
            while len(channel.done[engine]) < len(transfers[engine]):
                await ctx.tick()

        return testbench

    simulate(dut, *(host(e) for e in Engine), background=[channel.run], deadline=5000)
    assert not channel.errors
    for engine in Engine:
        want = [
            pair
            for transfer in transfers[engine]
            for pair in expected(**transfer, ring=engine is Engine.LOAD)
        ]
        got = [(address, place) for _c, e, address, place in channel.requests if e is engine]
        assert got == want, engine
        if engine is Engine.STORE:
            assert channel.stores == want
            continue
        assert channel.landed[engine] == {place: address for address, place in want}
        sizes = np.cumsum([t["bursts"] * t["rows"] for t in transfers[engine]])
        for (_cycle, landed), size in zip(channel.done[engine], sizes, strict=True):
            assert landed >= size, (engine, channel.done)


def test_done_follows_the_last_answer_by_a_cycle(simulate):
    dut = DmaLane(TINY)
    channel = Channel(dut, np.random.default_rng(1), (12, 13))

    async def testbench(ctx):
        await push(ctx, dut.i_tail, address=0, bursts=2, rows=1, place=0)
        while not channel.done[Engine.TAIL]:
            await ctx.tick()

    simulate(dut, testbench, background=[channel.run], deadline=200)
    assert channel.done[Engine.TAIL][0][0] == channel.requests[-1][0] + 12 + 1


def test_empty_descriptor_completes_without_a_request_and_in_its_turn(simulate):
    dut = DmaLane(TINY)
    channel = Channel(dut, np.random.default_rng(1), (30, 31))

    async def testbench(ctx):
        await push(ctx, dut.i_tail, address=0, bursts=1, rows=1, place=0)
        await push(ctx, dut.i_tail, address=64, bursts=4, rows=4, place=0, enable=0)
        await push(ctx, dut.i_tail, address=128, bursts=1, rows=1, place=64)
        while len(channel.done[Engine.TAIL]) < 3:
            await ctx.tick()

    simulate(dut, testbench, background=[channel.run], deadline=300)
    assert [request[2] for request in channel.requests] == [0, 128]
    first, second, third = (cycle for cycle, _landed in channel.done[Engine.TAIL])
    assert second == first + 1
    assert third >= second


def test_tails_go_before_stores_and_stores_before_weights(simulate):
    dut = DmaLane(TINY)
    channel = Channel(dut, np.random.default_rng(1), (10, 11), ready=0.0)

    async def testbench(ctx):
        await push(ctx, dut.i_load, address=0, bursts=4, rows=1, place=0)
        await push(ctx, dut.i_store, address=0x1000, bursts=4, rows=1, place=0)
        await push(ctx, dut.i_tail, address=0x2000, bursts=4, rows=1, place=1024)
        await ctx.tick().repeat(5)
        channel.readiness = 1.1
        while not channel.done[Engine.LOAD]:
            await ctx.tick()

    simulate(dut, testbench, background=[channel.run], deadline=300)
    order = [engine for _cycle, engine, _address, _place in channel.requests]
    assert order == [Engine.TAIL] * 4 + [Engine.STORE] * 4 + [Engine.LOAD] * 4


def test_stream_of_weights_keeps_the_lane_busy(simulate):
    dut = DmaLane(TINY)
    channel = Channel(dut, np.random.default_rng(1), (60, 61))

    async def testbench(ctx):
        for index in range(24):
            await push(ctx, dut.i_load, address=index * 128, bursts=8, rows=1, place=index * 8)
        while len(channel.done[Engine.LOAD]) < 24:
            await ctx.tick()

    simulate(dut, testbench, background=[channel.run], deadline=1000)
    cycles = [cycle for cycle, *_rest in channel.requests]
    assert len(cycles) == 192
    assert cycles[-1] - cycles[0] <= 192 / 0.95


@pytest.mark.parametrize(
    ("port", "fields"),
    [
        (
            "i_load",
            {"address": TINY.memory.channel_bytes - BURST, "bursts": 2, "rows": 1, "place": 0},
        ),
        ("i_load", {"address": 8, "bursts": 1, "rows": 1, "place": 0}),
        ("i_tail", {"address": 0, "bursts": 1, "rows": 1, "place": TINY.npu.lane_buffer_bytes}),
        ("i_store", {"address": 0, "bursts": 1, "rows": 2, "place": 0, "place_stride": 8}),
    ],
)
def test_address_outside_of_a_memory_is_reported_and_not_sent(simulate, port, fields):
    dut = DmaLane(TINY)
    channel = Channel(dut, np.random.default_rng(1), (2, 3))

    async def testbench(ctx):
        await push(ctx, getattr(dut, port), **fields)
        await ctx.tick().repeat(20)

    simulate(dut, testbench, background=[channel.run], deadline=100)
    engine = {"i_load": Engine.LOAD, "i_tail": Engine.TAIL, "i_store": Engine.STORE}[port]
    assert channel.errors == 1 << engine.value
    assert len(channel.requests) < fields["bursts"] * fields["rows"]


PAGE = TINY.memory.banks * TINY.memory.row_bytes


class Paged:
    """A lane with its row list, which holds random rows."""

    def __init__(self, rng):
        self.lane, self.row_list = DmaLane(TINY), RowList(TINY)
        self.top = Module()
        self.top.submodules += [self.lane, self.row_list]
        wiring.connect(self.top, self.lane.rows, self.row_list.pages)
        self.rows = [int(row) for row in rng.integers(0, TINY.memory.rows, 64)]

    async def write_list(self, ctx):
        ctx.set(self.row_list.write.enable, 1)
        for index, row in enumerate(self.rows):
            ctx.set(self.row_list.write.index, index)
            ctx.set(self.row_list.write.row, row)
            await ctx.tick()
        ctx.set(self.row_list.write.enable, 0)

    def expected(self, transfer):
        """Return pairs of a burst's channel address and its place."""
        fields = {name: transfer[name] for name in ("bursts", "stride", "place_stride", "rows")}
        if not transfer["paged"]:
            return expected(transfer["address"], place=transfer["place"], ring=False, **fields)
        result = []
        for number in range(transfer["pages"]):
            start = self.rows[transfer["list"] + number] * PAGE + transfer["address"]
            place = transfer["place"] + number * transfer["rows"] * transfer["place_stride"]
            result += expected(start, place=place, ring=False, **fields)
        return result


def random_transfer(rng, index):
    """Draw a transfer into places of its own; two of three are paged."""
    bursts, rows, pages = (int(x) for x in rng.integers(1, 5, 3))
    stride = int(rng.integers(bursts, 7)) * BURST
    room = PAGE - (rows - 1) * stride - bursts * BURST
    return {
        "paged": int(rng.random() < 0.67),
        "pages": pages,
        "list": int(rng.integers(0, 60)),
        "address": int(rng.integers(0, room // BURST + 1)) * BURST,
        "bursts": bursts,
        "rows": rows,
        "stride": stride,
        "place": index * 64 * BURST,
        "place_stride": 4 * BURST,
    }


@pytest.mark.parametrize("seed", range(3))
def test_paged_transfers_gather_the_rows_of_their_pages(simulate, seed):
    rng = np.random.default_rng(seed)
    paged = Paged(rng)
    channel = Channel(paged.lane, rng, (5, 40), ready=0.8)
    transfers = [random_transfer(rng, index) for index in range(20)]

    async def testbench(ctx):
        await paged.write_list(ctx)
        for transfer in transfers:
            await push(ctx, paged.lane.i_tail, **transfer)
        while len(channel.done[Engine.TAIL]) < len(transfers):
            await ctx.tick()

    simulate(paged.top, testbench, background=[channel.run], deadline=5000)
    assert not channel.errors
    want = [pair for transfer in transfers for pair in paged.expected(transfer)]
    assert [(address, place) for _c, _e, address, place in channel.requests] == want
    assert channel.landed[Engine.TAIL] == {place: address for address, place in want}


def test_a_page_costs_no_cycle_and_a_paged_transfer_one(simulate):
    rng = np.random.default_rng(5)
    paged = Paged(rng)
    channel = Channel(paged.lane, rng, (2, 3), ready=1.0)
    transfers = [random_transfer(rng, index) for index in range(24)]
    taken = []

    async def testbench(ctx):
        await paged.write_list(ctx)
        for transfer in transfers:
            await push(ctx, paged.lane.i_tail, **transfer)
            taken.append(channel.cycle)
        while len(channel.done[Engine.TAIL]) < len(transfers):
            await ctx.tick()

    simulate(paged.top, testbench, background=[channel.run], deadline=5000)
    cycles = iter([cycle for cycle, *_rest in channel.requests])
    free = taken[0] + 2  # the cycle before that in which an unpaged transfer's first can go out
    for transfer in transfers:
        bursts = transfer["rows"] * transfer["bursts"]
        if transfer["paged"]:
            bursts *= transfer["pages"]
        sent = [next(cycles) for _ in range(bursts)]
        assert sent == list(range(sent[0], sent[0] + bursts))
        assert sent[-1] - free == bursts + transfer["paged"], transfer
        free = sent[-1]


@pytest.mark.parametrize(
    ("changes", "served"),
    [
        ({"address": PAGE - BURST, "bursts": 2}, 1),  # behind the end of the page
        ({"rows": 2, "stride": PAGE}, 1),
        ({"address": 8}, 0),
        ({"place": TINY.npu.lane_buffer_bytes - BURST, "place_stride": BURST, "pages": 2}, 1),
        ({"list": TINY.npu.row_list_entries - 1, "pages": 2}, 1),  # behind the end of the list
        ({"list": 2, "pages": 3}, 1),  # the entry after names no row
    ],
)
def test_what_is_outside_of_a_page_or_of_the_list_is_refused(simulate, changes, served):
    paged = Paged(np.random.default_rng(1))
    paged.rows[3] = no_row(TINY)
    channel = Channel(paged.lane, np.random.default_rng(1), (2, 3))
    transfer = {"paged": 1, "pages": 1, "list": 0, "address": 0, "bursts": 1, "rows": 1, "place": 0}

    async def testbench(ctx):
        await paged.write_list(ctx)
        await push(ctx, paged.lane.i_tail, **(transfer | changes))
        await ctx.tick().repeat(20)

    simulate(paged.top, testbench, background=[channel.run], deadline=200)
    assert channel.errors == 1 << Engine.TAIL.value
    assert len(channel.requests) == served
    assert not channel.done[Engine.TAIL]


def test_a_paged_transfer_without_pages_is_empty(simulate):
    paged = Paged(np.random.default_rng(1))
    channel = Channel(paged.lane, np.random.default_rng(1), (2, 3))

    async def testbench(ctx):
        await push(
            *(ctx, paged.lane.i_tail), paged=1, pages=0, address=0, bursts=1, rows=1, place=0
        )
        while not channel.done[Engine.TAIL]:
            await ctx.tick()

    simulate(paged.top, testbench, background=[channel.run], deadline=100)
    assert not channel.requests
