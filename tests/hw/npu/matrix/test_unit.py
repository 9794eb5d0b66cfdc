import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, connect, flipped

from hw.arith import bf16
from hw.npu.matrix.accumulator import Accumulator
from hw.npu.matrix.drain import Drain
from hw.npu.matrix.gemm_feeder import GemmFeeder
from hw.npu.matrix.systolic_array import gemm_golden
from hw.npu.matrix.unit import MatrixUnit
from hw.npu.memories.tile_memory import ReadSignature, TileMemory, WriteSignature
from hw.npu.memories.weight_ring import WeightRing
from hw.presets import TINY
from hw.program.instruction_set import Format, Opcode

STREAMS = {Opcode.WEIGHTS: "weights", Opcode.GEMM: "gemm", Opcode.DRAIN: "drain"}
RESULTS = 2048  # where results start in the activation memory


def config_of(rows, columns, **changes):
    """Return a small configuration with arrays of this size."""
    small = {"weight_ring_bytes": 1024, "activation_bytes": 8192}
    return TINY.replace(array_rows=rows, array_columns=columns, **(small | changes))


class MatrixTile(wiring.Component):
    """A matrix unit with its memories, which the test fills and looks at through ``host``."""

    def __init__(self, config):
        self.config = config
        self.unit = MatrixUnit(config)
        self.ring = WeightRing(config)
        self.memory = TileMemory(
            size_bytes=config.npu.activation_bytes,
            word_bytes=4 * max(config.npu.array_rows, config.npu.tile_columns),
            reads=[2 * config.npu.array_rows, 4],
            writes=[(4 * config.npu.tile_columns, 2 * config.npu.tile_columns), (4, 4)],
        )
        super().__init__(
            {
                "host_read": In(ReadSignature(13, 4)),
                "host_write": In(WriteSignature(13, 4, 4)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = self.unit
        m.submodules.ring = self.ring
        m.submodules.memory = self.memory
        connect(m, self.unit.ring, self.ring.read)
        connect(m, self.unit.activations, self.memory.read_0)
        connect(m, self.unit.results, self.memory.write_0)
        connect(m, flipped(self.host_read), self.memory.read_1)
        connect(m, flipped(self.host_write), self.memory.write_1)
        return m


def random_numbers(rng, shape):
    return bf16.round(rng.standard_normal(shape) * 2.0 ** rng.integers(-3, 3, shape))


def garbage(rng, shape):
    """Return NaNs, infinities and the largest numbers: one that is added to a sum spoils it."""
    return bf16.from_bits(rng.choice(np.uint16([0x7FC0, 0x7F80, 0xFF80, 0x7F7F]), shape))


class Program:
    """Instructions in their order, and what they do one after the other."""

    def __init__(self, config, rng):
        self.config = config
        self.rng = rng
        count = config.npu.weight_ring_bytes // config.npu.weight_tile_bytes
        shape = (count, config.npu.array_rows, config.npu.tile_columns)
        self.weights = random_numbers(rng, shape)
        self.activations = random_numbers(
            rng, (RESULTS // 2 // config.npu.array_rows, config.npu.array_rows)
        )
        self.instructions = []
        self.loaded = []  # tiles in the order of their WEIGHTS, without those that are used
        self.accumulators = np.zeros(
            (2, config.npu.accumulator_rows, config.npu.tile_columns), np.float32
        )
        self.results = {}  # bytes by address
        self.free = RESULTS

    def load(self, tile=None, depth=0):
        tile = int(self.rng.integers(len(self.weights))) if tile is None else tile
        self.loaded.append((tile, depth))
        ring = tile * self.config.npu.weight_tile_bytes
        self.instructions.append((Opcode.WEIGHTS, {"ring": ring, "depth": depth}))

    def multiply(self, rows, half, accumulate, first=None, step=None):
        tile, depth = self.loaded.pop(0)
        step = int(self.rng.integers(1, 3)) if step is None else step
        if first is None:
            first = int(self.rng.integers(len(self.activations) - rows * step + 1))
        a = self.activations[first : first + rows * step : step].copy()
        weights = self.weights[tile].copy()
        if depth:
            a[:, depth:] = weights[depth:] = 0
        target = self.accumulators[half, :rows]
        start = target.copy() if accumulate else None
        target[:] = gemm_golden(a[None], weights[None], start)
        row_bytes = 2 * self.config.npu.array_rows
        operands = {"rows": rows, "address": first * row_bytes, "stride": step * row_bytes}
        operands |= {"half": half, "accumulate": accumulate}
        self.instructions.append((Opcode.GEMM, operands))

    def drain(self, rows, half, form, columns=0):
        row_bytes = (4 if form == Format.BINARY32 else 2) * self.config.npu.tile_columns
        address = -(-self.free // row_bytes) * row_bytes
        stride = row_bytes * int(self.rng.integers(1, 3))
        self.free = address + rows * stride
        for row in range(rows):
            x = self.accumulators[half, row].copy()
            x[columns or len(x) :] = 0
            content = x.tobytes() if form == Format.BINARY32 else bf16.to_bits(x).tobytes()
            for i, byte in enumerate(content):
                self.results[address + row * stride + i] = byte
        operands = {"rows": rows, "address": address, "stride": stride, "columns": columns}
        self.instructions.append((Opcode.DRAIN, operands | {"half": half, "format": form}))


def run(simulate, program, pauses):
    """Run a program; return the cycles of all done pulses, by kind, from the first issue on."""
    dut = MatrixTile(program.config)
    config, unit = program.config, dut.unit
    pulses = {name: [] for name in (*STREAMS.values(), "macs")}
    content = bf16.to_bits(program.weights).tobytes()
    started = [False]

    async def bench(ctx):
        stripe_bytes, burst_bytes = dut.ring.stripe_bytes, config.memory.burst_bytes
        memory = bf16.to_bits(program.activations).tobytes()
        for step in range(max(dut.ring.stripes, len(memory) // 4)):
            for lane in range(config.memory.channels):
                first = step * stripe_bytes + lane * burst_bytes
                port = getattr(dut.ring, f"lane_{lane}")
                ctx.set(port.enable, first < len(content))
                ctx.set(port.address, step % dut.ring.stripes)
                burst = content[first : first + burst_bytes]
                ctx.set(port.data, int.from_bytes(burst, "little"))
            ctx.set(dut.host_write.enable, 4 * step < len(memory))
            ctx.set(dut.host_write.address, 4 * step % config.npu.activation_bytes)
            word = int.from_bytes(memory[4 * step : 4 * step + 4], "little")
            ctx.set(dut.host_write.data, word)
            await ctx.tick()
        ctx.set(dut.host_write.enable, 0)
        for lane in range(config.memory.channels):
            ctx.set(getattr(dut.ring, f"lane_{lane}").enable, 0)

        started[0] = True
        for opcode, operands in program.instructions:
            stream = getattr(unit, f"i_{STREAMS[opcode]}")
            ctx.set(stream.payload, operands)
            ctx.set(stream.valid, 1)
            await ctx.tick().until(stream.ready)
            ctx.set(stream.valid, 0)
            pause = pauses()
            if pause:
                await ctx.tick().repeat(pause)
        while len(pulses["drain"]) < sum(op == Opcode.DRAIN for op, _ in program.instructions):
            await ctx.tick()
        for address in range(RESULTS, -(-program.free // 4) * 4, 4):
            ctx.set(dut.host_read.address, address)
            await ctx.tick()
            got = ctx.get(dut.host_read.data).to_bytes(4, "little")
            for i, byte in enumerate(got):
                wanted = program.results.get(address + i, 0)
                assert byte == wanted, f"byte {address + i:#x}: {byte:#x}, not {wanted:#x}"

    async def watch(ctx):
        cycle = 0
        async for _ in ctx.tick():
            cycle += started[0]
            for name in STREAMS.values():
                if ctx.get(getattr(unit, f"done_{name}")):
                    pulses[name].append(cycle)
            if ctx.get(unit.o_macs):
                pulses["macs"].append(cycle)
            assert not ctx.get(unit.o_bad_address)

    simulate(dut, bench, background=[watch], deadline=5000)
    return pulses


@pytest.mark.parametrize(
    ("rows", "columns", "changes"),
    [
        (2, 2, {}),
        (4, 4, {}),
        (4, 4, {"channels": 1, "column_bytes": 4}),
        (2, 8, {"channels": 1}),
        (8, 4, {}),
        (4, 2, {"arrays": 2}),
        (1, 2, {}),
    ],
)
@pytest.mark.parametrize("longest_pause", [0, 12])
def test_any_program_gives_what_its_order_says(simulate, rows, columns, changes, longest_pause):
    rng = np.random.default_rng([rows, columns, longest_pause])
    program = Program(config_of(rows, columns, **changes), rng)
    for _ in range(6):
        half = int(rng.integers(2))
        m = int(rng.integers(1, 9))
        for tile in range(int(rng.integers(1, 4))):
            if not program.loaded or (len(program.loaded) < 2 and rng.integers(2)):
                program.load(depth=int(rng.integers(rows + 1)))
            program.multiply(m, half, int(tile > 0))
            if len(program.loaded) < 2 and rng.integers(2):
                program.load(depth=int(rng.integers(rows + 1)))
        if rng.integers(4):
            form = Format(int(rng.integers(2)))
            valid = int(rng.integers(program.config.npu.tile_columns + 1))
            program.drain(int(rng.integers(1, m + 1)), half, form, valid)
    while program.loaded:
        program.multiply(1, 0, 0)
    program.drain(1, 0, Format.BF16)
    pulses = run(simulate, program, lambda: int(rng.integers(longest_pause + 1)))
    for opcode, name in STREAMS.items():
        assert len(pulses[name]) == sum(op == opcode for op, _ in program.instructions)
    entered = sum(operands["rows"] for op, operands in program.instructions if op == Opcode.GEMM)
    assert len(pulses["macs"]) == entered


@pytest.mark.parametrize(
    ("rows", "columns", "changes", "m"),
    [
        *[(2, 2, {}, m) for m in range(1, 9)],
        *[(4, 4, {}, m) for m in (4, 5, 6, 8)],
        *[(8, 4, {}, m) for m in (1, 8, 9)],
        (4, 8, {"channels": 1, "column_bytes": 4}, 8),  # a row is two stripes
        (16, 1, {}, 3),
        (64, 1, {}, 1),  # four chunks
    ],
)
def test_gemms_follow_at_the_period_of_the_formula(simulate, rows, columns, changes, m):
    config = config_of(rows, columns, accumulator_rows=16, **changes)
    program = Program(config, np.random.default_rng(m))
    tiles = 3 if rows > 8 else 6
    program.load()
    for tile in range(tiles):
        if tile + 1 < tiles:
            program.load()
        program.multiply(m, 0, int(tile > 0))
    program.drain(m, 0, Format.BINARY32)
    pulses = run(simulate, program, lambda: 0)
    period = max(m, MatrixUnit.weight_cycles_of(config), Accumulator.interval)
    assert set(np.diff(pulses["gemm"])) == {period}
    assert len(pulses["macs"]) == tiles * m


@pytest.mark.parametrize(
    ("rows", "columns", "changes"),
    [(2, 2, {}), (4, 4, {}), (8, 4, {}), (2, 8, {"channels": 1}), (4, 2, {"arrays": 2})],
)
@pytest.mark.parametrize("longest_pause", [0, 9])
@pytest.mark.parametrize("seed", range(2))
def test_random_gemms_with_garbage_beside_ragged_edges(
    simulate, rows, columns, changes, longest_pause, seed
):
    rng = np.random.default_rng([rows, columns, longest_pause, seed])
    config = config_of(rows, columns, accumulator_rows=32, **changes)
    width = config.npu.tile_columns
    program = Program(config, rng)
    m = int(rng.integers(1, 3 * rows + 1))
    k, n = (int(rng.integers(1, 3 * side + 1)) for side in (rows, width))
    depth = -(-k // rows)
    full_a, full_w = random_numbers(rng, (m, k)), random_numbers(rng, (k, n))
    # What lies beside the ragged edges must not matter.
    padded_a = garbage(rng, (m, depth * rows))
    padded_w = garbage(rng, (depth * rows, -(-n // width) * width))
    padded_a[:, :k], padded_w[:k, :n] = full_a, full_w
    a = padded_a.reshape(m, depth, rows).transpose(1, 0, 2)
    program.activations[: depth * m] = a.reshape(-1, rows)
    results = []
    tile = 0
    for block in range(0, n, width):
        half = block // width % 2
        for step in range(depth):
            weights = padded_w[step * rows : (step + 1) * rows, block : block + width]
            program.weights[tile] = weights
            program.load(tile, depth=min(rows, k - step * rows) % rows)
            program.multiply(m, half, int(step > 0), first=step * m, step=1)
            tile += 1
        columns = min(width, n - block)
        program.drain(m, half, Format.BINARY32, columns)
        results.append(program.accumulators[half, :m, :columns].copy())
    clean_a = np.pad(full_a, [(0, 0), (0, depth * rows - k)])
    clean_w = np.pad(full_w, [(0, depth * rows - k), (0, 0)])
    wanted = gemm_golden(
        clean_a.reshape(m, depth, rows).transpose(1, 0, 2), clean_w.reshape(depth, rows, n)
    )
    got = np.concatenate(results, axis=1)
    assert np.array_equal(got.view(np.uint32), wanted.view(np.uint32))
    pulses = run(simulate, program, lambda: int(rng.integers(longest_pause + 1)))
    assert len(pulses["macs"]) == m * depth * -(-n // width)


def test_drain_of_one_half_overlaps_gemms_into_the_other(simulate):
    program = Program(config_of(4, 4), np.random.default_rng(0))
    blocks, tiles, m = 3, 4, 8
    program.load()
    for block in range(blocks):
        for tile in range(tiles):
            if (block, tile) != (blocks - 1, tiles - 1):
                program.load()
            program.multiply(m, block % 2, int(tile > 0))
        program.drain(m, block % 2, Format.BF16)
    pulses = run(simulate, program, lambda: 0)
    assert set(np.diff(pulses["gemm"])) == {m}


@pytest.mark.parametrize("m", [1, 3])
def test_latencies_are_as_documented(simulate, m):
    program = Program(config_of(4, 4), np.random.default_rng(m))
    program.load()
    program.multiply(m, 0, 0)
    program.drain(m, 0, Format.BF16)
    pulses = run(simulate, program, lambda: 0)
    gemm_starts = pulses["macs"][0] - GemmFeeder.latency
    assert pulses["gemm"] == [gemm_starts + MatrixUnit.latency_of(program.config) + m - 1]
    assert pulses["drain"] == [pulses["gemm"][0] + 1 + Drain.latency + m - 1]
    # The first weights are in the shadow just before they are swapped in.
    assert pulses["weights"] == [pulses["macs"][0] - 1]


def test_gemm_without_weights_waits(simulate):
    program = Program(config_of(2, 2), np.random.default_rng(0))
    program.load()
    program.multiply(1, 0, 0)
    program.drain(1, 0, Format.BF16)
    program.instructions[:2] = program.instructions[1::-1]
    pulses = run(simulate, program, lambda: 20)
    assert pulses["macs"][0] > pulses["weights"][0]


def test_address_outside_is_reported(simulate):
    config = config_of(2, 2)
    inside = {"ring": 0, "rows": 1, "address": 0, "stride": 0, "half": 0}
    for opcode, changes, bad in (
        (Opcode.WEIGHTS, {}, False),
        (Opcode.WEIGHTS, {"ring": config.npu.weight_ring_bytes}, True),
        (Opcode.GEMM, {}, False),
        (Opcode.GEMM, {"rows": config.npu.accumulator_rows + 1}, True),
        (Opcode.GEMM, {"rows": 2, "stride": config.npu.activation_bytes}, True),
        (Opcode.DRAIN, {}, False),
        (Opcode.DRAIN, {"rows": config.npu.accumulator_rows + 1}, True),
        (Opcode.DRAIN, {"address": config.npu.activation_bytes}, True),
    ):
        dut = MatrixUnit(config)
        pulses = []

        async def bench(ctx, dut=dut, opcode=opcode, changes=changes, pulses=pulses):
            issued = [Opcode.WEIGHTS, opcode] if opcode == Opcode.GEMM else [opcode]
            for kind in issued:
                stream = getattr(dut, f"i_{STREAMS[kind]}")
                operands = inside | (changes if kind == opcode else {})
                for name in stream.payload.shape().members:
                    ctx.set(stream.payload[name], operands.get(name, 0))
                ctx.set(stream.valid, 1)
                await ctx.tick()
                ctx.set(stream.valid, 0)
            for _ in range(20):
                pulses.append(ctx.get(dut.o_bad_address))
                await ctx.tick()

        simulate(dut, bench)
        assert any(pulses) == bad, (opcode, changes)
