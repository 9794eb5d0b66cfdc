# amaranth: UnusedElaboratable=no
"""Units under both engines, against NumPy's float32 and float64 and against ml_dtypes.

Every unit sees all pairs of corners and a million random pairs or more, bfloat16 products every
pair of significands. The golden models that other tests rely on are compared on the way.
"""

import ml_dtypes
import numpy as np
import pytest

from hw.arith import bf16, elementary
from hw.arith.adder import Adder
from hw.arith.binary32 import add, multiply
from hw.arith.convert import ToBF16
from hw.arith.dot import Dot, dot
from hw.arith.elementary import Elementary, Function
from hw.arith.multiplier import Multiplier, ProductBF16
from hw.export.rtlil import port_table
from sim.engine.amaranth import replay
from sim.engine.cxxrtl import CompiledDesign
from sim.engine.trace import trace_columns

BLOCK = 1 << 20
BLOCKS = 10
NAN = np.uint32(0x7FC00000).view(np.float32)


class Compiled:
    """A unit, compiled once."""

    blocks = BLOCKS

    def __init__(self, make):
        self._design = CompiledDesign(make())
        self.inputs = self._design.inputs

    def __call__(self, rows):
        return self._design.replay(rows)


class Simulated:
    """A unit under Amaranth's simulator, made anew for every stream."""

    blocks = 1

    def __init__(self, make):
        self._make = make
        self.inputs = [port for port in port_table(make()) if not port.output]

    def __call__(self, rows):
        return replay(self._make(), rows)


ENGINES = [Compiled, Simulated]


def results(engine, latency, arguments):
    """Stream arguments through: integers, or rows of words where ports are wider."""
    length = len(next(iter(arguments.values())))
    columns, width = trace_columns(engine.inputs)
    rows = np.zeros((length + latency, width), np.uint32)
    for name, values in arguments.items():
        rows[:length, columns[name]] = values.reshape(length, -1)
    return engine(rows)[latency:, 0]


def check(engine, latency, want, arguments):
    got = results(engine, latency, arguments)
    wrong = np.flatnonzero(got != want.view(np.uint32))
    first = {name: values[wrong[:1]] for name, values in arguments.items()}
    assert not len(wrong), f"{len(wrong)} results are wrong, the first of {first}: {got[wrong[:1]]}"


def ordered_zero(x, least=2.0**-126):
    return np.where(np.abs(x) < least, np.copysign(0.0, x), x)


def float32_sum(a, b):
    with np.errstate(all="ignore"):
        total = ordered_zero(a).astype(np.float32) + ordered_zero(b).astype(np.float32)
    return np.where(np.isnan(total), NAN, ordered_zero(total)).astype(np.float32)


def float64_product(a, b):
    """binary64 holds the product; what 24 bits round up to 2⁻¹²⁶ is not flushed."""
    with np.errstate(all="ignore"):
        exact = ordered_zero(a).astype(np.float64) * ordered_zero(b)
        product = ordered_zero(exact, 2.0**-126 - 2.0**-151).astype(np.float32)
    return np.where(np.isnan(product), NAN, product).astype(np.float32)


def any_pairs(rng, count):
    """Random bits; in half of the pairs the second number is near the first or its opposite."""
    a, b = rng.integers(0, 2**32, (2, count), dtype=np.uint32)
    steps = rng.integers(-1 << 31, 1 << 31, count) >> rng.integers(0, 31, count)
    near = (a + steps).astype(np.uint32) ^ (b & np.uint32(1 << 31))
    return a, np.where(b & 1, near, b)


def every_pair_of_significands(rng):
    """Return all pairs of bfloat16 fractions, with random signs and exponents."""
    a, b = (x.ravel().astype(np.uint16) for x in np.mgrid[:128, :128])
    exponents = rng.integers(40, 215, (2, len(a)), dtype=np.uint16) << 7
    signs = rng.integers(0, 2, (2, len(a)), dtype=np.uint16) << 15
    return a | exponents[0] | signs[0], b | exponents[1] | signs[1]


