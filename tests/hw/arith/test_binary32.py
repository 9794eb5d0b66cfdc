"""The golden models against exact rational arithmetic."""

from fractions import Fraction

import numpy as np
import pytest

from hw.arith.binary32 import add, canonical, flush, multiply, subtract, tree_sum

SPECIAL = 0xFF
NAN_BITS = 0x7FC00000


def exact(bits):
    """Value of a finite binary32 number, with subnormal ones as zero."""
    exponent, fraction = bits >> 23 & 0xFF, bits & 0x7FFFFF
    if exponent == 0:
        return Fraction(0)
    magnitude = (fraction | 1 << 23) * Fraction(2) ** (exponent - 150)
    return -magnitude if bits >> 31 else magnitude


def rounded(value, sign):
    """Bits of the binary32 number nearest to a value that is not zero."""
    magnitude = abs(value)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    if magnitude < Fraction(2) ** exponent:
        exponent -= 1
    significand = round(magnitude * Fraction(2) ** (23 - exponent))  # ties to even
    if significand == 1 << 24:
        significand, exponent = 1 << 23, exponent + 1
    if exponent < -126:
        return sign << 31
    if exponent > 127:
        return sign << 31 | 0x7F800000
    return sign << 31 | exponent + 127 << 23 | significand & 0x7FFFFF


def is_nan(bits):
    return bits & 0x7FFFFFFF > 0x7F800000


def is_infinite(bits):
    return bits & 0x7FFFFFFF == 0x7F800000


def exact_sum(a, b):
    if is_nan(a) or is_nan(b) or (is_infinite(a) and is_infinite(b) and a != b):
        return NAN_BITS
    if is_infinite(a) or is_infinite(b):
        return a if is_infinite(a) else b
    total = exact(a) + exact(b)
    if total == 0:
        both_negative = a >> 31 and b >> 31
        return 1 << 31 if both_negative else 0
    return rounded(total, int(total < 0))


def exact_product(a, b):
    sign = (a ^ b) >> 31
    zero = any(x >> 23 & 0xFF == 0 for x in (a, b))
    infinite = is_infinite(a) or is_infinite(b)
    if is_nan(a) or is_nan(b) or (zero and infinite):
        return NAN_BITS
    if infinite:
        return sign << 31 | 0x7F800000
    if zero:
        return sign << 31
    return rounded(exact(a) * exact(b), sign)


def random_pairs(count, spread):
    """Pairs whose exponents differ by about ``spread`` at most."""
    rng = np.random.default_rng(spread)
    a = rng.integers(0, 2**32, count, dtype=np.uint32)
    steps = rng.integers(-spread << 23, spread << 23, count, endpoint=True)
    return a, (a + steps).astype(np.uint32) ^ (rng.integers(0, 2, count, dtype=np.uint32) << 31)


def check(golden, reference, a, b):
    results = golden(a.view(np.float32), b.view(np.float32)).view(np.uint32)
    for x, y, result in zip(a.tolist(), b.tolist(), results.tolist(), strict=True):
        assert result == reference(x, y), f"{x:#010x}, {y:#010x} give {result:#010x}"


def test_sum_of_corners_is_exactly_rounded(corner_pairs):
    check(add, exact_sum, *corner_pairs)


def test_product_of_corners_is_exactly_rounded(corner_pairs):
    check(multiply, exact_product, *corner_pairs)


@pytest.mark.parametrize("spread", [1, 3, 30])
def test_sum_is_exactly_rounded(spread):
    check(add, exact_sum, *random_pairs(1500, spread))


def test_sum_near_the_least_normal_is_exactly_rounded():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 4 << 23, (2, 1500), dtype=np.uint32)
    check(add, exact_sum, a, b | 1 << 31)


def test_product_is_exactly_rounded():
    check(multiply, exact_product, *random_pairs(1500, 100))


