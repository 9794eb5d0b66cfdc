"""Fixtures shared by the tests of the vector units."""

import numpy as np
import pytest

from hw.arith import bf16
from hw.npu.vector.units import VectorUnits
from hw.program.instruction_set import OPERANDS, Format, Queue

#: What a write port says.
_RESULT = ("enable", "address", "format", "data")


@pytest.fixture(scope="session")
def tile():
    """Give the tests their tile memory: bytes, and arrays of numbers in rows in it."""

    class Tile:
        def __init__(self, nbytes=1 << 17):
            self.bytes = np.random.default_rng(99).integers(0, 256, nbytes).astype(np.uint8)

        def put(self, address, stride, rows, number_format):
            rows = np.asarray(rows, np.float32)
            bits = bf16.to_bits(rows) if number_format == Format.BF16 else rows.view(np.uint32)
            for index, row in enumerate(bits):
                raw = row.view(np.uint8)
                self.bytes[address + index * stride :][: len(raw)] = raw

        def get(self, address, stride, shape, dtype):
            rows, n = shape
            nbytes = n * np.dtype(dtype).itemsize
            raw = [self.bytes[address + row * stride :][:nbytes] for row in range(rows)]
            return np.array(raw).view(dtype)

    return Tile


def bench(config, tile):
    """Return vector units, and a testbench that is the tile memory around them."""
    dut = VectorUnits(config)
    lanes = config.npu.lanes
    units = range(config.npu.vector_units)
    ports = [getattr(dut, f"{name}_{unit}") for unit in units for name in "abc"]
    results = [getattr(dut, f"o_{unit}") for unit in units]

    def reach(address, number_format):
        nbytes = lanes * (2 if number_format.value == Format.BF16 else 4)
        start = address % len(tile.bytes) // nbytes * nbytes
        return tile.bytes[start : start + nbytes]

    async def memory(ctx):
        delayed = [0] * len(ports)
        ticks = ctx.tick().sample(
            *(getattr(port, name) for port in ports for name in ("enable", "address", "format")),
            *(getattr(port, name) for port in results for name in _RESULT),
        )
        async for _clock, _reset, *values in ticks:
            reads, writes = values[: 3 * len(ports)], values[3 * len(ports) :]
            for index, port in enumerate(ports):
                ctx.set(port.data, delayed[index])
                read, place, read_format = reads[3 * index : 3 * index + 3]
                raw = reach(place, read_format).tobytes() if read else b"\xff"
                delayed[index] = int.from_bytes(raw, "little")
            for unit in units:
                enable, address, number_format, data = writes[4 * unit : 4 * unit + 4]
                if not enable:
                    continue
                target = reach(address, number_format)
                width = len(target) // lanes
                raw = np.frombuffer(data.to_bytes(4 * lanes, "little"), np.uint8)
                for lane in range(lanes):
                    if enable >> lane & 1:
                        part = slice(lane * width, (lane + 1) * width)
                        target[part] = raw[part]

    return dut, memory


def complete(instruction):
    return dict.fromkeys((field.name for field in OPERANDS[Queue.EPILOGUE]), 0) | instruction


@pytest.fixture
def execute(simulate):
    """Run instructions on vector units that read and write a tile; return their durations."""

    def run(config, tile, instructions, deadline=20_000):
        dut, memory = bench(config, tile)
        durations = []

        async def issue(ctx):
            for instruction in instructions:
                ctx.set(dut.i.payload, complete(instruction))
                ctx.set(dut.i.valid, 1)
                await ctx.tick().until(dut.i.ready)
                ctx.set(dut.i.valid, 0)
                duration = 1
                while not ctx.get(dut.done):
                    await ctx.tick()
                    duration += 1
                durations.append(duration)
            await ctx.tick()

        simulate(dut, issue, background=[memory], deadline=deadline)
        return durations

    return run


@pytest.fixture
def execute_stream(simulate):
    """Offer instructions without a pause; return when they were taken and when they were done."""

    def run(config, tile, instructions, deadline=20_000):
        dut, memory = bench(config, tile)
        taken, done = [], []

        async def issue(ctx):
            for instruction in instructions:
                ctx.set(dut.i.payload, complete(instruction))
                ctx.set(dut.overlap, complete(instruction)["overlap"])
                ctx.set(dut.i.valid, 1)
                await ctx.tick().until(dut.i.ready)
            ctx.set(dut.i.valid, 0)
            while len(done) < len(instructions):
                await ctx.tick()
            await ctx.tick()

        async def watch(ctx):
            cycle = 0
            ticks = ctx.tick().sample(dut.i.valid & dut.i.ready, dut.done)
            async for _clock, _reset, starts, ends in ticks:
                if starts:
                    taken.append(cycle)
                if ends:
                    done.append(cycle)
                cycle += 1

        simulate(dut, issue, background=[memory, watch], deadline=deadline)
        return taken, done

    return run
