import numpy as np

from hw.arith.adder import Adder
from hw.arith.binary32 import add


def check(stream, a, b):
    sums = stream(Adder(), a=a, b=b)
    want = add(a.view(np.float32), b.view(np.float32)).view(np.uint32)
    for x, y, o, w in zip(a, b, sums, want, strict=True):
        assert o == w, f"{x:#010x} + {y:#010x} is {w:#010x}, not {o:#010x}"


def test_sums_of_corners_equal_the_golden_model(stream, corner_pairs):
    check(stream, *corner_pairs)


def test_random_sums_equal_the_golden_model(stream):
    a, b = np.random.default_rng(0).integers(0, 2**32, (2, 500), dtype=np.uint32)
    check(stream, a, b)


def test_cancellations_equal_the_golden_model(stream):
    rng = np.random.default_rng(1)
    a = rng.integers(0, 2**32, 800, dtype=np.uint32)
    near = rng.integers(-1 << 25, 1 << 25, 800) >> rng.integers(0, 24, 800)
    check(stream, a, (a + near).astype(np.uint32) ^ np.uint32(1 << 31))


def test_every_alignment_equals_the_golden_model(stream):
    rng = np.random.default_rng(2)
    a = rng.integers(0x40000000, 0x50000000, 600, dtype=np.uint32)
    distance = np.arange(600) % 40
    b = a - (distance << 23) + rng.integers(-3, 4, 600)
    b ^= rng.integers(0, 2, 600) << 31
    check(stream, a, b.astype(np.uint32))


def test_underflow_equals_the_golden_model(stream):
    a, b = np.random.default_rng(3).integers(0, 4 << 23, (2, 500), dtype=np.uint32)
    check(stream, a, b | np.uint32(1 << 31))


def test_a_sum_leaves_after_the_latency(measure_latency):
    assert measure_latency(Adder(), a=0x3F800000, b=0x40000000) == Adder.latency
