# amaranth: UnusedElaboratable=no
import numpy as np
import pytest

from hw.arith import bf16
from hw.arith.binary32 import multiply, multiply_scaled
from hw.arith.multiplier import Multiplier, ProductBF16


def check(stream, a, b):
    products = stream(Multiplier(), a=a, b=b)
    want = multiply(a.view(np.float32), b.view(np.float32)).view(np.uint32)
    for x, y, o, w in zip(a, b, products, want, strict=True):
        assert o == w, f"{x:#010x} * {y:#010x} is {w:#010x}, not {o:#010x}"


def check_bf16(stream, a, b, *, zero_b=False):
    products = stream(ProductBF16(zero_b=zero_b), a=a, b=b)
    want = multiply(bf16.from_bits(a), bf16.from_bits(b))
    want = np.where(zero_b & (bf16.from_bits(b) == 0), np.float32(0), want).view(np.uint32)
    for x, y, o, w in zip(a, b, products, want, strict=True):
        assert o == w, f"{x:#06x} * {y:#06x} is {w:#010x}, not {o:#010x}"


def test_products_of_corners_equal_the_golden_model(stream, corner_pairs):
    check(stream, *corner_pairs)


def test_random_products_equal_the_golden_model(stream):
    a, b = np.random.default_rng(0).integers(0, 2**32, (2, 800), dtype=np.uint32)
    check(stream, a, b)


@pytest.mark.parametrize("power", [-12, -128, 127])
def test_scaled_products_equal_the_golden_model(stream, corner_pairs, power):
    rng = np.random.default_rng(5)
    near = rng.integers(1 << 23, 0xFE << 23, 400, dtype=np.int64)
    edge = (127 - power << 23) + rng.integers(-1 << 23, 1 << 23, 400) - near  # product near 2⁻¹²⁶
    edge = np.clip(edge + (127 << 23), 0, 0x7F7FFFFF)
    a = np.concatenate([corner_pairs[0], near]).astype(np.uint32)
    b = np.concatenate([corner_pairs[1], edge]).astype(np.uint32)
    scaled = np.arange(len(a)) % 4 != 0

    products = stream(Multiplier(power=power), a=a, b=b, scaled=scaled)

    x, y = a.view(np.float32), b.view(np.float32)
    want = np.where(scaled, multiply_scaled(x, y, power), multiply(x, y)).view(np.uint32)
    wrong = products != want
    assert not wrong.any(), (a[wrong][:3], b[wrong][:3], products[wrong][:3], want[wrong][:3])


def test_power_out_of_range_is_rejected():
    with pytest.raises(ValueError, match=r"^power must be from -128 to 127, not 128$"):
        Multiplier(power=128)


@pytest.mark.parametrize("exponent", [-127, 127])
def test_products_at_the_limits_equal_the_golden_model(stream, exponent):
    rng = np.random.default_rng(1)
    a = rng.integers(1 << 23, 0xFE << 23, 600, dtype=np.uint32)
    b = (254 + exponent << 23) - a.astype(np.int64) + rng.integers(-1 << 23, 2 << 23, 600)
    check(stream, a, (b % (1 << 31)).astype(np.uint32))


def test_ties_equal_the_golden_model(stream):
    rng = np.random.default_rng(2)
    a, b = rng.integers(0, 1 << 12, (2, 600), dtype=np.uint32) << np.uint32(11)
    check(stream, a + np.uint32(0x3F800000), b + np.uint32(0x3F800000))


@pytest.mark.parametrize("zero_b", [False, True])
def test_bf16_products_of_corners_equal_the_golden_model(stream, corner_pairs, zero_b):
    a, b = ((x >> 16).astype(np.uint16) for x in corner_pairs)
    check_bf16(stream, a, b, zero_b=zero_b)


def test_random_bf16_products_equal_the_golden_model(stream):
    a, b = np.random.default_rng(3).integers(0, 2**16, (2, 1500), dtype=np.uint16)
    check_bf16(stream, a, b)


def test_bf16_products_are_exact():
    x = np.random.default_rng(4).standard_normal((2, 1 << 16)).astype(np.float32)
    a, b = bf16.round(x)
    np.testing.assert_array_equal(multiply(a, b), a.astype(np.float64) * b)


@pytest.mark.parametrize(("unit", "one"), [(Multiplier, 0x3F800000), (ProductBF16, 0x3F80)])
def test_a_product_leaves_after_the_latency(measure_latency, unit, one):
    assert measure_latency(unit(), a=one, b=one) == unit.latency
