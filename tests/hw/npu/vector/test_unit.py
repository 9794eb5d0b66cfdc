# amaranth: UnusedElaboratable=no
import itertools

import numpy as np
import pytest

from hw.arith import bf16
from hw.npu.vector import golden
from hw.npu.vector.cycles import cycles
from hw.npu.vector.unit import VectorUnit
from hw.presets import TINY
from hw.program.instruction_set import Element, Format, Function, Norm, Opcode, Reduce

A, B, C, OUT = 0x00000, 0x08000, 0x10000, 0x18000
FORMATS = list(Format)
DTYPE = {Format.BF16: np.uint16, Format.BINARY32: np.uint32}
SPECIAL = np.array(
    [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 3e38, -3e38, 1.5e-38, -88.0, 1.0],
    np.float32,
)


def numbers(seed, shape, spread=3.0):
    return (np.random.default_rng(seed).standard_normal(shape) * spread).astype(np.float32)


def with_specials(seed, shape):
    x = numbers(seed, shape, 2.0)
    x.flat[: len(SPECIAL)] = SPECIAL
    x.flat[len(SPECIAL) + 4 : 2 * len(SPECIAL) + 4] = np.roll(SPECIAL, 1)
    return x


def stored(x, number_format):
    return bf16.round(x) if number_format == Format.BF16 else x


def bits(x, number_format):
    return bf16.to_bits(x) if number_format == Format.BF16 else x.view(np.uint32)


def expected_cycles(config, instructions):
    return [
        cycles(
            config,
            each["opcode"],
            function=each.get("function", 0),
            rows=each["rows"],
            n=each["n"],
            m=each.get("m", 0),
        )
        for each in instructions
    ]


def check(actual, expected, what):
    wrong = np.argwhere(actual != expected)
    assert actual.shape == expected.shape, what
    assert not len(wrong), f"{what}: {wrong[:4].tolist()}, {actual[actual != expected][:4]}"


def operation(opcode, **fields):
    return {"opcode": opcode, **fields}


def operand(name, address, stride, number_format=None):
    fields = {name: address, f"{name}_stride": stride}
    return fields if number_format is None else fields | {f"{name}_format": number_format}


@pytest.mark.parametrize("lanes", [2, 4, 8])
def test_elementwise_equals_golden_model_in_all_formats(execute, tile, lanes):
    rows, n = 3, 16
    a, b = with_specials(1, (rows, n)), with_specials(2, (rows, n))[::-1]
    memory = tile()
    for f in FORMATS:
        memory.put(A + 0x800 * f, 128, a, f)
        memory.put(B + 0x800 * f, 64, b, f)
    cases = [(e, *fs) for e in Element for fs in itertools.product(FORMATS, FORMATS, FORMATS)]
    cases = cases if lanes == TINY.npu.lanes else cases[::5]
    instructions = [
        operation(Opcode.ELEMENTWISE, function=element, rows=rows, n=n)
        | operand("a", A + 0x800 * fa, 128, fa)
        | operand("b", B + 0x800 * fb, 64, fb)
        | operand("o", OUT + 0x200 * index, 128, fo)
        for index, (element, fa, fb, fo) in enumerate(cases)
    ]

    config = TINY.replace(lanes=lanes)
    durations = execute(config, memory, instructions)

    for (element, fa, fb, fo), each in zip(cases, instructions, strict=True):
        actual = memory.get(each["o"], 128, (rows, n), DTYPE[fo])
        expected = golden.elementwise(element, stored(a, fa), stored(b, fb), fo)
        check(actual, bits(expected, fo), (element, fa, fb, fo))
    assert durations == expected_cycles(config, instructions)


@pytest.mark.parametrize("function", Function)
def test_function_equals_golden_model(execute, tile, function):
    rows, n = 4, 24
    a = with_specials(3, (rows, n))
    a[3] *= 3
    a[2, :8] = np.linspace(-12, -8, 8)
    memory = tile()
    cases = list(itertools.product(FORMATS, FORMATS))
    for f in FORMATS:
        memory.put(A + 0x800 * f, 128, a, f)
    instructions = [
        operation(Opcode.FUNCTION, function=function, rows=rows, n=n)
        | operand("a", A + 0x800 * fa, 128, fa)
        | operand("o", OUT + 0x200 * index, 128, fo)
        for index, (fa, fo) in enumerate(cases)
    ]

    durations = execute(TINY, memory, instructions)

    for (fa, fo), each in zip(cases, instructions, strict=True):
        actual = memory.get(each["o"], 128, (rows, n), DTYPE[fo])
        expected = golden.function(function, stored(a, fa), fo)
        check(actual, bits(expected, fo), (fa, fo))
    assert durations == expected_cycles(TINY, instructions)


