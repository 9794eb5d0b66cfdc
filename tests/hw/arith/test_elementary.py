import math

import numpy as np
import pytest

from hw.arith import bf16
from hw.arith.binary32 import flush
from hw.arith.elementary import (
    Elementary,
    Function,
    exp,
    exp_scaled,
    normal_tail,
    reciprocal,
    rsqrt,
)

GOLDEN = {
    Function.EXP: exp,
    Function.RECIPROCAL: reciprocal,
    Function.RSQRT: rsqrt,
    Function.EXP_SCALED: exp_scaled,
    Function.NORMAL_TAIL: normal_tail,
}
TRUE = {
    Function.EXP: np.exp,
    Function.EXP_SCALED: lambda x: np.exp(x) * 2.0**-12,
    Function.RECIPROCAL: np.reciprocal,
    Function.RSQRT: lambda x: 1 / np.sqrt(x),
}
EVERY_BF16 = bf16.from_bits(np.arange(1 << 16, dtype=np.uint16))

#: Largest relative errors; the contract allows 2⁻¹⁶.
BOUND = {
    Function.EXP: 2.0**-21.5,
    Function.RECIPROCAL: 2.0**-19.6,
    Function.RSQRT: 2.0**-21.2,
    Function.EXP_SCALED: 2.0**-21.5,
}


def binade(exponent, start=0, stop=1 << 23):
    """Return binary32 numbers from 2^exponent on."""
    return np.arange(exponent + 127 << 23 | start, (exponent + 127 << 23) + stop, dtype=np.uint32)


def true_value(function, x):
    """Return the value in binary64, and where it is a normal binary32 number."""
    with np.errstate(all="ignore"):
        true = TRUE[function](flush(x).astype(np.float64))
        rounded = np.abs(true.astype(np.float32))
        return true, (np.abs(true) >= 2.0**-126) & (rounded <= np.finfo(np.float32).max)


def largest_error(function, bits):
    """Return the largest relative error among arguments with a normal result, or 0."""
    x = bits.view(np.float32)
    true, normal = true_value(function, x)
    got = GOLDEN[function](x).astype(np.float64)
    with np.errstate(all="ignore"):
        error = np.abs(got / true - 1)
    return error[normal].max(initial=0)


def test_reciprocal_error_over_all_significands():
    assert largest_error(Function.RECIPROCAL, binade(0)) <= BOUND[Function.RECIPROCAL]


def test_rsqrt_error_over_all_significands_of_an_even_and_an_odd_power():
    bits = np.append(binade(0), binade(1))
    assert largest_error(Function.RSQRT, bits) <= BOUND[Function.RSQRT]


def test_exp_error_over_a_sample_of_every_binade():
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 1 << 23, (1 << 15, 34), dtype=np.uint32)
    bits += np.arange(-27 + 127, 7 + 127, dtype=np.uint32) << 23
    bits = np.concatenate([bits.ravel(), bits.ravel() | 1 << 31])
    assert largest_error(Function.EXP, bits) <= BOUND[Function.EXP]


@pytest.mark.slow
@pytest.mark.parametrize("exponent", range(-27, 7))
def test_exp_error_over_all_arguments(exponent):
    for sign in (0, 1 << 31):
        bits = binade(exponent) | np.uint32(sign)
        assert largest_error(Function.EXP, bits) <= BOUND[Function.EXP]


@pytest.mark.parametrize("function", TRUE)
def test_error_over_random_bits(function):
    bits = np.random.default_rng(1).integers(0, 2**32, 1 << 20, dtype=np.uint32)
    assert largest_error(function, bits) <= BOUND[function]


@pytest.mark.parametrize("limit", [np.log(2.0**-126), 128 * np.log(2), -np.log(2), np.log(2)])
def test_exp_error_where_the_exponent_changes(limit):
    start = int(np.float32(limit).view(np.uint32)) - (1 << 15)
    bits = np.arange(start, start + (1 << 16), dtype=np.uint32)
    assert largest_error(Function.EXP, bits) <= BOUND[Function.EXP]


@pytest.mark.parametrize("function", TRUE)
@pytest.mark.parametrize("exponent", [-126, -125, 0, 125, 126])
def test_error_at_the_ends_of_the_range(function, exponent):
    bits = np.append(binade(exponent, stop=1 << 12), binade(exponent, (1 << 23) - (1 << 12)))
    assert largest_error(function, bits) <= BOUND[function]


@pytest.mark.parametrize("function", TRUE)
def test_every_bf16_argument_errs_by_at_most_one_bf16_ulp(function):
    true, normal = true_value(function, EVERY_BF16)
    got = bf16.to_bits(GOLDEN[function](EVERY_BF16)).astype(np.int64)
    with np.errstate(all="ignore"):
        want = bf16.to_bits(true.astype(np.float32)).astype(np.int64)
    assert np.abs(got - want)[normal].max() <= 1


@pytest.mark.parametrize("function", TRUE)
def test_nearly_every_bf16_result_is_correctly_rounded(function):
    true, normal = true_value(function, EVERY_BF16)
    with np.errstate(all="ignore"):
        want = bf16.round(true.astype(np.float32))
    assert (bf16.round(GOLDEN[function](EVERY_BF16)) != want)[normal].mean() < 1e-3


