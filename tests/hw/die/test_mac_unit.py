# amaranth: UnusedElaboratable=no

import numpy as np
import pytest

from hw.arith.binary32 import add
from hw.arith.dot import dot
from hw.die.mac_unit import MacUnit, accumulate_golden, gemv_golden
from hw.presets import TINY
from hw.protocol.timing import Timing


def column(values):
    return np.array(values, np.float32)


def test_columns_go_to_the_partial_sums_in_turn():
    columns = np.eye(4, dtype=np.float32) * column([[1], [2], [4], [8]])
    sums = accumulate_golden(np.zeros(2, np.float32), 0, columns, np.ones((4, 4), np.float32))
    assert sums.tolist() == [1 + 4, 2 + 8]


def test_accumulation_goes_on_where_it_stopped():
    rng = np.random.default_rng(1)
    columns = rng.integers(-8, 8, (3, 7, 4)).astype(np.float32)
    vector = rng.integers(-8, 8, (7, 4)).astype(np.float32)
    sums = accumulate_golden(np.zeros(2, np.float32), 0, columns[:, :3], vector[:3])
    sums = accumulate_golden(sums, 3, columns[:, 3:], vector[3:])
    assert (add(sums[:, 0], sums[:, 1]) == gemv_golden(columns, vector, 2)).all()


def test_order_of_summation_is_as_specified():
    rng = np.random.default_rng(2)
    columns = (rng.standard_normal((5, 4)) * 2.0 ** rng.integers(-12, 12, (5, 4))).astype("f4")
    columns.view(np.uint32)[...] &= 0xFFFF0000
    ones = np.ones(4, np.float32)
    p = [dot(c, ones) for c in columns]
    even = add(add(add(0.0, p[0]), p[2]), p[4])
    odd = add(add(0.0, p[1]), p[3])
    assert gemv_golden(columns, ones[None], 2) == add(even, odd)
    assert gemv_golden(columns, ones[None], 1) == add(add(add(add(p[0], p[1]), p[2]), p[3]), p[4])


def test_product_by_a_zero_of_the_vector_is_plus_zero():
    columns = column([[np.inf, np.nan, 2.0, -3.0]])
    assert gemv_golden(columns, column([[0.0, -0.0, 1.0, 0.0]]), 2) == 2.0
    silent = gemv_golden(columns, column([[0.0, -0.0, 0.0, -0.0]]), 2)
    assert silent == 0
    assert not np.signbit(silent)


def test_minus_zero_is_lost_in_a_sum_that_starts_at_plus_zero():
    result = gemv_golden(column([[-1e-30, -1e-30]]), column([[1e-30, 1e-30]]), 2)
    assert not np.signbit(result)


def test_addition_must_end_before_its_partial_sum_is_needed_again():
    message = r"^partial_sums × nCCDL must be above 3 cycles, the latency of the adder, not 2 × 1$"
    with pytest.raises(ValueError, match=message):
        MacUnit(TINY.replace(timing=Timing(nCCDL=1)))
