import math

import numpy as np
import pytest

from hw.arith import bf16
from hw.arith.binary32 import add
from hw.arith.elementary import exp
from hw.isa import Element, Format, Function
from hw.npu.vector import golden

UNIT = {"lanes": 4, "partial_sums": 4}


def numbers(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def gelu_tanh_exactly(x):
    x = x.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        twice_u = 2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
        return np.where(twice_u < 0, x * np.exp(twice_u), x) / (1 + np.exp(-np.abs(twice_u)))


def test_gelu_is_within_one_ulp_over_all_bf16_inputs():
    x = bf16.from_bits(np.arange(1 << 16, dtype=np.uint16))
    o = golden.function(Function.GELU_TANH, x, Format.BF16)
    exact = gelu_tanh_exactly(x)
    judged = np.isfinite(exact) & (np.abs(exact) >= 2.0**-124)

    ulp = 2.0 ** (np.floor(np.log2(np.abs(exact[judged]))) - 7)
    error = np.abs(o[judged] - exact[judged]) / ulp

    worst = error.argmax()
    assert error[worst] <= 1, f"{x[judged][worst]}: {o[judged][worst]}, not {exact[judged][worst]}"
    assert judged.sum() > 48_000


def test_gelu_flushes_one_bf16_input_whose_result_is_normal():
    x = bf16.from_bits(np.arange(1 << 16, dtype=np.uint16))
    exact = gelu_tanh_exactly(x)
    normal = np.isfinite(exact) & (np.abs(exact) >= 2.0**-126)

    flushed = normal & (golden.function(Function.GELU_TANH, x, Format.BF16) == 0)

    assert x[flushed].tolist() == [-10.0625]


def test_gelu_at_the_ends():
    ends = [np.inf, -np.inf, np.nan, 0.0, -0.0]
    o = golden.gelu_tanh(np.array(ends, np.float32)).view(np.uint32)
    assert [hex(bits) for bits in o] == [
        "0x7f800000",
        "0x7fc00000",
        "0x7fc00000",
        "0x0",
        "0x80000000",
    ]


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

    np.testing.assert_allclose(o, exact, rtol=2.0**-8 * 1.01)


def test_softmax_ignores_elements_of_minus_infinity_at_the_end():
    a = numbers(2, 6, 21)
    longer = np.pad(a, [(0, 0), (0, 30)], constant_values=-np.inf)

    o = golden.softmax(longer, 0.3, **UNIT)

    assert (o[:, :21] == golden.softmax(a, 0.3, **UNIT)).all()
    assert not o[:, 21:].any()


def test_softmax_of_nothing_but_minus_infinity_is_plus_zero():
    o = golden.softmax(np.full((2, 5), -np.inf), 1.0, **UNIT)
    assert not o.view(np.uint32).any()


def test_norm_is_near_float64():
    n = 256
    a, gamma, beta = numbers(3, 8, n) * 4 + 1, numbers(4, n), numbers(5, n)
    wide = a.astype(np.float64)
    exact = (wide - wide.mean(-1, keepdims=True)) / np.sqrt(wide.var(-1, keepdims=True) + 1e-5)

    o = golden.norm_layer(a, gamma, beta, inv_n=1 / n, epsilon=1e-5, **UNIT)

    np.testing.assert_allclose(o, exact * gamma + beta, rtol=1e-4, atol=1e-4)


def test_norm_of_equal_elements_is_beta():
    beta = numbers(6, 16)
    o = golden.norm_layer(
        np.full((1, 16), 0.3, np.float32), numbers(7, 16), beta, inv_n=1 / 16, epsilon=1e-5, **UNIT
    )
    np.testing.assert_allclose(o[0], beta, atol=1e-4)


@pytest.mark.parametrize("m", [0, 1, 5, 8])
def test_tail_is_near_float64(m):
    a, b, c = numbers(8, 3, 16), bf16.round(numbers(9, 3, m)), bf16.round(numbers(10, m, 48))
    heads = c.reshape(m, 3, 16).astype(np.float64)

    o = golden.tail(a, b, c, partial_sums=4)

    np.testing.assert_allclose(o, a + np.einsum("ht,the->he", b, heads), rtol=1e-5, atol=1e-5)


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
