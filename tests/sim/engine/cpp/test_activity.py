"""What rests is skipped, and nothing can be seen of it."""

import re

import numpy as np
import pytest
from amaranth.hdl import *
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

import sim.engine.cxxrtl
from sim.engine.amaranth import replay
from sim.engine.cpp.cpp import cpp
from sim.engine.cxxrtl import CompiledDesign


class Decay(wiring.Component):
    """All outputs are registers, so it is kept: halves what it holds until nothing is left."""

    i: In(16)
    o: Out(16)
    steps: Out(8)

    def elaborate(self, platform):
        m = Module()
        held = Signal(16)
        m.d.sync += [held.eq(Mux(self.i != 0, self.i, held >> 1)), self.o.eq(held ^ 0x5A)]
        with m.If(held != 0):
            m.d.sync += self.steps.eq(self.steps + 1)
        return m


class Writer(wiring.Component):
    """Holds what it is given and writes it in every cycle, changed or not."""

    set: In(1)
    i: In(14)
    enable: Out(1)
    address: Out(2)
    content: Out(12)

    def elaborate(self, platform):
        m = Module()
        held = Signal(14)
        with m.If(self.set):
            m.d.sync += held.eq(self.i)
        m.d.comb += [
            self.enable.eq(held[13]),
            self.address.eq(held[:2]),
            self.content.eq(held[2:]),
        ]
        return m


class Sleeper(wiring.Component):
    """Parts that rest for long and wake one another: instances, memories, logic across them."""

    i: In(16)
    go: In(1)
    clear: In(1)
    o: Out(16)
    sum: Out(20)
    read: Out(12)
    early: Out(12)
    steps: Out(8)

    def elaborate(self, platform):
        m = Module()
        clear = ResetInserter(self.clear)
        m.submodules.first = first = clear(Decay())
        m.submodules.second = second = Decay()
        m.submodules.words = words = memory.Memory(shape=12, depth=4, init=[1, 2, 3])
        writes = [words.write_port(), words.write_port()]
        reads = words.read_port(), words.read_port(domain="comb")
        writers = [Writer(), Writer()]
        m.submodules += writers
        for place, (writer, write) in enumerate(zip(writers, writes, strict=True)):
            m.d.comb += [
                writer.i.eq(self.i),
                writer.set.eq(self.go & (self.i[14:] == place)),
                write.en.eq(writer.enable),
                write.addr.eq(Cat(writer.address[0], place)),
                write.data.eq(writer.content),
            ]
        m.d.comb += [
            first.i.eq(Mux(self.go, self.i, 0)),
            second.i.eq(Mux(first.o == 0x5A, 0, first.o)),
            reads[0].en.eq(self.i[0]),
            reads[0].addr.eq(self.i[2:4]),
            reads[1].addr.eq(self.i[4:6]),
            self.read.eq(reads[0].data),
            self.early.eq(reads[1].data),
            self.o.eq(second.o + first.o),
            self.steps.eq(first.steps ^ second.steps),
        ]
        with m.If(self.clear):
            m.d.sync += self.sum.eq(0)
        with m.Elif(first.o != second.o):
            m.d.sync += self.sum.eq(self.sum + second.o)
        return m


class Shared(wiring.Component):
    """Two write ports, each of which can hold still at an address while the other writes there."""

    first: In(8)
    second: In(8)
    address: In(2)
    o: Out(5)

    def elaborate(self, platform):
        m = Module()
        m.submodules.words = words = memory.Memory(shape=5, depth=4, init=[])
        read = words.read_port(domain="comb")
        for port in (self.first, self.second):
            write = words.write_port()
            m.d.comb += [write.en.eq(port[7]), write.addr.eq(port[5:7]), write.data.eq(port[:5])]
        m.d.comb += [read.addr.eq(self.address), self.o.eq(read.data)]
        return m


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEUPIMS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def stretches(rng, cycles, longest, *limits):
    """Return random inputs that stay as they are for stretches of random length."""
    rows = np.empty((cycles, len(limits)), np.uint32)
    start = 0
    while start < cycles:
        end = start + int(rng.integers(1, longest))
        rows[start:end] = rng.integers(0, limits)
        start = end
    return rows