def test_product_near_the_least_normal_is_exactly_rounded():
    rng = np.random.default_rng(0)
    a = rng.integers(1 << 23, 0xFD << 23, 1500, dtype=np.uint32)
    least = exact(1 << 23)
    wanted = [
        rounded(least / exact(x) * (1 + Fraction(-x % 5 - 2, 1 << 24)), 0) for x in a.tolist()
    ]
    check(multiply, exact_product, a, np.array(wanted, np.uint32))


@pytest.mark.parametrize(
    ("a", "b", "product"),
    [
        (1 - 2.0**-24, 2.0**-126, 0.0),  # a processor with subnormals rounds it up to 2⁻¹²⁶
        (-(1 - 2.0**-24), 2.0**-126, -0.0),
        (1 + 2.0**-23, 2.0**-126 * (1 - 2.0**-24) * 2, 2.0**-125),
        (1 - 2.0**-24, 2.0**-126 * (1 + 2.0**-23), 2.0**-126),
    ],
)
def test_product_is_flushed_by_its_value_after_rounding(a, b, product):
    result = multiply(a, b)
    assert result == product
    assert np.signbit(result) == np.signbit(np.float32(product))


@pytest.mark.parametrize("operation", [add, multiply, subtract])
def test_an_array_gives_what_its_elements_give(operation, corner_pairs):
    a, b = (x.view(np.float32) for x in corner_pairs)
    together = operation(a, b).view(np.uint32)
    alone = [operation(x, y).view(np.uint32) for x, y in zip(a, b, strict=True)]
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("operation", [add, multiply, subtract])
def test_ordinary_numbers_give_what_the_processor_gives(operation):
    a, b = np.random.default_rng(0).standard_normal((2, 1 << 16)).astype(np.float32)
    ufunc = {add: np.add, multiply: np.multiply, subtract: np.subtract}[operation]
    np.testing.assert_array_equal(operation(a, b), ufunc(a, b))


def test_operands_are_broadcast():
    assert add(np.ones((3, 1)), np.zeros(4)).shape == (3, 4)
    assert multiply(np.zeros((3, 1)), np.full(4, np.inf)).shape == (3, 4)


@pytest.mark.parametrize("operation", [add, multiply, tree_sum, flush, canonical])
def test_operands_are_left_alone(operation, corners):
    x = np.resize(corners.view(np.float32), 64)
    before = x.view(np.uint32).copy()
    operation(x, x) if operation in (add, multiply) else operation(x)
    np.testing.assert_array_equal(x.view(np.uint32), before)


def in_order(x):
    """Sum of a list by the definition: neighbours first."""
    if len(x) == 1:
        return x[0]
    return in_order([add(a, b) for a, b in zip(x[::2], x[1::2], strict=True)])


@pytest.mark.parametrize("width", [2, 4, 32])
@pytest.mark.parametrize("scale", [1, 60, 127])
def test_tree_pairs_neighbours(width, scale):
    rng = np.random.default_rng(width)
    exponents = rng.integers(-scale, scale, (200, width), endpoint=True)
    with np.errstate(over="ignore"):
        x = np.ldexp(rng.standard_normal((200, width)), exponents).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = 0
    want = [in_order(list(flush(row))) for row in x]
    np.testing.assert_array_equal(tree_sum(x).view(np.uint32), np.array(want).view(np.uint32))
    np.testing.assert_array_equal(tree_sum(x.T, axis=0), tree_sum(x))


def test_tree_of_corners_pairs_neighbours(corners):
    x = np.resize(corners, (len(corners) + 1, 4)).view(np.float32)
    want = [in_order(list(row)) for row in x]
    np.testing.assert_array_equal(tree_sum(x).view(np.uint32), np.array(want).view(np.uint32))


def test_tree_of_one_reads_its_number():
    x = np.array([[0x00000001], [0x7F800001]], np.uint32).view(np.float32)
    assert tree_sum(x).view(np.uint32).tolist() == [0, NAN_BITS]


@pytest.mark.parametrize("width", [0, 3, 12])
def test_tree_is_balanced(width):
    with pytest.raises(
        ValueError, match=f"^the length of axis must be a power of two, not {width}$"
    ):
        tree_sum(np.zeros((2, width)))
