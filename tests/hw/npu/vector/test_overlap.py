"""Instructions that follow each other closely: values and cycles of random sequences."""

import numpy as np
import pytest

from hw.arith import bf16
from hw.npu.vector import golden
from hw.npu.vector.cycles import cycles, issue_cycles
from hw.npu.vector.issue.schedule import Route, Schedule, route_of
from hw.npu.vector.ports import CONTEXTS
from hw.presets import TINY
from hw.program.instruction_set import Element, Format, Function, Norm, Opcode

UNIT = {"lanes": TINY.npu.lanes, "partial_sums": TINY.npu.vector_partial_sums}
ONE = int(np.float32(1).view(np.uint32))
OUT = 0x18000
BASES = {"a": 0x00000, "b": 0x08000, "c": 0x10000, "o": OUT}
STRIDE = 0x100
#: What makes two instructions the same work.
WORK = ("opcode", "function", "a_format", "b_format", "o_format", "x", "y")


def shape(instruction):
    return {name: instruction.get(name, 0) for name in ("function", "rows", "n", "m")}


def expected_times(instructions, config):
    """Return when each instruction is taken and done, if all are offered from cycle 0 on."""
    taken, done = [], []
    for index, each in enumerate(instructions):
        route = route_of(each["opcode"], each.get("function", 0))
        start = done[-1] + 1 if index else 0
        previous = instructions[index - 1] if index else {}
        same = all(each.get(name, 0) == previous.get(name, 0) for name in WORK)
        if same and each["overlap"] and route is not Route.TRANSPOSE:
            period = Schedule.of(config).period(route)
            early = taken[-1] + issue_cycles(config, each["opcode"], **shape(previous))
            while sum(end >= early for end in done) >= CONTEXTS:
                early += period
            start = early if any(end >= early for end in done) else start
        taken.append(start)
        done.append(start + cycles(config, each["opcode"], **shape(each)))
    return taken, done


def value(instruction, a, b, c):
    """Return what an instruction writes, of binary32 operand a and bfloat16 operands b and c."""
    match instruction["opcode"]:
        case Opcode.ELEMENTWISE:
            return golden.elementwise(instruction["function"], a, b)
        case Opcode.FUNCTION:
            return golden.function(instruction["function"], a)
        case Opcode.SOFTMAX:
            return golden.softmax(a, 1.0, **UNIT)
        case Opcode.NORM if instruction["function"] == Norm.RMS:
            return golden.norm_rms(a, b[0], inv_n=1.0, epsilon=1.0, **UNIT)
        case Opcode.NORM:
            return golden.norm_layer(a, b[0], c[0], inv_n=1.0, epsilon=1.0, **UNIT)
    raise ValueError(f"opcode must be one that is tested, not {instruction['opcode']}")


KINDS = [
    (Opcode.ELEMENTWISE, Element.ADD),
    (Opcode.ELEMENTWISE, Element.GATE),
    (Opcode.FUNCTION, Function.EXP),
    (Opcode.FUNCTION, Function.GELU_TANH),
    (Opcode.FUNCTION, Function.GELU_ERF),
    (Opcode.NORM, Norm.LAYER),
    (Opcode.NORM, Norm.RMS),
    (Opcode.SOFTMAX, 0),
]


def check_sequence(execute_stream, tile, kinds, rng, config=TINY):
    memory = tile()
    instructions, expected = [], []
    for index, (opcode, function) in enumerate(kinds):
        rows = int(rng.integers(1, 4))
        n = int(rng.integers(1, 7)) * TINY.npu.lanes
        live = n - int(rng.integers(0, TINY.npu.lanes)) if opcode == Opcode.SOFTMAX else n
        a, b, c = (rng.standard_normal((rows, n)).astype(np.float32) for _ in range(3))
        b, c = bf16.round(b), bf16.round(c)
        places = {name: base + 0x400 * index for name, base in BASES.items()}
        memory.put(places["a"], STRIDE, a, Format.BINARY32)
        memory.put(places["b"], STRIDE, b, Format.BF16)
        memory.put(places["c"], STRIDE, c, Format.BF16)
        strides = {f"{name}_stride": STRIDE for name in "abco"}
        instruction = {"opcode": opcode, "function": function, "rows": rows, "n": live}
        instruction |= places | strides | {"x": ONE, "y": ONE, "a_format": Format.BINARY32}
        instruction |= {"o_format": Format.BINARY32, "overlap": int(rng.random() < 0.9)}
        instructions.append(instruction)
        expected.append(value(instruction, a[:, :live], b, c))

    taken, done = execute_stream(config, memory, instructions)

    for each, o in zip(instructions, expected, strict=True):
        narrow = each["opcode"] == Opcode.SOFTMAX
        want = bf16.to_bits(o) if narrow else o.view(np.uint32)
        got = memory.get(each["o"], STRIDE, o.shape, want.dtype)
        np.testing.assert_array_equal(got, want, err_msg=str(each))
    assert (taken, done) == expected_times(instructions, config)
    return taken


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind))
def test_instructions_of_the_same_work_overlap(execute_stream, tile, kind):
    check_sequence(execute_stream, tile, [kind] * 5, np.random.default_rng(1))


