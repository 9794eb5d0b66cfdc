import math

import numpy as np
import pytest

from hw.arith import bf16
from hw.arith.binary32 import add
from hw.arith.elementary import exp, reciprocal, rsqrt
from hw.npu.vector import golden
from hw.program.instruction_set import Element, Format, Function, Reduce

UNIT = {"lanes": 4, "partial_sums": 4}


def numbers(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def sigmoid_exactly(z):
    with np.errstate(over="ignore"):
        return np.where(z < 0, np.exp(z), 1.0) / (1 + np.exp(-np.abs(z)))


def gelu_tanh_exactly(x):
    return x * sigmoid_exactly(2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))


def gelu_erf_exactly(x):
    return x * np.array([math.erfc(-each / math.sqrt(2)) / 2 for each in x])


EXACTLY = {
    Function.GELU_TANH: gelu_tanh_exactly,
    Function.GELU_ERF: gelu_erf_exactly,
    Function.SILU: lambda x: x * sigmoid_exactly(x),
    Function.SIGMOID: sigmoid_exactly,
}


@pytest.mark.parametrize("function", EXACTLY)
def test_function_is_within_one_ulp_over_all_bf16_inputs(function):
    x = bf16.from_bits(np.arange(1 << 16, dtype=np.uint16))
    o = golden.function(function, x, Format.BF16)
    with np.errstate(over="ignore", invalid="ignore"):
        exact = EXACTLY[function](x.astype(np.float64))
    judged = np.isfinite(exact) & (np.abs(exact) >= 2.0**-126)

    ulp = 2.0 ** (np.floor(np.log2(np.abs(exact[judged]))) - 7)
    error = np.abs(o[judged] - exact[judged]) / ulp

    worst = error.argmax()
    assert error[worst] <= 1, f"{x[judged][worst]}: {o[judged][worst]}, not {exact[judged][worst]}"
    assert judged.sum() > 48_000


#: Relative errors that docs/accuracy.md gives, rounded up to a power of two.
WORST = {
    Function.GELU_TANH: 2.0**-16,
    Function.GELU_ERF: 2.0**-17,
    Function.SILU: 2.0**-19,
    Function.SIGMOID: 2.0**-19,
}


@pytest.mark.parametrize("function", EXACTLY)
def test_function_is_accurate_where_nothing_is_near_underflow(function):
    x = np.random.default_rng(15).uniform(-9, 9, 20_000).astype(np.float32)
    exact = EXACTLY[function](x.astype(np.float64))
    np.testing.assert_allclose(golden.function(function, x), exact, rtol=WORST[function])


@pytest.mark.parametrize("function", [Function.GELU_TANH, Function.GELU_ERF, Function.SILU])
def test_gelu_and_silu_at_the_ends(function):
    ends = [np.inf, -np.inf, np.nan, 0.0, -0.0, 1e-40, -1e-40, -200.0, 3e38, -3e38]
    o = golden.function(function, np.array(ends, np.float32)).view(np.uint32)
    assert [hex(bits) for bits in o] == [
        *("0x7f800000", "0x7fc00000", "0x7fc00000", "0x0", "0x80000000", "0x0", "0x80000000"),
        *("0x80000000", hex(np.float32(3e38).view(np.uint32)), "0x80000000"),
    ]


def test_sigmoid_at_the_ends():
    ends = [np.inf, -np.inf, np.nan, 0.0, -0.0, 1e-40, -200.0, 3e38]
    o = golden.sigmoid(ends)
    assert np.isnan(o[2])
    assert np.delete(o, 2).tolist() == [1.0, 0.0, 0.5, 0.5, 0.5, 0.0, 1.0]
    assert not np.signbit(o).any()


@pytest.mark.parametrize(("n", "lanes"), [(1, 4), (16, 4), (37, 2), (64, 8)])
def test_row_sum_adds_in_the_order_of_the_specification(n, lanes):
    x = numbers(n, n) * np.float32(1e3)
    partial_sums = 4
    sums = np.zeros((lanes, partial_sums), np.float32)
    for i, element in enumerate(x):
        lane, j = i % lanes, i // lanes
        sums[lane, j % partial_sums] = add(sums[lane, j % partial_sums], element)
    values = list(add(add(sums[:, 0], sums[:, 1]), add(sums[:, 2], sums[:, 3])))
    while len(values) > 1:
        values = [add(a, b) for a, b in zip(values[0::2], values[1::2], strict=True)]

    assert golden.row_sum(x, lanes, partial_sums) == values[0]


