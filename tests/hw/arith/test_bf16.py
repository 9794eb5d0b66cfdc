import ml_dtypes
import numpy as np
import pytest

from hw.arith import bf16

EVERY = np.arange(1 << 16, dtype=np.uint16)
SUBNORMAL = (EVERY & 0x7F80 == 0) & (EVERY & 0x7F != 0)
NAN = EVERY & 0x7FFF > 0x7F80


def test_bf16_is_the_upper_half_of_binary32():
    number = bf16.BF16.const({"sign": 1, "exponent": 127, "fraction": 1})
    assert number.as_bits() == 0xBF81


def test_every_bf16_widens_exactly():
    wide = bf16.from_bits(EVERY)
    want = EVERY.view(ml_dtypes.bfloat16).astype(np.float32)
    normal = ~SUBNORMAL & ~NAN
    np.testing.assert_array_equal(wide[normal].view(np.uint32), want[normal].view(np.uint32))
    np.testing.assert_array_equal(
        wide[SUBNORMAL].view(np.uint32), (EVERY[SUBNORMAL] & 0x8000).astype(np.uint32) << 16
    )
    assert (wide[NAN].view(np.uint32) == 0x7FC00000).all()


def test_every_bf16_survives_widening():
    back = bf16.to_bits(bf16.from_bits(EVERY))
    normal = ~SUBNORMAL & ~NAN
    np.testing.assert_array_equal(back[normal], EVERY[normal])
    assert (back[NAN] == 0x7FC0).all()


@pytest.mark.parametrize("low", [0x0001, 0x7FFF, 0x8000, 0x8001, 0xFFFF])
def test_rounding_agrees_with_ml_dtypes_around_ties(low):
    x = (EVERY.astype(np.uint32) << 16 | low).view(np.float32)
    normal = (EVERY & 0x7F80 != 0) & ~np.isnan(x)
    want = x[normal].astype(ml_dtypes.bfloat16).view(np.uint16)
    np.testing.assert_array_equal(bf16.to_bits(x)[normal], want)
    assert (bf16.to_bits(x)[np.isnan(x)] == 0x7FC0).all()
    assert (bf16.to_bits(x)[EVERY & 0x7F80 == 0] & 0x7FFF == 0).all()


def test_rounding_agrees_with_ml_dtypes_on_random_numbers():
    x = np.random.default_rng(0).integers(0, 2**32, 1 << 20, dtype=np.uint32).view(np.float32)
    x = x[(np.abs(x) >= 2.0**-126)]
    np.testing.assert_array_equal(bf16.to_bits(x), x.astype(ml_dtypes.bfloat16).view(np.uint16))


def test_round_is_idempotent(corners):
    once = bf16.round(corners.view(np.float32))
    np.testing.assert_array_equal(bf16.round(once).view(np.uint32), once.view(np.uint32))
