"""What is kept is one C++ class, and its registers are read where they are."""

import re

import numpy as np
import pytest
from amaranth.hdl import *
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hw.export.rtlil import convert
from hw.npu.matrix.systolic_array import SystolicArray
from hw.repeated import repeated
from sim.engine.amaranth import replay
from sim.engine.cpp.cpp import cpp
from sim.engine.cxxrtl import CompiledDesign
from sim.engine.port_trace import trace_columns


class Leaf(wiring.Component):
    """Two registers that are always equal, so that Yosys makes one of them."""

    i: In(8)
    o: Out(8)
    twin: Out(8)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += [self.o.eq(self.i + 3), self.twin.eq(self.i + 3)]
        return m


@repeated
class Middle(wiring.Component):
    """Hands on registers of an instance inside, one of its own, and what a memory has read."""

    i: In(8)
    o: Out(8)
    twin: Out(8)
    held: Out(8)
    read: Out(8)

    def elaborate(self, platform):
        m = Module()
        m.submodules.leaf = leaf = Leaf()
        m.submodules.words = words = memory.Memory(shape=8, depth=4, init=[5, 6, 7, 8])
        port = words.read_port()
        state = Signal(8)
        with m.If(self.i[0]):
            m.d.sync += state.eq(state ^ leaf.o)
        m.d.comb += [
            leaf.i.eq(self.i),
            self.o.eq(leaf.o),
            self.twin.eq(leaf.twin),
            self.held.eq(state),
            port.addr.eq(state[:2]),
            port.en.eq(1),
            self.read.eq(port.data),
        ]
        return m


@repeated
class Outer(wiring.Component):
    """Two in a row; what they hand on is handed on once more."""

    i: In(8)
    o: Out(8)
    held: Out(8)
    read: Out(8)

    def elaborate(self, platform):
        m = Module()
        m.submodules.first = first = Middle()
        m.submodules.second = second = Middle()
        m.d.comb += [
            first.i.eq(self.i),
            second.i.eq(first.o ^ first.twin ^ first.held),
            self.o.eq(second.twin),
            self.held.eq(second.held),
            self.read.eq(first.read),
        ]
        return m


class Early(wiring.Component):
    """Not all outputs are registers."""

    i: In(8)
    o: Out(8)
    half: Out(4)

    def elaborate(self, platform):
        m = Module()
        m.submodules.middle = middle = Middle()
        m.d.comb += [
            middle.i.eq(self.i),
            self.o.eq(middle.o ^ self.i),
            self.half.eq(middle.held[2:6]),
        ]
        return m


class Nest(wiring.Component):
    """All of them; one output of the whole is a register far inside."""

    i: In(8)
    o: Out(8)
    far: Out(8)
    read: Out(8)

    def elaborate(self, platform):
        m = Module()
        m.submodules.outer = outer = Outer()
        m.submodules.other = other = Outer()
        m.submodules.early = early = Early()
        m.d.comb += [
            outer.i.eq(self.i),
            early.i.eq(outer.o),
            other.i.eq(early.o),
            self.o.eq(outer.held ^ other.held ^ early.half),
            self.far.eq(other.o),
            self.read.eq(outer.read),
        ]
        return m


class Gated(Nest):
    """One in which all modules are taken for large."""


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEUPIMS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def structs(code):
    """Return the bodies of the C++ classes of modules, by name."""
    return dict(re.findall(r"^struct (\w+) : public module \{\n(.*?)^\};", code, re.M | re.S))


def stretches(cycles, longest):
    """Return random bytes that stay as they are for stretches of random length."""
    rng = np.random.default_rng(longest)
    rows = rng.integers(0, 256, cycles, dtype=np.uint32)
    return np.repeat(rows, rng.integers(1, longest, cycles))[:cycles, None]


def test_modules_that_hand_on_registers_are_kept():
    found = structs(cpp(convert(Nest())))
    assert list(found) == ["p_middle_2e_leaf", "p_middle", "p_outer", "p_top"]
    assert "p_o" in found["p_middle_2e_leaf"]
    assert "p_twin" not in found["p_middle_2e_leaf"]
    assert not re.search(r"\bp_(o|twin)\b", found["p_middle"])
    assert re.search(r"\bp_far\b", found["p_top"])


@pytest.mark.parametrize("longest", [2, 20])
def test_registers_that_are_handed_on_equal_the_reference(longest):
    inputs = stretches(400, longest)
    np.testing.assert_array_equal(CompiledDesign(Nest).replay(inputs), replay(Nest(), inputs))


def test_gated_modules_inside_of_gated_ones_equal_the_reference(monkeypatch):
    monkeypatch.setattr("sim.engine.cpp.activity.SIZE", 0)
    assert cpp(convert(Gated())).count("::commit_evaluated() {") == 4
    design = CompiledDesign(Gated)
    for longest in (2, 20):
        inputs = stretches(400, longest)
        design.reset()
        np.testing.assert_array_equal(design.replay(inputs), replay(Gated(), inputs))


@pytest.mark.parametrize("kind", [Nest, Gated])
def test_a_memory_far_inside_that_is_changed_from_outside_is_read_anew(kind, monkeypatch):
    if kind is Gated:
        monkeypatch.setattr("sim.engine.cpp.activity.SIZE", 0)
    design = CompiledDesign(kind)
    design.step(20)
    assert design["read"] == 5
    design.memory("outer.first.words")[0] = 77
    design.step()
    assert design["read"] == 77


def test_the_code_of_an_array_does_not_grow_with_its_columns():
    small, large = (structs(cpp(convert(SystolicArray(4, columns)))) for columns in (2, 16))
    assert small.keys() == large.keys()
    assert {"p_column__chunk", "p_processing__element", "p_adder"} < small.keys()
    for name in small.keys() - {"p_top"}:
        assert small[name] == large[name]


def test_an_array_of_shared_code_equals_the_reference():
    rows, columns = 4, 3
    design = CompiledDesign(SystolicArray, rows, columns)
    rng = np.random.default_rng(rows)
    slices, width = trace_columns(design.inputs)
    inputs = rng.integers(0, 2**32, (60, width), dtype=np.uint32)
    for port in design.inputs:
        inputs[:, slices[port.name].stop - 1] &= (1 << ((port.width - 1) % 32 + 1)) - 1
    found = design.replay(inputs)
    np.testing.assert_array_equal(found, replay(SystolicArray(rows, columns), inputs))
    assert len(np.unique(found)) > 30