def test_softmax_is_near_float64():
    a = numbers(1, 20, 357) * 10
    scale = 1 / math.sqrt(128)
    exact = np.exp(a.astype(np.float64) * scale)
    exact /= exact.sum(axis=-1, keepdims=True)

    o = golden.softmax(a, scale, **UNIT)

    half_ulp = 2.0 ** (np.floor(np.log2(exact)) - 8)
    assert (np.abs(o - exact) <= half_ulp + 2.0**-19 * exact).all()


def test_softmax_ignores_elements_of_minus_infinity_at_the_end():
    a = numbers(2, 6, 21)
    longer = np.pad(a, [(0, 0), (0, 30)], constant_values=-np.inf)

    o = golden.softmax(longer, 0.3, **UNIT)

    assert (o[:, :21] == golden.softmax(a, 0.3, **UNIT)).all()
    assert not o[:, 21:].any()


def test_softmax_of_nothing_but_minus_infinity_is_plus_zero():
    o = golden.softmax(np.full((2, 5), -np.inf), 1.0, **UNIT)
    assert not o.view(np.uint32).any()


@pytest.mark.parametrize(
    ("row", "scale", "expected"),
    [
        ([np.inf, 0, 0, 0], 1.0, [np.nan] * 4),
        ([np.nan, 0, 0, 0], 1.0, [np.nan] * 4),
        ([3e38, 0, 0, 0], 10.0, [np.nan] * 4),
        ([3e38, -3e38, 0, 0], 1.0, [1.0, 0.0, 0.0, 0.0]),
        ([-np.inf, 0, 0, -np.inf], 1.0, [0.0, 0.5, 0.5, 0.0]),
        ([0.0, -0.0, 1e-40, -1e-40], 1.0, [0.25] * 4),
        ([], 1.0, []),
    ],
)
def test_softmax_of_special_values(row, scale, expected):
    o = golden.softmax(np.array([row], np.float32), scale, **UNIT)
    np.testing.assert_array_equal(o, np.array([expected], np.float32))


@pytest.mark.parametrize(
    ("row", "layer", "rms"),
    [
        ([np.inf, 0, -1, 0], [np.nan] * 4, [np.nan, 0.0, -0.0, 0.0]),
        ([np.nan, 0, 0, 0], [np.nan] * 4, [np.nan] * 4),
        ([1e20, -1e20, 0, 0], [0.5] * 4, [0.0, -0.0, 0.0, 0.0]),
        ([3e38] * 4, [np.nan] * 4, [0.0] * 4),
        ([0.0, -0.0, 1e-40, -1e-40], [0.5] * 4, [0.0, -0.0, 0.0, -0.0]),
    ],
)
def test_norms_of_special_values(row, layer, rms):
    a, gamma, beta = (np.array(x, np.float32) for x in ([row], [1.0] * 4, [0.5] * 4))
    constants = {"inv_n": 0.25, "epsilon": 1e-5}
    o = golden.norm_layer(a, gamma, beta, **constants, **UNIT)
    np.testing.assert_array_equal(o, np.array([layer], np.float32))
    o = golden.norm_rms(a, gamma, **constants, **UNIT)
    np.testing.assert_array_equal(o, np.array([rms], np.float32))
    assert (np.signbit(o) == np.signbit(np.array(rms)))[~np.isnan(o)].all()


#: Sizes of the elements for which epsilon, 1e-5, is next to nothing, a part, and nearly all.
SIZES = (4.0, 1e-1, 3e-3, 1e-4)


@pytest.mark.parametrize("size", SIZES)
def test_norm_is_near_float64(size):
    n = 256
    a, gamma, beta = (numbers(3, 8, n) + 1) * np.float32(size), numbers(4, n), numbers(5, n)
    wide = a.astype(np.float64)
    exact = (wide - wide.mean(-1, keepdims=True)) / np.sqrt(wide.var(-1, keepdims=True) + 1e-5)

    o = golden.norm_layer(a, gamma, beta, inv_n=1 / n, epsilon=1e-5, **UNIT)

    # Elements are up to 4 deviations away, and gamma is up to 3: 2⁻²¹ of that.
    np.testing.assert_allclose(o, exact * gamma + beta, rtol=0, atol=2.0**-17.5)