def bf16_product(a, b):
    wide = (x.view(ml_dtypes.bfloat16).astype(np.float32) for x in (a, b))
    return float64_product(*wide)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("unit", "golden", "truth"),
    [(Adder, add, float32_sum), (Multiplier, multiply, float64_product)],
)
@pytest.mark.slow
def test_binary32_unit_equals_numpy(engine, unit, golden, truth, corner_pairs):
    run = engine(unit)
    rng = np.random.default_rng(0)
    blocks = [corner_pairs, *(any_pairs(rng, BLOCK) for _ in range(run.blocks))]
    for a, b in blocks:
        numbers = a.view(np.float32), b.view(np.float32)
        want = truth(*numbers)
        np.testing.assert_array_equal(golden(*numbers).view(np.uint32), want.view(np.uint32))
        check(run, unit.latency, want, {"a": a, "b": b})


def test_product_of_every_pair_of_bf16_significands_is_exact():
    a, b = every_pair_of_significands(np.random.default_rng(3))
    check(Simulated(ProductBF16), ProductBF16.latency, bf16_product(a, b), {"a": a, "b": b})


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.slow
def test_bf16_product_equals_ml_dtypes(engine, corner_pairs):
    run = engine(ProductBF16)
    rng = np.random.default_rng(4)
    corners = tuple((x >> 16).astype(np.uint16) for x in corner_pairs)
    blocks = [corners, every_pair_of_significands(rng)]
    blocks += [
        tuple(rng.integers(0, 2**16, (2, BLOCK), dtype=np.uint16)) for _ in range(run.blocks)
    ]
    for a, b in blocks:
        check(run, ProductBF16.latency, bf16_product(a, b), {"a": a, "b": b})


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.slow
def test_rounding_to_bf16_equals_ml_dtypes(engine, corners):
    run = engine(ToBF16)
    rng = np.random.default_rng(5)
    random = [rng.integers(0, 2**32, BLOCK, dtype=np.uint32) for _ in range(run.blocks)]
    for a in [corners, *random]:
        numbers = ordered_zero(a.view(np.float32)).astype(np.float32)
        with np.errstate(all="ignore"):
            rounded = numbers.astype(ml_dtypes.bfloat16).view(np.uint16).astype(np.uint32)
        want = np.where(np.isnan(numbers), np.uint32(0x7FC0), rounded)
        check(run, ToBF16.latency, want, {"a": a})


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("function", Function)
@pytest.mark.slow
def test_elementary_unit_equals_the_golden_model(engine, function):
    golden = getattr(elementary, function.name.lower())
    run = engine(Elementary)
    rng = np.random.default_rng(1)
    every_bf16 = np.arange(1 << 16, dtype=np.uint32) << np.uint32(16)
    blocks = [every_bf16]
    for block in range(run.blocks):
        a = rng.integers(0, 2**32, BLOCK, dtype=np.uint32)
        if block % 2:  # where the exponential is neither 0 nor 1 nor infinite
            a = rng.uniform(-90, 90, BLOCK).astype(np.float32).view(np.uint32)
        blocks.append(a)
    for a in blocks:
        arguments = {"a": a, "function": np.full(len(a), function.value)}
        check(run, Elementary.latency, golden(a.view(np.float32)), arguments)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("zero_b", [False, True])
@pytest.mark.slow
def test_dot_unit_equals_the_golden_model(engine, zero_b):
    lanes = 4
    run = engine(lambda: Dot(lanes, zero_b=zero_b))
    rng = np.random.default_rng(2)
    for block in range(run.blocks):
        a, b = rng.integers(0, 2**16, (2, BLOCK, lanes), dtype=np.uint16)
        if block % 2:  # no infinities, which would soon fill a tree
            a, b = (x & 0xBFFF | 0x2000 for x in (a, b))
        want = dot(bf16.from_bits(a), bf16.from_bits(b), zero_b=zero_b)
        words = {"a": a.view(np.uint32), "b": b.view(np.uint32)}
        check(run, Dot.latency_of(lanes), want, words)
