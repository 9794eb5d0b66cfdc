"""Compiled units against their golden models, on ten million arguments each."""

import numpy as np
import pytest

from hw.arith import bf16, elementary
from hw.arith.adder import Adder
from hw.arith.binary32 import add, multiply
from hw.arith.dot import Dot, dot
from hw.arith.elementary import Elementary, Function
from hw.arith.multiplier import Multiplier
from sim.engine.cxxrtl import CompiledDesign
from sim.engine.trace import trace_columns

pytestmark = pytest.mark.slow

BLOCK = 1 << 20
BLOCKS = 10


def check(design, latency, golden, arguments):
    """Compare a block: arguments are integers, or rows of words where ports are wider."""
    columns, width = trace_columns(design.inputs)
    rows = np.zeros((BLOCK + latency, width), np.uint32)
    for name, values in arguments.items():
        rows[:BLOCK, columns[name]] = values.reshape(BLOCK, -1)
    results = design.replay(rows)[latency:, 0]
    wrong = np.flatnonzero(results != golden.view(np.uint32))
    first = {name: values[wrong[:1]] for name, values in arguments.items()}
    assert not len(wrong), f"{len(wrong)} results are wrong, the first of {first}"


def any_pairs(rng):
    """Random bits; in half of the pairs the second number is near the first or its opposite."""
    a, b = rng.integers(0, 2**32, (2, BLOCK), dtype=np.uint32)
    steps = rng.integers(-1 << 31, 1 << 31, BLOCK) >> rng.integers(0, 31, BLOCK)
    near = (a + steps).astype(np.uint32) ^ (b & np.uint32(1 << 31))
    return a, np.where(b & 1, near, b)


@pytest.mark.parametrize(("unit", "golden"), [(Adder, add), (Multiplier, multiply)])
def test_binary32_unit_equals_the_golden_model(unit, golden):
    design = CompiledDesign(unit)
    rng = np.random.default_rng(0)
    for _ in range(BLOCKS):
        a, b = any_pairs(rng)
        want = golden(a.view(np.float32), b.view(np.float32))
        check(design, unit.latency, want, {"a": a, "b": b})


@pytest.mark.parametrize("function", Function)
def test_elementary_unit_equals_the_golden_model(function):
    golden = getattr(elementary, function.name.lower())
    design = CompiledDesign(Elementary)
    rng = np.random.default_rng(1)
    functions = np.full(BLOCK, function.value)
    every_bf16 = np.arange(BLOCK, dtype=np.uint32) << np.uint32(16)
    check(
        design,
        Elementary.latency,
        golden(every_bf16.view(np.float32)),
        {"a": every_bf16, "function": functions},
    )
    for block in range(BLOCKS):
        a = rng.integers(0, 2**32, BLOCK, dtype=np.uint32)
        if block % 2:  # where the exponential is neither 0 nor 1 nor infinite
            a = rng.uniform(-90, 90, BLOCK).astype(np.float32).view(np.uint32)
        arguments = {"a": a, "function": functions}
        check(design, Elementary.latency, golden(a.view(np.float32)), arguments)


@pytest.mark.parametrize("zero_b", [False, True])
def test_dot_unit_equals_the_golden_model(zero_b):
    lanes = 4
    design = CompiledDesign(Dot(lanes, zero_b=zero_b))
    rng = np.random.default_rng(2)
    for block in range(BLOCKS):
        a, b = rng.integers(0, 2**16, (2, BLOCK, lanes), dtype=np.uint16)
        if block % 2:  # no infinities, which would soon fill a tree
            a, b = (x & 0xBFFF | 0x2000 for x in (a, b))
        want = dot(bf16.from_bits(a), bf16.from_bits(b), zero_b=zero_b)
        words = {"a": a.view(np.uint32), "b": b.view(np.uint32)}
        check(design, Dot.latency_of(lanes), want, words)
