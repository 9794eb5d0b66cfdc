import numpy as np
import pytest

from hw.arith import bf16
from hw.arith.adder import Adder
from hw.arith.binary32 import add, multiply
from hw.arith.dot import Dot, dot
from hw.arith.multiplier import ProductBF16


def packed(bits):
    """Rows of bfloat16 numbers as integers, the first number lowest."""
    return [int.from_bytes(row.astype("<u2").tobytes(), "little") for row in bits]


def check(stream, a, b, *, zero_b=False):
    lanes = a.shape[1]
    results = stream(Dot(lanes, zero_b=zero_b), a=packed(a), b=packed(b))
    want = dot(bf16.from_bits(a), bf16.from_bits(b), zero_b=zero_b).view(np.uint32)
    np.testing.assert_array_equal(results, want)


def random_vectors(shape, seed=0):
    x = np.random.default_rng(seed).standard_normal((2, *shape)).astype(np.float32)
    return bf16.to_bits(x)


@pytest.mark.parametrize("lanes", [1, 2, 4, 16])
def test_unit_equals_the_golden_model(stream, lanes):
    check(stream, *random_vectors((100, lanes)))


@pytest.mark.parametrize("zero_b", [False, True])
def test_unit_equals_the_golden_model_on_any_bits(stream, zero_b):
    a, b = np.random.default_rng(1).integers(0, 2**16, (2, 300, 4), dtype=np.uint16)
    b[::3, 1] = 0x8000
    check(stream, a, b, zero_b=zero_b)


def test_neighbours_are_summed_first():
    a, b = bf16.from_bits(random_vectors((64, 4)))
    p = multiply(a, b).T
    np.testing.assert_array_equal(dot(a, b), add(add(p[0], p[1]), add(p[2], p[3])))


def test_axis_is_where_the_sum_runs():
    a, b = bf16.from_bits(random_vectors((8, 4)))
    np.testing.assert_array_equal(dot(a.T, b.T, axis=0), dot(a, b))


@pytest.mark.parametrize("a", [np.nan, np.inf, -np.inf, -1.0])
@pytest.mark.parametrize("b", [0.0, -0.0, 1e-40])
def test_zero_b_makes_a_product_positive_zero(a, b):
    assert dot([a], [b], zero_b=True).view(np.uint32) == 0


def test_without_zero_b_a_product_follows_ieee_754():
    assert np.isnan(dot([np.inf], [0.0]))
    assert np.signbit(dot([-1.0], [0.0]))


@pytest.mark.parametrize("lanes", [1, 2, 16])
def test_a_result_leaves_after_the_latency(measure_latency, lanes):
    unit = Dot(lanes)
    assert unit.latency == ProductBF16.latency + (lanes.bit_length() - 1) * Adder.latency
    assert measure_latency(unit, a=0x3F80, b=0x3F80) == unit.latency


@pytest.mark.parametrize("lanes", [0, 3, -4, 2.0])
def test_lanes_are_a_power_of_two(lanes):
    with pytest.raises(ValueError, match=f"^lanes must be a power of two, not {lanes!r}$"):
        Dot.latency_of(lanes)
