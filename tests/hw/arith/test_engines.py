# amaranth: UnusedElaboratable=no
"""Units under both engines, against NumPy's float32 and float64 and against ml_dtypes.

Under each engine every unit sees all pairs of corners and 2²⁰ random pairs or more, bfloat16
products every pair of significands; Amaranth's simulator, a thousand times slower, where slow tests
are run, and ten times as many compiled. The golden models that other tests rely on are compared on
the way.
"""

import ml_dtypes
import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith import bf16, elementary
from hw.arith.adder import Adder
from hw.arith.binary32 import Binary32, add, multiply, multiply_scaled
from hw.arith.compare import greater, is_greater
from hw.arith.convert import ToBF16, widen
from hw.arith.dot import Dot, dot
from hw.arith.elementary import Elementary, Function
from hw.arith.multiplier import Multiplier, ProductBF16
from hw.export.rtlil import port_table
from sim.engine.amaranth import replay
from sim.engine.cxxrtl import CompiledDesign
from sim.engine.port_trace import trace_columns

BLOCK = 1 << 20
NAN = np.uint32(0x7FC00000).view(np.float32)
POWER = -12


class Greater(wiring.Component):
    """The comparator and a register."""

    latency = 1

    a: In(Binary32)
    b: In(Binary32)
    o: Out(1)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.o.eq(is_greater(self.a, self.b))
        return m


class Widen(wiring.Component):
    """The conversion to binary32 and a register."""

    latency = 1

    a: In(bf16.BF16)
    o: Out(Binary32)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.o.eq(widen(self.a))
        return m


class Compiled:
    """A unit, compiled once."""

    def __init__(self, make):
        self._design = CompiledDesign(make())
        self.inputs = self._design.inputs

    def __call__(self, rows):
        return self._design.replay(rows)


class Simulated:
    """A unit under Amaranth's simulator, made anew for every stream."""

    def __init__(self, make):
        self._make = make
        self.inputs = [port for port in port_table(make()) if not port.output]

    def __call__(self, rows):
        return replay(self._make(), rows)


@pytest.fixture(
    params=[
        pytest.param((Compiled, 1), id="compiled"),
        pytest.param((Compiled, 10), id="compiled for long", marks=pytest.mark.slow),
        pytest.param((Simulated, 1), id="Amaranth", marks=pytest.mark.slow),
    ]
)
def engine(request):
    """Give what runs a unit."""
    return request.param[0]


@pytest.fixture
def blocks(request):
    """Give the number of blocks of random arguments that the engine gets."""
    return request.node.callspec.params["engine"][1]


def results(run, latency, arguments):
    """Stream arguments through: integers, or rows of words where ports are wider."""
    length = len(next(iter(arguments.values())))
    columns, width = trace_columns(run.inputs)
    rows = np.zeros((length + latency, width), np.uint32)
    for name, values in arguments.items():
        rows[:length, columns[name]] = values.reshape(length, -1)
    return run(rows)[latency:, 0]


def check(run, latency, want, arguments):
    got = results(run, latency, arguments)
    wrong = np.flatnonzero(got != want.view(np.uint32))
    first = {name: values[wrong[:1]] for name, values in arguments.items()}
    assert not len(wrong), f"{len(wrong)} results are wrong, the first of {first}: {got[wrong[:1]]}"


def ordered_zero(x, least=2.0**-126):
    return np.where(np.abs(x) < least, np.copysign(0.0, x), x)


def float32_sum(a, b):
    with np.errstate(all="ignore"):
        total = ordered_zero(a).astype(np.float32) + ordered_zero(b).astype(np.float32)
    return np.where(np.isnan(total), NAN, ordered_zero(total)).astype(np.float32)


def float64_product(a, b, power=0):
    """binary64 holds the product; what 24 bits round up to 2⁻¹²⁶ is not flushed."""
    with np.errstate(all="ignore"):
        exact = ordered_zero(a).astype(np.float64) * ordered_zero(b) * 2.0**power
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


def upper_halves(pairs):
    return tuple((x >> 16).astype(np.uint16) for x in pairs)


def bf16_product(a, b, zero_b=False):
    wide = [x.view(ml_dtypes.bfloat16).astype(np.float32) for x in (a, b)]
    nothing = zero_b & (np.abs(wide[1]) < 2.0**-126)
    return np.where(nothing, np.float32(0), float64_product(*wide))


@pytest.mark.parametrize(
    ("unit", "golden", "truth"),
    [(Adder, add, float32_sum), (Multiplier, multiply, float64_product)],
)
def test_binary32_unit_equals_numpy(engine, blocks, unit, golden, truth, corner_pairs):
    run = engine(unit)
    rng = np.random.default_rng(0)
    for a, b in [corner_pairs, *(any_pairs(rng, BLOCK) for _ in range(blocks))]:
        numbers = a.view(np.float32), b.view(np.float32)
        want = truth(*numbers)
        np.testing.assert_array_equal(golden(*numbers).view(np.uint32), want.view(np.uint32))
        check(run, unit.latency, want, {"a": a, "b": b})


