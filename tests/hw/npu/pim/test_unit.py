"""Tests of the PIM unit: streams of operations, places of results, completion."""

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring

from hw.npu.memories.row_list import RowList
from hw.npu.pim.unit import PimUnit
from hw.presets import TINY
from hw.program.instruction_set import Opcode
from hw.protocol.commands import PimOperation

BURST = TINY.memory.burst_bytes
#: Two ranks of two groups; a slot's result is four bursts.
WIDE = TINY.replace(ranks=2, bank_groups=2)

GEMV = {
    "opcode": Opcode.GEMV,
    "lane_address": 0x400,
    "half": 1,
    "offset": 4,
    "list": 3,
    "tiles": 2,
    "length": 187,
    "gemvs": 2,
    "k": 4,
    "column": 1,
    "column_gemv": 5,
    "column_step": 2,
    "offset_gemv": 8,
    "offset_step": 1,
    "offset_tile": 16,
    "slot": 1,
    "slot_gemv": 3,
    "slots": 3,
    "read": 1,
    "lane_tile": 0x800,
    "lane_gemv": 0x200,
    "lane_slot": 0x40,
}
VECTOR = {
    "opcode": Opcode.VECTOR,
    "lane_address": 0x100,
    "lane_stride": 0x80,
    "bursts": 3,
    "rows": 2,
    "half": 1,
    "offset": 2,
    "offset_row": 16,
}


def operations(config, rows, record):
    """Return the operations of an instruction, as (operation, fields that matter)."""
    if record["opcode"] is Opcode.VECTOR:
        return [
            (
                PimOperation.GWRITE,
                {
                    "half": record["half"],
                    "offset": record["offset"] + row * record["offset_row"] + 2 * burst,
                },
            )
            for row in range(record["rows"])
            for burst in range(record["bursts"])
        ]
    stream = [(PimOperation.HEADER, {"tiles": record["tiles"], "length": record["length"]})]
    for tile in range(record["tiles"]):
        row = rows[record["list"] + tile]
        stream += [
            (PimOperation.ACTIVATION, {"group": group, "row": row})
            for group in range(config.memory.groups)
        ]
        last = tile == record["tiles"] - 1
        for gemv in range(record["gemvs"]):
            offset = record["offset"] + gemv * record["offset_gemv"]
            fields = {
                "column": record["column"]
                + gemv // max(record.get("queries", 0), 1) * record["column_gemv"],
                "offset": offset + tile * record["offset_tile"],
                "slot": record["slot"] + gemv * record["slot_gemv"],
                "read": record["read"] == 1 or (record["read"] == 2 and last),
            }
            names = ("half", "column_step", "offset_step", "slots", "k")
            stream.append((PimOperation.GEMV, fields | {name: record[name] for name in names}))
        stream.append((PimOperation.PRECHARGE, {}))
    return stream


def result_places(config, record):
    """Return the lane buffer bursts of an instruction's results, in their order."""
    tiles = {0: 0, 1: record["tiles"], 2: 1}[record["read"]]
    return [
        (
            record["lane_address"]
            + tile * record["lane_tile"]
            + gemv * record["lane_gemv"]
            + slot * record["lane_slot"]
        )
        // BURST
        + burst
        for tile in range(tiles)
        for gemv in range(record["gemvs"])
        for slot in range(record["slots"])
        for burst in range(config.result_bursts)
    ]


