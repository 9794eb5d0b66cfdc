"""Several vector units: what they write and when, beside one unit and the formula."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.npu.vector.cycles import cycles
from hw.npu.vector.issue.schedule import Schedule
from hw.npu.vector.units import VectorUnits
from hw.presets import TINY
from hw.program.instruction_set import INSTRUCTIONS, Opcode, Queue

#: Every operation with each of its functions.
KINDS = [
    (line.opcode, function)
    for line in INSTRUCTIONS
    if Queue.EPILOGUE in line.queues and line.opcode != Opcode.END
    for function in line.functions or (0,)
]
SPACE = 0x10000  #: bytes of the tile for each operand of an instruction


def random_instruction(rng, config, kind, place=0, most_rows=10):
    """Return an instruction on the tile's bytes as they are; its results do not share bytes."""
    opcode, function = kind
    lanes, run = config.npu.lanes, Schedule.of(config).run
    rows = int(rng.integers(1, most_rows + 1))
    n = lanes * int(rng.integers(1, 4))
    if opcode == Opcode.TRANSPOSE:
        rows = rows * run
    elif opcode == Opcode.TAIL:
        rows = min(rows, 10)  # a row of c has a head for each
    elif opcode in (Opcode.SOFTMAX, Opcode.ARGMAX, Opcode.REDUCE):
        n -= int(rng.integers(0, lanes))
    fields = {"opcode": opcode, "function": function, "rows": rows, "n": n}
    fields["m"] = int(rng.integers(1, 8 if opcode == Opcode.TAIL else 3))
    for index, name in enumerate("abco"):
        fields |= {name: SPACE * (4 * place + index), f"{name}_stride": 0x100}
    if opcode == Opcode.TRANSPOSE:
        fields |= {"a_stride": 0x40, "o_stride": 0x800, "c_stride": 0x2000}
    fields |= {name: int(rng.integers(0, 2)) for name in ("a_format", "b_format", "o_format")}
    return fields | {name: int(np.float32(0.25).view(np.uint32)) for name in "xy"}


def check_units(execute, tile, kinds, rng, units, most_rows):
    """Compare the bytes that several units write with those of one, and the cycles they take."""
    config = TINY.replace(vector_units=units)
    instructions = [
        random_instruction(rng, config, kind, place, most_rows) for place, kind in enumerate(kinds)
    ]
    before = tile(1 << 23).bytes
    one, several = tile(1 << 23), tile(1 << 23)
    execute(TINY, one, instructions, deadline=200_000)
    durations = execute(config, several, instructions, deadline=200_000)
    for place, (each, duration) in enumerate(zip(instructions, durations, strict=True)):
        shape = {name: each[name] for name in ("function", "rows", "n", "m")}
        assert duration == cycles(config, each["opcode"], **shape), each
        space = slice(4 * SPACE * place, 4 * SPACE * (place + 1))
        assert (one.bytes[space] != before[space]).any(), each
        np.testing.assert_array_equal(several.bytes[space], one.bytes[space], err_msg=str(each))


@pytest.mark.parametrize("units", [2, 4])
def test_several_units_write_what_one_writes(execute, tile, units):
    check_units(execute, tile, KINDS, np.random.default_rng(units), units, 10)


@pytest.mark.slow
@pytest.mark.parametrize("units", [2, 4, 8])
@pytest.mark.parametrize("seed", range(4))
def test_several_units_write_what_one_writes_in_groups_of_rows(execute, tile, seed, units):
    check_units(execute, tile, KINDS, np.random.default_rng([seed, units]), units, 20 * units)


def test_rows_are_dealt_in_turn(execute, tile):
    config = TINY.replace(vector_units=4)
    add = {"opcode": Opcode.ELEMENTWISE, "function": 0, "n": 16, "o": 0x18000}
    add |= {"a_stride": 32, "o_stride": 32}
    durations = execute(config, tile(), [add | {"rows": rows} for rows in range(1, 10)])
    assert durations == [-(-rows // 4) * 16 // TINY.npu.lanes + 7 for rows in range(1, 10)]


def test_units_are_in_step():
    """Every unit is ready, busy and done when the first one is, whatever its share of the rows."""
    config = TINY.replace(vector_units=4)
    dut = VectorUnits(config)
    sim = Simulator(dut)
    sim.add_clock(1e-9)
    seen = []

    async def issue(ctx):
        rng = np.random.default_rng(7)
        for index in rng.integers(0, len(KINDS), 6):
            fields = random_instruction(rng, config, KINDS[index])
            for name, value in fields.items():
                ctx.set(dut.i.payload[name], value)
            ctx.set(dut.i.valid, 1)
            await ctx.tick().until(dut.i.ready)
            ctx.set(dut.i.valid, 0)
            while not ctx.get(dut.done):
                states = [
                    (ctx.get(unit.i.ready), ctx.get(unit.busy), ctx.get(unit.done))
                    for unit in dut.units
                ]
                assert states == [states[0]] * 4, fields
                seen.append(states[0])
                await ctx.tick()
            assert all(ctx.get(unit.done) for unit in dut.units), fields

    sim.add_testbench(issue)
    sim.run()
    assert len(seen) > 100