def test_norm_of_equal_elements_is_beta():
    beta = numbers(6, 16)
    o = golden.norm_layer(
        np.full((1, 16), 0.3, np.float32), numbers(7, 16), beta, inv_n=1 / 16, epsilon=1e-5, **UNIT
    )
    assert (o[0] == beta).all()


@pytest.mark.parametrize("size", SIZES)
def test_rms_norm_is_near_float64(size):
    n = 256
    a, gamma = (numbers(3, 8, n) + 1) * np.float32(size), numbers(4, n)
    wide = a.astype(np.float64)
    exact = wide / np.sqrt((wide**2).mean(-1, keepdims=True) + 1e-5)

    o = golden.norm_rms(a, gamma, inv_n=1 / n, epsilon=1e-5, **UNIT)

    np.testing.assert_allclose(o, exact * gamma, rtol=2.0**-20)


def lanes_sum(x, lanes, partial_sums):
    """Return a row's sum in the order of docs/vector-unit.md, in NumPy's own additions."""
    sums = np.zeros((lanes, partial_sums), np.float32)
    for i, element in enumerate(x):
        j = i // lanes
        sums[i % lanes, j % partial_sums] = sums[i % lanes, j % partial_sums] + element
    return pairwise([pairwise(lane) for lane in sums])


def pairwise(terms):
    """Add neighbours until one is left."""
    terms = list(terms)
    while len(terms) > 1:
        terms = [a + b for a, b in zip(terms[0::2], terms[1::2], strict=True)]
    return terms[0]


def test_norms_round_every_step_in_its_order():
    n, epsilon = 64, np.float32(1e-3)
    inv_n = np.float32(1 / n)
    a, gamma, beta = numbers(20, n) * np.float32(0.1), numbers(21, n), numbers(22, n)
    constants = {"inv_n": 1 / n, "epsilon": 1e-3}

    d = a - lanes_sum(a, **UNIT) * inv_n
    r = rsqrt(lanes_sum(d * d, **UNIT) * inv_n + epsilon)
    layer = (d * r) * gamma + beta
    rms = (a * rsqrt(lanes_sum(a * a, **UNIT) * inv_n + epsilon)) * gamma

    assert (golden.norm_layer(a[None], gamma, beta, **constants, **UNIT)[0] == layer).all()
    assert (golden.norm_rms(a[None], gamma, **constants, **UNIT)[0] == rms).all()


def test_softmax_rounds_every_step_in_its_order():
    a, scale = numbers(23, 50) * np.float32(4), np.float32(0.3)
    scaled = a * scale
    e = exp(scaled - scaled.max())
    expected = bf16.round(e * reciprocal(lanes_sum(e, **UNIT)))
    assert (golden.softmax(a[None], scale, **UNIT)[0] == expected).all()


def test_rms_norm_of_zeros_is_zero_of_its_sign():
    zeros = np.array([[0.0, -0.0, 0.0, 0.0]], np.float32)
    o = golden.norm_rms(zeros, np.ones(4, np.float32), inv_n=0.25, epsilon=1e-5, **UNIT)
    assert o.view(np.uint32).tolist() == zeros.view(np.uint32).tolist()


def test_rotary_turns_pairs_as_complex_numbers():
    a, angle = numbers(16, 5, 3, 16), numbers(17, 5, 8).astype(np.float64)
    b = np.stack([np.cos(angle), np.sin(angle)], axis=-1).reshape(5, 16).astype(np.float32)
    turned = (a[..., 0::2] + 1j * a[..., 1::2]) * np.exp(1j * angle)[:, None]

    o = golden.rotary(a, b)

    error = np.abs(o[..., 0::2] + 1j * o[..., 1::2] - turned)
    assert (error <= 2.0**-22 * np.abs(turned)).all()


def test_rotary_rounds_products_and_sums_one_by_one():
    a, b = numbers(16, 1, 3, 16), numbers(17, 1, 16)
    even, odd, cosine, sine = a[..., 0::2], a[..., 1::2], b[..., 0::2], b[..., 1::2]
    o = golden.rotary(a, b)
    assert (o[..., 0::2] == even * cosine - odd * sine).all()
    assert (o[..., 1::2] == odd * cosine + even * sine).all()


def test_reductions_are_near_float64():
    a = numbers(18, 4, 37)
    total = golden.reduce(Reduce.SUM, a, scale=1 / 37, **UNIT)
    np.testing.assert_allclose(total, a.astype(np.float64).mean(-1), rtol=0, atol=2.0**-24)
    assert (golden.reduce(Reduce.MAX, a, **UNIT) == a.max(-1)).all()