class Bench:
    """A PIM unit, its host, and a controller that takes operations at random."""

    def __init__(self, config=TINY, seed=0, ready=0.6, busy=0.3):
        self.config = config
        self.dut = PimUnit(config)
        self.row_list = RowList(config)
        self.top = Module()
        self.top.submodules += [self.dut, self.row_list]
        wiring.connect(self.top, self.dut.rows, self.row_list.tiles)
        self.rng = np.random.default_rng(seed)
        self.rows = [int(row) for row in self.rng.integers(0, config.memory.rows, 32)]
        self.ready, self.busy = ready, busy
        self.operations = []
        self.reads = []
        self.done = []
        self.results = []  # cycles
        self.tile_ends = []  # cycles
        self.cycle = 0
        self.bad = 0

    async def write_list(self, ctx):
        for index, row in enumerate(self.rows):
            ctx.set(self.row_list.write.enable, 1)
            ctx.set(self.row_list.write.index, index)
            ctx.set(self.row_list.write.row, row)
            await ctx.tick()
        ctx.set(self.row_list.write.enable, 0)

    async def push(self, ctx, record):
        for name, value in record.items():
            ctx.set(self.dut.i.payload[name], value)
        ctx.set(self.dut.i.valid, 1)
        await ctx.tick().until(self.dut.i.ready)
        ctx.set(self.dut.i.valid, 0)

    async def controller(self, ctx):
        dut = self.dut
        while True:
            ready = self.rng.random() < self.ready
            busy = self.rng.random() < self.busy
            ctx.set(dut.o_pim.ready, ready)
            ctx.set(dut.read_busy, busy)
            if ctx.get(dut.o_pim.valid) and ready:
                operation = PimOperation(ctx.get(dut.o_pim.payload.operation))
                names = ("tiles", "length", "group", "row", "half", "column", "column_step")
                names += ("offset", "offset_step", "slot", "slots", "k", "read")
                fields = {name: ctx.get(dut.o_pim.payload[name]) for name in names}
                self.operations.append((operation, fields))
                reads = ctx.get(dut.read.enable)
                assert reads == (operation is PimOperation.GWRITE)
                if reads:
                    assert not busy
                    self.reads.append(ctx.get(dut.read.place))
            if ctx.get(dut.result):
                self.results.append(self.cycle)
            if ctx.get(dut.pim_done):
                self.tile_ends.append(self.cycle)
            done = ctx.get(dut.done)
            for unit in range(2):
                if done >> unit & 1:
                    self.done.append((self.cycle, unit))
            self.bad |= ctx.get(dut.bad_address)
            await ctx.tick()
            self.cycle += 1

    def check(self, records):
        want = [op for record in records for op in operations(self.config, self.rows, record)]
        got = [
            (operation, {name: fields[name] for name in expected})
            for (operation, fields), (_operation, expected) in zip(
                self.operations, want, strict=True
            )
        ]
        assert got == want


@pytest.mark.parametrize("config", [TINY, WIDE], ids=["tiny", "wide"])
@pytest.mark.parametrize("read", [0, 1, 2])
def test_operations_follow_the_instruction_set(simulate, config, read):
    bench = Bench(config, seed=read)
    records = [
        VECTOR,
        GEMV | {"read": read},
        VECTOR | {"rows": 1, "half": 0},
        GEMV | {"tiles": 5, "offset_tile": 4},
        GEMV | {"gemvs": 5, "queries": 2, "offset_gemv": 1, "slot_gemv": 0, "column_gemv": 3},
    ]

    async def testbench(ctx):
        await bench.write_list(ctx)
        for record in records:
            await bench.push(ctx, record)
        await ctx.tick().repeat(300)

    simulate(bench.top, testbench, background=[bench.controller], deadline=1000)
    bench.check(records)
    assert not bench.bad
    vectors = [record for record in records if record["opcode"] is Opcode.VECTOR]
    assert bench.reads == [
        (record["lane_address"] + row * record["lane_stride"]) // BURST + burst
        for record in vectors
        for row in range(record["rows"])
        for burst in range(record["bursts"])
    ]
    assert [unit for _cycle, unit in bench.done].count(0) == len(vectors)


def test_an_operation_leaves_every_cycle(simulate):
    bench = Bench(ready=1.1, busy=0.0)

    async def testbench(ctx):
        await bench.write_list(ctx)
        await bench.push(ctx, VECTOR)
        await bench.push(ctx, GEMV)
        started = bench.cycle
        while len(bench.operations) < 6 + len(operations(TINY, bench.rows, GEMV)):
            await ctx.tick()
        assert bench.cycle - started <= len(operations(TINY, bench.rows, GEMV)) + 1

    simulate(bench.top, testbench, background=[bench.controller], deadline=200)