@pytest.mark.parametrize("units", [1, 2])
@pytest.mark.parametrize("kind", [Opcode.ELEMENTWISE, Opcode.SOFTMAX, Opcode.TAIL])
def test_of_overlapping_instructions_that_write_the_same_place_the_last_counts(
    execute_stream, tile, kind, units
):
    memory = tile()
    rng = np.random.default_rng(units)
    config = TINY.replace(vector_units=units)
    formats = {"a_format": Format.BINARY32, "b_format": Format.BF16, "o_format": Format.BF16}
    shared = {"opcode": kind, "overlap": 1, "rows": 3, "n": 8, "m": 3, "x": ONE, "o": OUT}
    shared |= formats | {f"{name}_stride": STRIDE for name in "abco"}
    numbers = []
    for index in range(4):
        a, b, c = (rng.standard_normal((3, 24)).astype(np.float32) for _ in range(3))
        numbers.append((a[:, :8], bf16.round(b), bf16.round(c)))
        for name, x, stored in (("a", a, 1), ("b", b, 0), ("c", c, 0)):
            memory.put(BASES[name] + 0x400 * index, STRIDE, x, Format(stored))
    instructions = [
        shared | {name: BASES[name] + 0x400 * index for name in "abc"} for index in range(4)
    ]

    taken, done = execute_stream(config, memory, instructions)

    assert taken[1] < done[0]
    a, b, c = numbers[-1]
    if kind == Opcode.TAIL:
        want = golden.tail(None, b[:, :3], c, partial_sums=TINY.npu.vector_partial_sums)
    elif kind == Opcode.SOFTMAX:
        want = golden.softmax(a, 1.0, **UNIT)
    else:
        want = golden.elementwise(Element.COPY, a, b)
    got = memory.get(OUT, STRIDE, (3, 8), np.uint16)
    np.testing.assert_array_equal(got, bf16.to_bits(want))


@pytest.mark.parametrize("seed", range(1))
def test_random_sequences_equal_the_golden_model(execute_stream, tile, seed):
    rng = np.random.default_rng(seed)
    kinds = [KINDS[k] for k in rng.integers(0, len(KINDS), 5) for _ in range(rng.integers(1, 4))]
    check_sequence(execute_stream, tile, kinds, rng)


@pytest.mark.parametrize("units", [2, 4])
def test_random_sequences_on_several_units(execute_stream, tile, units):
    rng = np.random.default_rng(units)
    kinds = [KINDS[k] for k in rng.integers(0, len(KINDS), 4) for _ in range(rng.integers(2, 4))]
    check_sequence(execute_stream, tile, kinds, rng, TINY.replace(vector_units=units))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_long_random_sequences_equal_the_golden_model(execute_stream, tile, seed):
    rng = np.random.default_rng(seed)
    kinds = [KINDS[k] for k in rng.integers(0, len(KINDS), 16) for _ in range(rng.integers(1, 4))]
    check_sequence(execute_stream, tile, kinds[:32], rng)


def test_without_overlap_an_instruction_waits_for_the_one_before(execute_stream, tile):
    add = {"opcode": Opcode.ELEMENTWISE, "function": Element.ADD, "rows": 1, "n": 8, "o": OUT}
    duration = cycles(TINY, Opcode.ELEMENTWISE, **shape(add))
    taken, done = execute_stream(TINY, tile(), [add] * 3)
    assert done == [start + duration for start in taken]
    assert np.diff(taken).tolist() == [duration + 1] * 2


def test_short_functions_are_taken_within_eight_cycles_beyond_their_work(execute_stream, tile):
    gelu = {"opcode": Opcode.FUNCTION, "function": Function.GELU_TANH, "rows": 1, "n": 16}
    taken, _done = execute_stream(TINY, tile(), [gelu | {"o": OUT, "overlap": 1}] * 8)
    work = 2 * 16 // TINY.npu.lanes
    assert (taken[-1] - taken[0]) / 7 <= work + 8
