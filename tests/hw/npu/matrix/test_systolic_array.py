import numpy as np
import pytest
from amaranth.hdl import *

from hw.arith import bf16
from hw.arith.binary32 import add
from hw.arith.dot import dot
from hw.npu.matrix.systolic_array import SystolicArray, gemm_golden
from sim.engine import port_trace
from sim.engine.cxxrtl import CompiledDesign


def plain_gemm(activations, weights, start):
    """Compute the same as ``gemm_golden``, sum by sum."""
    total = start
    for a, w in zip(activations, weights, strict=True):
        column_sum = np.float32(0)
        for row in range(0, len(w), 16):
            chunk = slice(row, row + 16)
            column_sum = add(column_sum, dot(a[:, chunk, None], w[None, chunk], axis=1))
        total = column_sum if total is None else add(total, column_sum)
    return total


def random_numbers(rng, shape, exponents):
    """Return bfloat16 numbers whose exponents lie in a range, some of them zeros."""
    x = rng.standard_normal(shape) * 2.0 ** rng.integers(*exponents, shape)
    return bf16.round(np.where(rng.random(shape) < 0.1, 0 * x, x).astype(np.float32))


def pack(numbers):
    """Return the bits of bfloat16 numbers side by side, the first one lowest."""
    return int.from_bytes(bf16.to_bits(numbers).tobytes(), "little")


def unpack(bits, count):
    """Return binary32 numbers that stand side by side."""
    return np.frombuffer(bits.to_bytes(4 * count, "little"), np.float32)


def assert_same_bits(got, wanted):
    assert np.array_equal(got.view(np.uint32), wanted.view(np.uint32)), (got, wanted)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (5, 3, 4, 4), (3, 2, 32, 5), (2, 130, 64, 64)])
@pytest.mark.parametrize("exponents", [(-2, 3), (-70, -55), (40, 66)])
def test_golden_model_sums_in_order(shape, exponents):
    rng = np.random.default_rng(1)
    tiles, rows, depth, columns = shape
    a = random_numbers(rng, (tiles, rows, depth), exponents)
    w = random_numbers(rng, (tiles, depth, columns), exponents)
    start = random_numbers(rng, (rows, columns), (2 * exponents[0], 2 * exponents[1] - 5))
    assert_same_bits(gemm_golden(a, w), plain_gemm(a, w, None))
    assert_same_bits(gemm_golden(a, w, start), plain_gemm(a, w, start))


def test_golden_model_starts_column_sums_from_plus_zero():
    zero = gemm_golden(np.float32([[[-0.0, -0.0]]]), np.float32([[[1.0], [1.0]]]))
    assert_same_bits(zero, np.float32([[0.0]]))


def test_golden_model_propagates_nan_as_canonical():
    a = np.float32([[[np.inf, 1.0]], [[1.0, 1.0]]])
    w = np.float32([[[0.0], [1.0]], [[1.0], [1.0]]])
    assert gemm_golden(a, w).view(np.uint32).item() == 0x7FC00000


def test_golden_model_rejects_shapes_that_do_not_fit():
    a, w = np.zeros((1, 2, 4), np.float32), np.zeros((1, 8, 3), np.float32)
    with pytest.raises(ValueError, match=r"^weights must have shape \(1, 4, columns\)"):
        gemm_golden(a, w)
    with pytest.raises(ValueError, match=r"^rows of a weight tile must be a power of two, not 3$"):
        gemm_golden(np.zeros((1, 2, 3), np.float32), np.zeros((1, 3, 3), np.float32))


def test_array_needs_power_of_two_rows():
    with pytest.raises(ValueError, match=r"^rows must be a power of two, not 24$"):
        SystolicArray.latency_of(24)


class BackToBack:
    """Random tiles one right after the other: what enters in each cycle, and what must leave.

    Row 0 of the shadow is loaded with the swap, the last row just before the next one.
    """

    def __init__(self, rows, columns, lengths):
        rng = np.random.default_rng(rows)
        w = random_numbers(rng, (len(lengths), rows, columns), (-3, 3))
        a = [random_numbers(rng, (length, rows), (-3, 3)) for length in lengths]
        wanted = [gemm_golden(x[None], y[None]) for x, y in zip(a, w, strict=True)]
        swaps = np.cumsum([rows] + [max(length, rows) for length in lengths])
        loads = {
            swap - rows + row: (i, row) for i, swap in enumerate(swaps[:-1]) for row in range(rows)
        } | {swap + row: (i + 1, row) for i, swap in enumerate(swaps[:-2]) for row in range(rows)}
        enters = {swap + m: (i, m) for i, swap in enumerate(swaps[:-1]) for m in range(lengths[i])}
        self.sums = {cycle: wanted[tile][row] for cycle, (tile, row) in enters.items()}
        self.inputs = []  # by name, in every cycle
        for cycle in range(swaps[-1]):
            load_tile, load_row = loads.get(cycle, (0, 0))
            tile, row = enters.get(cycle, (0, -1))
            self.inputs.append(
                {
                    "load": (1 << columns) - 1 if cycle in loads else 0,
                    "load_row": load_row,
                    "weights": pack(w[load_tile, load_row]),
                    "swap": int(row == 0),
                    "activations": pack(a[tile][row]),
                }
            )


@pytest.mark.parametrize(
    ("rows", "columns", "lengths"),
    [(2, 2, [3, 1, 8, 2]), (4, 4, [3, 1, 8, 2]), (8, 4, [8, 9, 1]), (64, 1, [5, 2])],
)
def test_array_with_tiles_back_to_back_equals_golden_model(simulate, rows, columns, lengths):
    dut = SystolicArray(rows, columns)
    case = BackToBack(rows, columns, lengths)

    async def drive(ctx):
        for values in case.inputs:
            for name, value in values.items():
                ctx.set(Value.cast(getattr(dut, name)), value)
            await ctx.tick()

    async def check(ctx):
        await ctx.tick().repeat(dut.latency)
        for cycle in range(max(case.sums) + 1):
            if cycle in case.sums:
                assert_same_bits(unpack(ctx.get(dut.o.as_value()), columns), case.sums[cycle])
            await ctx.tick()

    simulate(dut, drive, check)


@pytest.mark.parametrize(
    ("rows", "columns", "lengths"),
    [
        (16, 4, [16, 3, 20]),
        pytest.param(32, 32, [32, 5, 40, 1], marks=pytest.mark.slow),
        pytest.param(64, 64, [70, 9, 64], marks=pytest.mark.slow),
    ],
)
def test_compiled_array_equals_golden_model(rows, columns, lengths):
    design = CompiledDesign(SystolicArray, rows, columns)
    case = BackToBack(rows, columns, lengths)
    latency = SystolicArray.latency_of(rows)
    cycles = case.inputs + latency * case.inputs[-1:]
    inputs = [[values[port.name] for port in design.inputs] for values in cycles]
    outputs = design.replay(port_trace.pack(design.inputs, inputs)).view(np.float32)
    for cycle, sums in case.sums.items():
        assert_same_bits(outputs[cycle + latency], sums)


def test_array_latency_is_one_tree_and_the_chain():
    assert [SystolicArray.latency_of(rows) for rows in (4, 16, 32, 128)] == [8, 14, 17, 35]