@pytest.mark.parametrize("longest", [2, 8, 60])
def test_what_idles_and_wakes_up_equals_the_reference(longest):
    inputs = stretches(np.random.default_rng(longest), 1500, longest, 1 << 16, 2, 2)
    inputs[:, 2] &= inputs[:, 0] & 1  # cleared in one stretch of four
    design = CompiledDesign(Sleeper)
    np.testing.assert_array_equal(design.replay(inputs), replay(Sleeper(), inputs))


def test_calls_and_rests_between_them_change_nothing():
    inputs = stretches(np.random.default_rng(3), 600, 30, 1 << 16, 2, 2)
    whole, parts = CompiledDesign(Sleeper), CompiledDesign(Sleeper)
    expected = whole.replay(inputs)
    found = [parts.replay(inputs[start : start + 7]) for start in range(0, 600, 7)]
    np.testing.assert_array_equal(np.concatenate(found), expected)


def test_reset_wakes_everything():
    inputs = stretches(np.random.default_rng(4), 200, 20, 1 << 16, 2, 2)
    design = CompiledDesign(Sleeper)
    expected = design.replay(inputs)
    design.step(50)
    design.reset()
    np.testing.assert_array_equal(design.replay(inputs), expected)


def test_a_write_port_that_holds_still_writes_again_what_another_has_overwritten():
    rows = np.zeros((40, 3), np.uint32)
    rows[:, 0] = 0x80 | 1 << 5 | 9  # 9 to 1, in every cycle
    rows[:, 2] = 1
    rows[10, 1] = rows[20:30, 1] = 0x80 | 1 << 5 | 17  # 17 to 1
    rows[15, 1] = 0x80 | 2 << 5 | 17
    for inputs, seen in ((rows, {9, 17}), (rows[:, [1, 0, 2]], {9})):  # the second port wins
        design = CompiledDesign(Shared)
        outputs = design.replay(inputs)
        np.testing.assert_array_equal(outputs, replay(Shared(), inputs))
        assert set(outputs[11:31, 0].tolist()) == seen
        assert outputs[39] == 9


def test_a_memory_changed_from_outside_wakes_who_reads_it():
    design = CompiledDesign(Sleeper)
    design["i"] = 2 << 4
    design.step(20)
    design.memory("words")[2] = 77
    assert design["early"] == 77
    design.memory("words")[2] = 78
    design.step()
    assert design["early"] == 78


class Counted(Sleeper):
    """One whose evaluations are counted."""


def test_resting_parts_are_not_evaluated(monkeypatch):
    def counting(rtlil):
        code = cpp(rtlil)
        code, partitions = re.subn(
            r"^(void p_top::eval_\d+\(.*)$", r"\1 evaluations++;", code, flags=re.M
        )
        export = 'extern "C" __attribute__((visibility("default"))) unsigned long'
        return (
            "static unsigned long evaluations;\n"
            f"{export} partition_count() {{ return {partitions}; }}\n"
            f"{export} evaluation_count() {{ return evaluations; }}\n{code}"
        )

    monkeypatch.setattr(sim.engine.cxxrtl, "cpp", counting)
    design = CompiledDesign(Counted)
    partitions = design.library.partition_count()
    assert partitions >= 5

    def evaluations(cycles):
        before = design.library.evaluation_count()
        design.step(cycles)
        return design.library.evaluation_count() - before

    design.step(100)
    assert evaluations(1000) == partitions  # all once, since a call wakes them
    design["i"], design["go"] = 0x4321, 1
    assert evaluations(1000) > partitions
    design["go"] = 0
    busy = evaluations(100)
    assert partitions < busy < 100 * partitions / 2
    assert evaluations(1000) == partitions