def test_normal_tail_is_within_2e_16():
    x = np.linspace(-15.999, 15.999, 60_001).astype(np.float32)
    wide = x.astype(np.float64)
    beyond = np.array([math.erfc(abs(each) / math.sqrt(2)) / 2 for each in wide])
    true = -2 * np.log(2.0**12 * beyond) - wide**2
    assert np.abs(normal_tail(x) - true).max() <= 2.0**-16


def test_normal_tail_is_even():
    x = np.random.default_rng(4).standard_normal(1000).astype(np.float32) * 6
    assert (normal_tail(x) == normal_tail(-x)).all()


def test_powers_of_two_are_exact():
    power = np.arange(-126, 127)
    assert (reciprocal(2.0**power) == 2.0**-power).all()
    even = power[::2]
    assert (rsqrt(2.0**even) == 2.0 ** (-even // 2)).all()


def test_exp_of_zero_is_one():
    assert exp([0.0, -0.0, 1e-40, -1e-40, 2.0**-30]).tolist() == [1.0] * 5


@pytest.mark.parametrize(
    ("function", "x", "want"),
    [
        (exp, 0x7F800000, 0x7F800000),
        (exp, 0xFF800000, 0x00000000),
        (exp, 0x42B20000, 0x7F800000),  # 89
        (exp, 0xC2B00000, 0x00000000),  # -88
        (exp, 0x7F7FFFFF, 0x7F800000),
        (exp, 0xFF7FFFFF, 0x00000000),
        (exp, 0xFF800001, 0x7FC00000),
        (exp_scaled, 0x00000000, 0x39800000),
        (exp_scaled, 0x80000001, 0x39800000),
        (exp_scaled, 0x42C40000, 0x7F800000),  # 98
        (exp_scaled, 0xC2A00000, 0x00000000),  # -80
        (exp_scaled, 0x7F800000, 0x7F800000),
        (exp_scaled, 0xFF800000, 0x00000000),
        (exp_scaled, 0x7F800001, 0x7FC00000),
        (normal_tail, 0x00000001, 0xC173FCE1),
        (normal_tail, 0x80000000, 0xC173FCE1),
        (normal_tail, 0x41800000, 0x80000000),  # 16
        (normal_tail, 0xFF800000, 0x80000000),
        (normal_tail, 0xFF800001, 0x7FC00000),
        (reciprocal, 0x00000000, 0x7F800000),
        (reciprocal, 0x80000000, 0xFF800000),
        (reciprocal, 0x80000001, 0xFF800000),
        (reciprocal, 0x7F800000, 0x00000000),
        (reciprocal, 0xFF800000, 0x80000000),
        (reciprocal, 0xFF000000, 0x80000000),  # -2¹²⁷
        (reciprocal, 0x7FFFFFFF, 0x7FC00000),
        (rsqrt, 0x00000000, 0x7F800000),
        (rsqrt, 0x80000000, 0xFF800000),
        (rsqrt, 0x807FFFFF, 0xFF800000),
        (rsqrt, 0x80800000, 0x7FC00000),
        (rsqrt, 0x7F800000, 0x00000000),
        (rsqrt, 0xFF800000, 0x7FC00000),
        (rsqrt, 0x7FC00001, 0x7FC00000),
    ],
)
def test_special_cases(function, x, want):
    assert function(np.uint32(x).view(np.float32)).view(np.uint32) == want


def test_results_are_monotonic_within_the_error():
    x = np.linspace(-80, 80, 1 << 16, dtype=np.float32)
    assert (np.diff(exp(x).astype(np.float64)) > 0).all()


def arguments(corners):
    rng = np.random.default_rng(2)
    limits = np.float32([-87.4, -87.3, 88.7, 88.8, -103.9, 127.9]).view(np.uint32)
    return np.concatenate(
        [
            corners,
            rng.integers(0, 2**32, 300, dtype=np.uint32),
            rng.uniform(-100, 100, 300).astype(np.float32).view(np.uint32),
            np.repeat(limits, 20) + rng.integers(0, 1 << 16, 120, dtype=np.uint32),
            rng.integers(0, 2**16, 300, dtype=np.uint32) << np.uint32(16),
            rng.uniform(-20, 20, 300).astype(np.float32).view(np.uint32),
        ]
    )


def check(stream, functions, bits):
    results = stream(Elementary(), a=bits, function=functions)
    for function, golden in GOLDEN.items():
        chosen = functions == function.value
        want = golden(bits.view(np.float32)).view(np.uint32)
        for x, o, w in zip(bits[chosen], results[chosen], want[chosen], strict=True):
            assert o == w, f"{function.name} of {x:#010x} is {w:#010x}, not {o:#010x}"


@pytest.mark.parametrize("function", Function)
def test_unit_equals_the_golden_model(stream, corners, function):
    bits = arguments(corners)
    check(stream, np.full(len(bits), function.value), bits)


def test_functions_may_alternate(stream, corners):
    bits = arguments(corners)
    check(stream, np.arange(len(bits)) % len(Function), bits)


def test_a_result_leaves_after_the_latency(measure_latency):
    assert measure_latency(Elementary(), a=0x3F800000) == Elementary.latency