def test_scaled_product_equals_numpy(engine, blocks, corner_pairs):
    run = engine(lambda: Multiplier(power=POWER))
    rng = np.random.default_rng(6)
    for a, b in [corner_pairs, *(any_pairs(rng, BLOCK) for _ in range(blocks))]:
        numbers = a.view(np.float32), b.view(np.float32)
        scaled = rng.integers(0, 2, len(a), dtype=np.uint32)
        scaled[: len(a) // 2] = 1
        want = float64_product(*numbers, POWER * scaled.astype(np.int32))
        golden = np.where(scaled, multiply_scaled(*numbers, POWER), multiply(*numbers))
        np.testing.assert_array_equal(golden.view(np.uint32), want.view(np.uint32))
        check(run, Multiplier.latency, want, {"a": a, "b": b, "scaled": scaled})


def test_comparison_equals_numpy(engine, blocks, corner_pairs):
    run = engine(Greater)
    rng = np.random.default_rng(7)
    for a, b in [corner_pairs, *(any_pairs(rng, BLOCK) for _ in range(blocks))]:
        numbers = [ordered_zero(x.view(np.float32)) for x in (a, b)]
        nan_a, nan_b = (np.isnan(x) for x in numbers)
        want = (numbers[0] > numbers[1]) | (nan_b & ~nan_a)
        np.testing.assert_array_equal(greater(a.view(np.float32), b.view(np.float32)), want)
        check(run, Greater.latency, want.astype(np.uint32), {"a": a, "b": b})


def test_product_of_every_pair_of_bf16_significands_is_exact():
    a, b = every_pair_of_significands(np.random.default_rng(3))
    check(Simulated(ProductBF16), ProductBF16.latency, bf16_product(a, b), {"a": a, "b": b})


@pytest.mark.parametrize("zero_b", [False, True])
def test_bf16_product_equals_ml_dtypes(engine, blocks, zero_b, corner_pairs):
    run = engine(lambda: ProductBF16(zero_b=zero_b))
    rng = np.random.default_rng(4)
    random = [tuple(rng.integers(0, 2**16, (2, BLOCK), dtype=np.uint16)) for _ in range(blocks)]
    for a, b in [upper_halves(corner_pairs), every_pair_of_significands(rng), *random]:
        check(run, ProductBF16.latency, bf16_product(a, b, zero_b), {"a": a, "b": b})


def test_rounding_to_bf16_equals_ml_dtypes(engine, blocks, corners):
    run = engine(ToBF16)
    rng = np.random.default_rng(5)
    random = [rng.integers(0, 2**32, BLOCK, dtype=np.uint32) for _ in range(blocks)]
    for a in [corners, *random]:
        numbers = ordered_zero(a.view(np.float32)).astype(np.float32)
        with np.errstate(all="ignore"):
            rounded = numbers.astype(ml_dtypes.bfloat16).view(np.uint16).astype(np.uint32)
        want = np.where(np.isnan(numbers), np.uint32(0x7FC0), rounded)
        check(run, ToBF16.latency, want, {"a": a})


def test_widening_of_every_bf16_equals_ml_dtypes(engine):
    a = np.arange(1 << 16, dtype=np.uint16)
    wide = a.view(ml_dtypes.bfloat16).astype(np.float32)
    want = np.where(np.isnan(wide), NAN, ordered_zero(wide)).astype(np.float32)
    check(engine(Widen), Widen.latency, want, {"a": a})


def test_elementary_unit_equals_the_golden_model(engine, blocks, corners):
    run = engine(Elementary)
    rng = np.random.default_rng(1)
    golden = [getattr(elementary, function.name.lower()) for function in Function]
    every = np.append(corners, np.arange(1 << 16, dtype=np.uint32) << np.uint32(16))
    arguments = [(np.repeat(every, len(golden)), np.tile(np.arange(len(golden)), len(every)))]
    for _ in range(blocks * len(golden) if engine is Compiled else blocks):
        a = rng.integers(0, 2**32, BLOCK, dtype=np.uint32)
        half = slice(BLOCK // 2)  # where the exponential is neither 0 nor 1 nor infinite
        a[half] = rng.uniform(-90, 90, BLOCK // 2).astype(np.float32).view(np.uint32)
        arguments.append((a, rng.integers(0, len(golden), BLOCK)))
    for a, function in arguments:
        want = np.empty_like(a)
        for number, f in enumerate(golden):
            chosen = function == number
            want[chosen] = f(a[chosen].view(np.float32)).view(np.uint32)
        check(run, Elementary.latency, want, {"a": a, "function": function})


@pytest.mark.parametrize("zero_b", [False, True])
def test_dot_unit_equals_numpy(engine, blocks, zero_b, corner_pairs):
    lanes = 4
    run = engine(lambda: Dot(lanes, zero_b=zero_b))
    rng = np.random.default_rng(2)
    vectors = [[x.reshape(-1, lanes) for x in upper_halves(corner_pairs)]]
    for _ in range(blocks):
        a, b = rng.integers(0, 2**16, (2, BLOCK // lanes, lanes), dtype=np.uint16)
        for x in (a, b):  # in half of them no infinities, which would soon fill a tree
            x[::2] = x[::2] & 0xBFFF | 0x2000
        vectors.append([a, b])
    for a, b in vectors:
        x = bf16_product(a, b, zero_b)
        want = float32_sum(float32_sum(x[:, 0], x[:, 1]), float32_sum(x[:, 2], x[:, 3]))
        golden = dot(bf16.from_bits(a), bf16.from_bits(b), zero_b=zero_b)
        np.testing.assert_array_equal(golden.view(np.uint32), want.view(np.uint32))
        words = {"a": a.view(np.uint32), "b": b.view(np.uint32)}
        check(run, Dot.latency_of(lanes), want, words)