@pytest.mark.parametrize("lanes", [2, 4, 8])
def test_rms_norm_equals_golden_model(execute, tile, lanes):
    cases = [(1, 8, 0, 0, 0), (3, 16, 1, 0, 1), (2, 40, 1, 1, 0), (19, 24, 0, 1, 1)]
    cases = cases if lanes == TINY.npu.lanes else cases[2:]
    memory = tile()
    instructions, expected = [], []
    for index, (rows, n, fa, fb, fo) in enumerate(cases):
        a, gamma = numbers(10 + index, (rows, n)), numbers(20, (1, n))
        a[rows // 2] = 0.0 if index else -0.0
        a[-1, 3] = np.inf if index == 2 else 7.0
        inv_n, epsilon = np.float32(1 / n), np.float32(1e-5)
        memory.put(A + 0x1000 * index, 0xA0, a, fa)
        memory.put(B + 0x100 * index, 0, gamma, fb)
        instructions.append(
            operation(Opcode.NORM, function=Norm.RMS, rows=rows, n=n, b_format=fb)
            | operand("a", A + 0x1000 * index, 0xA0, fa)
            | {"b": B + 0x100 * index}
            | operand("o", OUT + 0x1000 * index, 0xA0, fo)
            | {"x": int(inv_n.view(np.uint32)), "y": int(epsilon.view(np.uint32))}
        )
        expected.append(
            golden.norm_rms(
                stored(a, fa),
                stored(gamma[0], fb),
                inv_n=inv_n,
                epsilon=epsilon,
                lanes=lanes,
                partial_sums=TINY.npu.vector_partial_sums,
                o_format=fo,
            )
        )

    config = TINY.replace(lanes=lanes)
    durations = execute(config, memory, instructions)

    for (*shape, _fa, _fb, fo), each, o in zip(cases, instructions, expected, strict=True):
        check(memory.get(each["o"], 0xA0, shape, DTYPE[fo]), bits(o, fo), shape)
    assert durations == expected_cycles(config, instructions)


@pytest.mark.parametrize("lanes", [2, 4, 8])
def test_rotary_equals_golden_model(execute, tile, lanes):
    cases = [(1, 1, 8, 0, 1, 0), (3, 2, 16, 1, 1, 1), (18, 4, 8, 1, 0, 0), (2, 3, 24, 0, 0, 1)]
    cases = cases if lanes == TINY.npu.lanes else cases[1:3]
    memory = tile()
    instructions, expected = [], []
    for index, (rows, heads, n, fa, fb, fo) in enumerate(cases):
        a, b = with_specials(40 + index, (rows, heads * n + 24)), numbers(50 + index, (rows, n))
        a = a[:, : heads * n]
        repeated = index == 2
        memory.put(A + 0x2000 * index, 0x120, a, fa)
        memory.put(B + 0x800 * index, 0x60, b, fb)
        instructions.append(
            operation(Opcode.ROTARY, rows=rows, n=n, m=heads)
            | operand("a", A + 0x2000 * index, 0x120, fa)
            | operand("b", B + 0x800 * index, 0 if repeated else 0x60, fb)
            | operand("o", OUT + 0x2000 * index, 0x120, fo)
        )
        table = stored(b, fb)[0] if repeated else stored(b, fb)
        o = golden.rotary(stored(a, fa).reshape(rows, heads, n), table, fo)
        expected.append(o.reshape(rows, heads * n))

    config = TINY.replace(lanes=lanes)
    durations = execute(config, memory, instructions)

    for (rows, heads, n, *_, fo), each, o in zip(cases, instructions, expected, strict=True):
        shape = (rows, heads * n)
        check(memory.get(each["o"], 0x120, shape, DTYPE[fo]), bits(o, fo), shape)
    assert durations == expected_cycles(config, instructions)


@pytest.mark.parametrize("lanes", [1, 4, 8])
def test_reduce_equals_golden_model(execute, tile, lanes):
    shapes = [(9, 21), (1, 1), (2, 8), (3, 64)]
    cases = [(*shape, operation) for shape in shapes for operation in Reduce]
    memory = tile()
    instructions, expected = [], []
    for index, (rows, n, operation_) in enumerate(cases):
        fa, fo = index // 2 % 2, index // 4 % 2
        a = numbers(80 + index, (rows, n))
        if rows > 4:
            a[0] = np.nan
            a[1] = -np.inf
            a[2, :-1] = np.nan
            a[3] = np.where(np.arange(n) % 2, 0.0, -0.0)
            a[4] = np.where(np.arange(n) % 3, 1e-40, -1.0)
            a[5, [4, 9]] = np.inf
            a[6, :2] = np.inf, -np.inf
            a[7] = 3e38
        memory.put(A + 0x1000 * index, 0x100, a, fa)
        scale = np.float32(0.37)
        instructions.append(
            operation(Opcode.REDUCE, function=operation_, rows=rows, n=n)
            | operand("a", A + 0x1000 * index, 0x100, fa)
            | operand("o", OUT + 0x1000 * index, 0x40, fo)
            | {"x": int(scale.view(np.uint32))}
        )
        unit = {"lanes": lanes, "partial_sums": TINY.npu.vector_partial_sums}
        expected.append(golden.reduce(operation_, stored(a, fa), scale=scale, o_format=fo, **unit))

    config = TINY.replace(lanes=lanes)
    durations = execute(config, memory, instructions)

    for (rows, *what), each, o in zip(cases, instructions, expected, strict=True):
        padded = np.zeros((rows, lanes), np.float32)
        padded[:, 0] = o
        fo = each["o_format"]
        actual = memory.get(each["o"], 0x40, (rows, lanes), DTYPE[fo])
        check(actual, bits(padded, fo), (rows, *what))
    assert durations == expected_cycles(config, instructions)


def test_gelu_may_replace_its_operand(execute, tile):
    a = numbers(4, (5, 8))
    memory = tile()
    memory.put(A, 32, a, Format.BINARY32)
    instruction = operation(Opcode.FUNCTION, function=Function.GELU_TANH, rows=5, n=8)
    instruction |= operand("a", A, 32, Format.BINARY32) | operand("o", A, 32, Format.BINARY32)

    execute(TINY, memory, [instruction])

    check(memory.get(A, 32, (5, 8), np.uint32), golden.gelu_tanh(a).view(np.uint32), "in place")


@pytest.mark.parametrize("lanes", [2, 4, 8])
def test_norm_equals_golden_model(execute, tile, lanes):
    cases = [(1, 8, 0, 0, 0), (3, 16, 1, 0, 1), (2, 40, 1, 1, 0), (19, 24, 0, 1, 1)]
    cases = cases if lanes == TINY.npu.lanes else cases[2:]
    memory = tile()
    instructions, expected = [], []
    for index, (rows, n, fa, fb, fo) in enumerate(cases):
        a, gamma, beta = numbers(10 + index, (rows, n)), numbers(20, (1, n)), numbers(30, (1, n))
        a[rows // 2] = 1.25
        a[-1, 3] = np.inf if index == 2 else 7.0
        inv_n, epsilon = np.float32(1 / n), np.float32(1e-5)
        memory.put(A + 0x1000 * index, 0xA0, a, fa)
        memory.put(B + 0x100 * index, 0, gamma, fb)
        memory.put(C + 0x100 * index, 0, beta, fb)
        instructions.append(
            operation(Opcode.NORM, rows=rows, n=n, b_format=fb)
            | operand("a", A + 0x1000 * index, 0xA0, fa)
            | {"b": B + 0x100 * index, "c": C + 0x100 * index}
            | operand("o", OUT + 0x1000 * index, 0xA0, fo)
            | {"x": int(inv_n.view(np.uint32)), "y": int(epsilon.view(np.uint32))}
        )
        expected.append(
            golden.norm_layer(
                stored(a, fa),
                stored(gamma[0], fb),
                stored(beta[0], fb),
                inv_n=inv_n,
                epsilon=epsilon,
                lanes=lanes,
                partial_sums=TINY.npu.vector_partial_sums,
                o_format=fo,
            )
        )

    config = TINY.replace(lanes=lanes)
    durations = execute(config, memory, instructions)

    for (*shape, _fa, _fb, fo), each, o in zip(cases, instructions, expected, strict=True):
        check(memory.get(each["o"], 0xA0, shape, DTYPE[fo]), bits(o, fo), shape)
    assert durations == expected_cycles(config, instructions)


@pytest.mark.parametrize(("lanes", "partial_sums"), [(4, 4), (1, 4), (2, 8), (8, 4)])
def test_softmax_equals_golden_model(execute, tile, lanes, partial_sums):
    cases = [(1, 1), (2, 3), (1, 16), (5, 21), (18, 10), (4, 50)]
    cases = cases if lanes == TINY.npu.lanes else cases[3:4]
    scale = np.float32(0.176776695)
    memory = tile()
    instructions, expected = [], []
    for index, (rows, n) in enumerate(cases):
        a = numbers(40 + index, (rows, n), 12.0)
        if rows > 3:
            a[0] = -np.inf
            a[1, 2:] = -np.inf
            a[2, 1] = np.nan
            a[3, n - 1] = np.inf
        if rows > 4:
            a[4] = np.nan
        memory.put(A + 0x1400 * index, 0x100, a, Format.BINARY32)
        instructions.append(
            operation(Opcode.SOFTMAX, rows=rows, n=n, x=int(scale.view(np.uint32)))
            | operand("a", A + 0x1400 * index, 0x100)
            | operand("o", OUT + 0x1000 * index, 0x80)
        )
        expected.append(golden.softmax(a, scale, lanes=lanes, partial_sums=partial_sums))

    config = TINY.replace(lanes=lanes, vector_partial_sums=partial_sums)
    durations = execute(config, memory, instructions)

    for (rows, n), each, o in zip(cases, instructions, expected, strict=True):
        width = -(-n // lanes) * lanes
        padded = np.pad(bf16.to_bits(o), [(0, 0), (0, width - n)])
        check(memory.get(each["o"], 0x80, (rows, width), np.uint16), padded, (rows, n))
    assert durations == expected_cycles(config, instructions)


@pytest.mark.parametrize("lanes", [1, 4, 8])
def test_tail_equals_golden_model_with_weights_at_any_place(execute, tile, lanes):
    cases = [(1, 8, 7, 0, 0), (2, 16, 3, 1, 0), (3, 8, 1, 1, 1), (2, 8, 0, 1, 0), (2, 8, 12, 1, 1)]
    cases = cases if lanes == TINY.npu.lanes else cases[1:5:3]
    memory = tile()
    instructions, expected = [], []
    for index, (heads, n, tokens, function, fo) in enumerate(cases):
        a, b = numbers(60, (heads, n)), bf16.round(numbers(61 + index, (heads, tokens)))
        c = bf16.round(numbers(70 + index, (tokens, heads * n)))
        if tokens:
            b[0, 0], c[0, :4] = 0.0, [np.inf, -0.0, 1e38, 1.0]
        memory.put(A + 0x400 * index, 0x80, a, Format.BINARY32)
        memory.put(B + 6 + 0x400 * index, 0x40, b, Format.BF16)
        memory.put(C + 0x800 * index, 0x60, c, Format.BF16)
        instructions.append(
            operation(Opcode.TAIL, function=function, rows=heads, n=n, m=tokens)
            | operand("a", A + 0x400 * index, 0x80)
            | operand("b", B + 6 + 0x400 * index, 0x40)
            | operand("c", C + 0x800 * index, 0x60)
            | operand("o", OUT + 0x400 * index, 0x80, fo)
        )
        expected.append(
            golden.tail(
                a if function else None,
                b,
                c,
                partial_sums=TINY.npu.vector_partial_sums,
                o_format=fo,
            )
        )

    config = TINY.replace(lanes=lanes)
    durations = execute(config, memory, instructions)

    for (heads, n, *_, fo), each, o in zip(cases, instructions, expected, strict=True):
        actual = memory.get(each["o"], 0x80, (heads, n), DTYPE[fo])
        check(actual, bits(o, fo), (heads, n))
    assert durations == expected_cycles(config, instructions)


@pytest.mark.parametrize("lanes", [1, 4, 8])
def test_argmax_equals_golden_model(execute, tile, lanes):
    shapes = [(9, 21), (1, 1), (2, 8)]
    memory = tile()
    instructions, expected = [], []
    for index, (rows, n) in enumerate(shapes):
        a = numbers(80 + index, (rows, n)).round()
        if rows > 4:
            a[0] = np.nan
            a[1] = -np.inf
            a[2, :-1] = np.nan
            a[3] = np.where(np.arange(n) % 2, 0.0, -0.0)
            a[4] = np.where(np.arange(n) % 3, 1e-40, -1.0)
            a[5, [4, 9]] = np.inf
        memory.put(A + 0x800 * index, 0x60, a, Format.BINARY32)
        instructions.append(
            operation(Opcode.ARGMAX, rows=rows, n=n)
            | operand("a", A + 0x800 * index, 0x60)
            | operand("o", OUT + 0x800 * index, 0x40)
        )
        expected.append(golden.argmax(a))

    config = TINY.replace(lanes=lanes)
    durations = execute(config, memory, instructions)

    for (rows, n), each, o in zip(shapes, instructions, expected, strict=True):
        padded = np.zeros((rows, lanes), np.uint32)
        padded[:, 0] = o
        check(memory.get(each["o"], 0x40, (rows, lanes), np.uint32), padded, (rows, n))
    assert durations == expected_cycles(config, instructions)


@pytest.mark.parametrize("lanes", [4, 16])
def test_transpose_writes_columns_to_their_banks(execute, tile, lanes):
    rows, n, o_stride, c_stride = 16, 32, 0x100, 0x20
    a = numbers(90, (rows, n))
    memory = tile()
    memory.put(A, 0x80, a, Format.BF16)
    before = memory.bytes.copy()
    instruction = operation(Opcode.TRANSPOSE, rows=rows, n=n, c_stride=c_stride)
    instruction |= operand("a", A, 0x80) | operand("o", OUT, o_stride)

    config = TINY.replace(lanes=lanes)
    durations = execute(config, memory, [instruction])

    columns = golden.transpose(bf16.to_bits(a))
    offsets = golden.transpose_offsets(
        n, banks=config.memory.banks, o_stride=o_stride, c_stride=c_stride
    )
    for offset, column in zip(offsets, columns, strict=True):
        before[OUT + offset :][: 2 * rows] = column.view(np.uint8)
    check(memory.bytes, before, lanes)
    assert durations == expected_cycles(config, [instruction])


def test_instruction_without_elements_is_done_at_once(execute, tile):
    memory = tile()
    before = memory.bytes.copy()
    shapes = [(0, 8), (8, 0), (0, 0)]
    instructions = [operation(Opcode.SOFTMAX, rows=rows, n=n, o=OUT) for rows, n in shapes]
    instructions.append(operation(Opcode.ROTARY, rows=1, n=8, m=0, o=OUT))
    instructions.append(operation(Opcode.REDUCE, rows=1, n=0, o=OUT))

    assert execute(TINY, memory, instructions) == [1] * 5
    assert (memory.bytes == before).all()


def test_partial_sums_below_adder_latency_are_rejected():
    with pytest.raises(
        ValueError,
        match=r"^vector_partial_sums must be at least 3, the latency of an adder, not 2$",
    ):
        VectorUnit(TINY.replace(vector_partial_sums=2))


def test_an_instruction_finds_nothing_of_the_one_before(execute, tile):
    memory = tile()
    memory.put(A, 0x80, numbers(80, (4, 16)), Format.BINARY32)
    memory.put(B, 0x40, bf16.round(numbers(81, (4, 16))), Format.BF16)
    one = operand("a", A, 0x80, Format.BINARY32) | operand("o", OUT, 0x80, Format.BINARY32)
    b = operand("b", B, 0x40, Format.BF16)
    c = operand("c", B, 0x40)
    sizes = {"rows": 4, "n": 16}
    ones = {"x": int(np.float32(1).view(np.uint32)), "y": int(np.float32(1).view(np.uint32))}
    kinds = [
        operation(Opcode.SOFTMAX, rows=4, n=1, **ones) | one,
        operation(Opcode.TAIL, m=1, rows=1, n=16) | one | b | c,
        operation(Opcode.NORM, **sizes, **ones) | one | b | c,
        operation(Opcode.FUNCTION, function=Function.GELU_TANH, **sizes) | one,
        operation(Opcode.ARGMAX, **sizes) | one,
        operation(Opcode.NORM, function=Norm.RMS, **sizes, **ones) | one | b,
        operation(Opcode.FUNCTION, function=Function.GELU_ERF, **sizes) | one,
        operation(Opcode.ELEMENTWISE, function=Element.GATE, **sizes) | one | b,
        operation(Opcode.ROTARY, m=2, rows=4, n=8) | one | b,
        operation(Opcode.REDUCE, **sizes) | one,
        operation(Opcode.ELEMENTWISE, function=Element.ADD, **sizes) | one | b,
        operation(Opcode.TRANSPOSE, rows=8, n=16, c_stride=0x40) | operand("a", B, 0x40) | one,
    ]
    # Every ordered pair once: Lyndon words of one and of two letters in their order.
    order = [
        each
        for first in range(len(kinds))
        for word in [[first], *([first, second] for second in range(first + 1, len(kinds)))]
        for each in word
    ]
    sequence = [kinds[index] for index in [*order, 0]]
    assert len(set(itertools.pairwise([*order, 0]))) == len(kinds) ** 2
    assert execute(TINY, memory, sequence) == expected_cycles(TINY, sequence)
