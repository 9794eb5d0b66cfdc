"""Repeated parts are elaborated once for a conversion, and work like plain submodules."""

import re
import warnings

import numpy as np
import pytest
from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.export.rtlil import convert
from hw.npu.matrix.accumulator import Accumulator
from hw.npu.matrix.systolic_array import SystolicArray
from hw.repeated import gated, repeated
from sim.engine.amaranth import replay
from sim.engine.cxxrtl import CompiledDesign
from sim.engine.port_trace import trace_columns

elaborated = []


@repeated
class Inner(wiring.Component):
    """Sums up; ``unused`` and, without registers, the clock are ports without a use."""

    def __init__(self, step, *, registers=True):
        super().__init__({"i": In(8), "unused": In(3), "nothing": In(0), "o": Out(8)})
        self.step = step
        self.registers = registers
        self.state = Signal(8, name="state")

    def elaborate(self, platform):
        elaborated.append((self.step, self.registers))
        m = Module()
        if self.registers:
            m.d.sync += self.state.eq(self.state + self.i + self.step)
            m.d.comb += self.o.eq(self.state)
        else:
            m.d.comb += self.o.eq(self.i + self.step)
        return m


@repeated
class Pair(wiring.Component):
    """Two of them in a row, built before elaboration."""

    def __init__(self, step):
        super().__init__({"i": In(8), "o": Out(8)})
        self.parts = [Inner(step), Inner(1, registers=False)]

    def elaborate(self, platform):
        elaborated.append("pair")
        m = Module()
        first, second = m.submodules.first, m.submodules.second = self.parts
        m.d.comb += [first.i.eq(self.i), second.i.eq(first.o), self.o.eq(second.o)]
        return m


class Top(wiring.Component):
    """Pairs in a row, the last of them gated; ``leak`` looks into one."""

    def __init__(self, *, leak=False):
        super().__init__({"i": In(8), "enable": In(1), "o": Out(8)})
        self.leak = leak

    def elaborate(self, platform):
        m = Module()
        value = self.i
        for index, step in enumerate((1, 2, 1, 1)):
            part = Pair(step)
            m.submodules[f"pair_{index}"] = gated(self.enable, part) if index == 3 else part
            m.d.comb += part.i.eq(value)
            value = part.o
        m.d.comb += self.o.eq(value ^ (part.parts[0].state if self.leak else 0))
        if self.leak:
            m.submodules.inner = inner = Inner(5)
            m.d.comb += self.o.eq(inner.state)
        return m


def modules(rtlil):
    return re.findall(r"^module \\(\S+)", rtlil, re.M)


@pytest.mark.parametrize("reset", [False, True])
def test_each_set_of_arguments_is_elaborated_once(reset):
    elaborated.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rtlil = convert(Top(), reset=reset)
    in_place = 3  # of the gated one
    assert len(elaborated) == in_place + len({1, 2} | {"pair 1", "pair 2", "without registers"})
    assert len(re.findall(r"^attribute \\top 1$", rtlil, re.M)) == 1
    assert modules(rtlil)[-1] == "top"
    assert set(re.findall(r"^  cell (\\\w+) \\pair_[012]$", rtlil, re.M)) == {r"\pair", r"\pair_2"}


def test_the_top_itself_is_no_instance():
    assert modules(convert(Inner(1), "inner")) == ["inner"]


def test_conversion_in_place_elaborates_every_part():
    elaborated.clear()
    convert(Top(), in_place=True)
    assert len(elaborated) == 4 * 3


def test_use_of_a_signal_inside_is_an_error():
    with pytest.raises(
        ValueError, match=r"^state must be used by inner_4 alone, which is repeated, not by top: "
    ):
        convert(Top(leak=True))
    convert(Top(leak=True), in_place=True)


def compare_engines(make, cycles):
    """Give random inputs to instances, compiled, and to submodules, simulated."""
    compiled = CompiledDesign(make())
    rng = np.random.default_rng(0)
    columns, width = trace_columns(compiled.inputs)
    inputs = np.zeros((cycles, width), np.uint32)
    for port in compiled.inputs:
        words = rng.integers(0, 2**32, (cycles, -(-port.width // 32)), dtype=np.uint32)
        words[:, -1] &= (1 << ((port.width - 1) % 32 + 1)) - 1
        inputs[:, columns[port.name]] = words
    np.testing.assert_array_equal(compiled.replay(inputs), replay(make(), inputs))


@pytest.mark.parametrize(
    "make",
    [Top, lambda: SystolicArray(32, 1), lambda: Accumulator(4, 2)],
    ids=["toy", "array of two chunks", "accumulator"],
)
def test_instances_equal_submodules(make):
    compare_engines(make, 40)


def test_modules_of_an_array_do_not_grow_with_it():
    small, large = (modules(convert(SystolicArray(n, n))) for n in (4, 16))
    assert len(small) == len(large)
