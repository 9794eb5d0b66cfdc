"""Dispatch: descriptors go to the lanes that are named and to no other, and come back in order."""

import numpy as np
import pytest

from hw.npu.dma.dispatch import Dispatch
from hw.npu.dma.engine import Engine
from hw.presets import TINY
from hw.program.instruction_set import Opcode

FOUR = TINY.replace(channels=4)
FIELDS = {"address": 0x40, "bursts": 3, "rows": 2, "stride": 0x80}


class Bench:
    """A dispatch, and lanes that take a descriptor so many cycles after the one before."""

    def __init__(self, engine, pauses):
        self.dut = Dispatch(FOUR, engine)
        self.pauses = pauses
        self.cycle = 0
        self.taken = [[] for _ in pauses]
        self.done = []
        self.started = []
        self.finish = {}  # lanes that report in a cycle

    async def lanes(self, ctx):
        free = [0] * len(self.pauses)
        while True:
            done = self.finish.get(self.cycle, 0)
            ctx.set(self.dut.lane_done, done)
            for lane, pause in enumerate(self.pauses):
                port = getattr(self.dut, f"o_{lane}")
                ready = self.cycle >= free[lane]
                ctx.set(port.ready, ready)
                if ready and ctx.get(port.valid):
                    self.taken[lane].append((self.cycle, ctx.get(port.payload.address)))
                    free[lane] = self.cycle + 1 + pause
            if ctx.get(self.dut.i.valid) and ctx.get(self.dut.i.ready):
                self.started.append(self.cycle)
            if ctx.get(self.dut.done):
                self.done.append(self.cycle)
            await ctx.tick()
            self.cycle += 1

    async def push(self, ctx, **fields):
        for name, value in (FIELDS | fields).items():
            ctx.set(self.dut.i.payload[name], value)
        ctx.set(self.dut.i.valid, 1)
        while not ctx.get(self.dut.i.ready):
            await ctx.tick()
        await ctx.tick()
        ctx.set(self.dut.i.valid, 0)

    def run(self, simulate, instructions, cycles):
        async def testbench(ctx):
            await ctx.tick().repeat(2)
            for fields in instructions:
                await self.push(ctx, **fields)
            while self.cycle < cycles:
                await ctx.tick()

        simulate(self.dut, testbench, background=[self.lanes], deadline=cycles + 100)


@pytest.mark.parametrize("engine", [Engine.TAIL, Engine.STORE])
def test_only_lanes_that_are_named_get_a_descriptor(simulate, engine):
    rng = np.random.default_rng(1)
    masks = [int(mask) for mask in rng.integers(0, 16, 20)]
    bench = Bench(engine, [0, 1, 5, 2])
    instructions = [{"lanes": mask, "address": 0x10 * n} for n, mask in enumerate(masks)]
    bench.run(simulate, instructions, 150)
    for lane, taken in enumerate(bench.taken):
        expected = [0x10 * n for n, mask in enumerate(masks) if mask >> lane & 1]
        assert [address for _cycle, address in taken] == expected


def test_weights_go_to_every_lane(simulate):
    bench = Bench(Engine.LOAD, [0, 0, 3, 0])
    bench.run(simulate, [{"ring": 0x100, "address": 0x10 * n} for n in range(4)], 40)
    assert [[address for _cycle, address in taken] for taken in bench.taken] == [
        [0, 0x10, 0x20, 0x30]
    ] * 4


def test_a_lane_takes_its_descriptor_whatever_the_others_do(simulate):
    bench = Bench(Engine.STORE, [0, 0, 0, 30])
    bench.run(simulate, [{"lanes": 0b1000}, {"lanes": 0b1011}, {"lanes": 0b0001}], 60)
    first, second, third = bench.started
    assert second == first + 2  # a register, then the lane's answer
    assert bench.taken[0][0][0] == bench.taken[1][0][0] == second + 1
    assert bench.taken[3][1][0] == first + 1 + 31
    assert third == bench.taken[3][1][0] + 1
    assert not bench.taken[2]


def test_an_instruction_is_taken_every_second_cycle(simulate):
    bench = Bench(Engine.TAIL, [0] * 4)
    bench.run(simulate, [{"lanes": 0b0110}] * 6, 40)
    assert np.diff(bench.started).tolist() == [2] * 5


def test_instructions_are_complete_in_order_when_their_own_lanes_are(simulate):
    bench = Bench(Engine.STORE, [0] * 4)
    bench.finish = {20: 0b0100, 22: 0b0100, 30: 0b0001, 40: 0b0010}
    masks = [{"lanes": 0b0001}, {"lanes": 0b0100}, {"lanes": 0b0110}, {"lanes": 0}]
    bench.run(simulate, masks, 60)
    assert bench.done == [31, 32, 41, 42]


@pytest.mark.parametrize("opcode", [Opcode.LOAD, Opcode.LOAD_PAGES])
def test_operands_reach_the_descriptor(simulate, opcode):
    bench = Bench(Engine.TAIL, [1000] * 4)
    fields = {"lane_address": 0xABC000, "lane_stride": 0x1230, "pages": 7, "list": 9, "row": 11}
    seen = {}

    async def testbench(ctx):
        await ctx.tick()
        await bench.push(ctx, lanes=0b0010, opcode=opcode, **fields)
        payload = bench.dut.o_1.payload
        seen.update({name: ctx.get(payload[name]) for name, _field in payload.shape()})

    simulate(bench.dut, testbench, deadline=20)
    assert seen == FIELDS | {
        "place": 0xABC000,
        "place_stride": 0x1230,
        "paged": opcode is Opcode.LOAD_PAGES,
        "pages": 7,
        "list": 9,
        "row": 11,
    }