def test_reduction_of_special_values():
    rows = [[np.nan, np.nan], [np.nan, -np.inf], [np.inf, -np.inf], [-0.0, 0.0], [1e-40, -1.0]]
    largest = golden.reduce(Reduce.MAX, rows, **UNIT).view(np.uint32)
    assert [hex(x) for x in largest] == [
        "0x7fc00000",
        "0xff800000",
        "0x7f800000",
        "0x80000000",
        "0x0",
    ]
    total = golden.reduce(Reduce.SUM, rows, **UNIT).view(np.uint32)
    assert [hex(x) for x in total] == ["0x7fc00000"] * 3 + ["0x0", "0xbf800000"]


@pytest.mark.parametrize("m", [0, 1, 5, 8])
def test_tail_is_near_float64(m):
    a, b, c = numbers(8, 3, 16), bf16.round(numbers(9, 3, m)), bf16.round(numbers(10, m, 48))
    heads = c.reshape(m, 3, 16).astype(np.float64)

    o = golden.tail(a, b, c, partial_sums=4)

    terms = np.abs(a) + np.einsum("ht,the->he", np.abs(b), np.abs(heads))
    error = np.abs(o - (a + np.einsum("ht,the->he", b, heads)))
    assert (error <= 2.0**-23 * terms).all()


def tail_sums(b, c):
    """Return the partial sums of a tail, ``[4, n]``: token t goes to t mod 4, from +0 on."""
    sums = np.zeros((4, c.shape[-1]), np.float32)
    for t, (weight, values) in enumerate(zip(b, c, strict=True)):
        sums[t % 4] = sums[t % 4] + values * weight
    return sums


@pytest.mark.parametrize("m", [0, 1, 3, 4, 6, 13])
def test_tail_folds_its_partial_sums_before_it_adds_them_to_a(m):
    a, b, c = numbers(24, 2, 64), bf16.round(numbers(25, 2, m)), bf16.round(numbers(26, m, 128))
    p = [tail_sums(b[head], c[:, 64 * head : 64 * head + 64]) for head in range(2)]
    folded = np.array([(s[0] + s[1]) + (s[2] + s[3]) for s in p])

    assert (golden.tail(a, b, c, partial_sums=4) == a + folded).all()
    assert (golden.tail(None, b, c, partial_sums=4) == folded).all()
    if m > 4:
        # On these numbers other orders are other results, so the order is what was checked.
        chained = np.array([(((a[h] + s[0]) + s[1]) + s[2]) + s[3] for h, s in enumerate(p)])
        first = np.array([((a[h] + s[0]) + s[1]) + (s[2] + s[3]) for h, s in enumerate(p)])
        for other in (chained, first):
            assert (other != a + folded).any()


def test_instructions_take_batches_of_rows():
    a, gamma, beta = numbers(11, 2, 3, 16), numbers(12, 16), numbers(13, 16)
    constants = {"inv_n": 1 / 16, "epsilon": 1e-5}
    for each in range(2):
        whole = golden.norm_layer(a, gamma, beta, **constants, **UNIT)[each]
        assert (whole == golden.norm_layer(a[each], gamma, beta, **constants, **UNIT)).all()
        assert (golden.softmax(a, 1.0, **UNIT)[each] == golden.softmax(a[each], 1.0, **UNIT)).all()
        assert (golden.argmax(a)[each] == golden.argmax(a[each])).all()


def test_elementwise_without_its_second_operand_is_rejected():
    with pytest.raises(ValueError, match=r"^b must be given for ADD$"):
        golden.elementwise(Element.ADD, [1.0])


def test_function_rounds_to_its_format():
    x = numbers(14, 50)
    assert (golden.function(Function.EXP, x, Format.BF16) == bf16.round(exp(x))).all()


@pytest.mark.parametrize("quiet", [0, 1 << 22])
def test_a_nan_is_never_the_largest_whether_it_signals_or_not(quiet):
    nan = np.uint32(0x7F808000 | quiet).view(np.float32)
    rows = [[0, 0, 0, 0, nan, nan, nan, nan, -0.5], [nan, -np.inf] + [nan] * 7, [nan] * 9]
    assert golden.argmax(np.array(rows, np.float32)).tolist() == [0, 1, 0]
    signalling = np.array(rows, np.float32)
    signalling[np.isnan(signalling)] = nan
    assert golden.argmax(signalling).tolist() == [0, 1, 0]