@pytest.mark.parametrize("config", [TINY, WIDE], ids=["tiny", "wide"])
def test_results_go_to_their_places_and_complete_the_instruction(simulate, config):
    bench = Bench(config, ready=1.1)
    records = [
        GEMV,
        GEMV | {"read": 2, "lane_address": 0x2000, "tiles": 3},
        GEMV | {"tiles": 1, "gemvs": 1, "slots": 1, "lane_address": 0x4000},
    ]
    places = []

    async def testbench(ctx):
        await bench.write_list(ctx)
        for record in records:
            await bench.push(ctx, record)
        await ctx.tick().repeat(5)
        for record in records:
            for _burst in result_places(config, record):
                if bench.rng.random() < 0.5:
                    ctx.set(bench.dut.result, 0)
                    await ctx.tick()
                ctx.set(bench.dut.result, 1)
                assert ctx.get(bench.dut.write.enable)
                places.append(ctx.get(bench.dut.write.place))
                await ctx.tick()
        ctx.set(bench.dut.result, 0)
        await ctx.tick().repeat(3)

    simulate(bench.top, testbench, background=[bench.controller], deadline=1000)
    assert places == [place for record in records for place in result_places(config, record)]
    counts = np.cumsum([len(result_places(config, record)) for record in records])
    assert [cycle for cycle, unit in bench.done if unit == 1] == [
        bench.results[count - 1] + 1 for count in counts
    ]


def test_gemv_that_reads_nothing_is_complete_when_its_last_tile_ends(simulate):
    bench = Bench(ready=1.1)
    records = [GEMV | {"read": 0}, GEMV | {"read": 0, "tiles": 3}, GEMV | {"read": 2, "tiles": 1}]

    async def testbench(ctx):
        await bench.write_list(ctx)
        for record in records:
            await bench.push(ctx, record)
        await ctx.tick().repeat(10)
        for _tile in range(6):
            ctx.set(bench.dut.pim_done, 1)
            await ctx.tick()
            ctx.set(bench.dut.pim_done, 0)
            await ctx.tick().repeat(4)
        assert len(bench.done) == 2
        ctx.set(bench.dut.result, 1)
        await ctx.tick().repeat(len(result_places(TINY, records[2])))
        ctx.set(bench.dut.result, 0)
        await ctx.tick().repeat(2)

    simulate(bench.top, testbench, background=[bench.controller], deadline=300)
    ends = bench.tile_ends
    assert [cycle for cycle, _unit in bench.done[:2]] == [ends[1] + 2, ends[4] + 2]
    assert len(bench.done) == 3


@pytest.mark.parametrize(
    "record",
    [
        VECTOR | {"lane_address": TINY.npu.lane_buffer_bytes - BURST},
        VECTOR | {"lane_address": 8},
        VECTOR | {"offset": TINY.vector_columns - 2},
        VECTOR | {"rows": 0},
        GEMV | {"tiles": 0},
        GEMV | {"list": TINY.npu.row_list_entries - 1},
        GEMV | {"offset": TINY.vector_columns - 8},
        GEMV | {"slot": 3, "slots": 3},
        GEMV | {"slots": 0},
    ],
)
def test_what_lies_outside_is_reported_and_not_sent(simulate, record):
    bench = Bench(ready=1.1, busy=0.0)

    async def testbench(ctx):
        await bench.push(ctx, record)
        await ctx.tick().repeat(60)

    simulate(bench.top, testbench, background=[bench.controller], deadline=100)
    assert bench.bad
    assert len(bench.operations) < max(1, len(operations(TINY, [0] * 2048, record)))


def test_result_outside_of_the_lane_buffer_is_reported(simulate):
    bench = Bench(ready=1.1)

    async def testbench(ctx):
        await bench.push(ctx, GEMV | {"lane_address": TINY.npu.lane_buffer_bytes - 0x40})
        await ctx.tick().repeat(10)
        ctx.set(bench.dut.result, 1)
        await ctx.tick()
        assert ctx.get(bench.dut.bad_address)
        assert not ctx.get(bench.dut.write.enable)

    simulate(bench.top, testbench, background=[bench.controller], deadline=100)
