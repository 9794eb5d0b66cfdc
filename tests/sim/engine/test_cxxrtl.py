"""The compiled engine does what Amaranth's simulator does, cycle by cycle."""

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from amaranth.hdl import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.export.rtlil import convert
from sim.engine.amaranth import Recorder, replay
from sim.engine.cpp.cpp import cpp
from sim.engine.cxxrtl import CompiledDesign
from sim.engine.port_trace import pack, trace_columns


class Sum(wiring.Component):
    """Adds up what enters; the sum of this cycle is there at once if ``early``."""

    i: In(33)
    o: Out(33)

    def __init__(self, early):
        super().__init__()
        self.early = early

    def elaborate(self, platform):
        m = Module()
        total = Signal(33)
        m.d.sync += total.eq(total + self.i)
        m.d.comb += self.o.eq(total + self.i if self.early else total)
        return m


class Mixer(wiring.Component):
    """A queue in a memory, sums of what passes, and outputs of every kind."""

    i: In(stream.Signature(33))
    o: Out(stream.Signature(data.StructLayout({"item": 33, "sum": 33}), always_ready=True))
    take: In(1)
    level: Out(4)
    marks: Out(data.ArrayLayout(1, 2))

    def __init__(self, early):
        super().__init__()
        self.early = early

    def elaborate(self, platform):
        m = Module()
        m.submodules.items = items = memory.Memory(shape=33, depth=8, init=[7])
        write, read = items.write_port(), items.read_port(domain="comb")
        m.submodules.first = first = Sum(False)
        m.submodules.second = second = Sum(self.early)
        head = Signal(3)
        m.d.comb += [
            self.i.ready.eq(self.level != 8),
            write.en.eq(self.i.valid & self.i.ready),
            write.addr.eq(head + self.level),
            write.data.eq(self.i.payload),
            read.addr.eq(head),
            self.o.valid.eq(self.take & (self.level != 0)),
            self.o.payload.item.eq(read.data),
            first.i.eq(Mux(self.o.valid, read.data, 0)),
            second.i.eq(first.o),
            self.o.payload.sum.eq(second.o),
            self.marks[0].eq(1),
        ]
        m.d.sync += [
            self.level.eq(self.level + write.en - self.o.valid),
            head.eq(head + self.o.valid),
            self.marks[1].eq(write.en),
        ]
        return m


class Inverter(wiring.Component):
    """No clock at all."""

    def __init__(self, width):
        super().__init__({"i": In(width), "o": Out(width)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(~self.i)
        return m


class Twist(wiring.Component):
    """Bits that depend on bits of the same signal: no order of evaluation settles it at once."""

    i: In(8)
    o: Out(8)

    def elaborate(self, platform):
        m = Module()
        m.submodules.inverter = inverter = Inverter(8)
        last = Signal(8)
        m.d.sync += last.eq(self.o)
        m.d.comb += [
            inverter.i.eq(Cat(self.i[0] ^ last[7], inverter.o[:7] ^ self.i[1:])),
            self.o.eq(inverter.o),
        ]
        return m


def stimulus(cycles):
    rng = np.random.default_rng(1)
    rows = np.zeros((cycles, 4), np.uint32)  # payload, valid, take
    rows[:, :2] = rng.integers(0, (1 << 32, 2), (cycles, 2))
    rows[:, 2:] = rng.integers(0, 2, (cycles, 2))
    return rows


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEUPIMS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.mark.parametrize("early", [False, True])
def test_outputs_equal_those_of_the_reference_in_every_cycle(early):
    inputs = stimulus(300)
    design = CompiledDesign(Mixer, early)
    np.testing.assert_array_equal(design.replay(inputs), replay(Mixer(early), inputs))
    assert design.cycles == 300


def test_a_design_that_does_not_settle_at_once_equals_the_reference():
    assert "SINGLE_PHASE" not in cpp(convert(Twist()))
    assert "SINGLE_PHASE" in cpp(convert(Mixer(True)))
    inputs = stimulus(300)[:, :1] & 0xFF
    design = CompiledDesign(Twist)
    np.testing.assert_array_equal(design.replay(inputs), replay(Twist(), inputs))


def test_recorded_testbench_is_repeated(simulate):
    dut = Mixer(True)
    recorder = Recorder(dut)

    async def bench(ctx):
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.i.payload, 5)
        await ctx.tick().repeat(4)
        ctx.set(dut.take, 1)
        await ctx.tick().repeat(10)

    simulate(dut, bench, background=[recorder.run])
    design = CompiledDesign(dut)
    assert len(recorder.inputs) == 14
    np.testing.assert_array_equal(design.replay(recorder.inputs), recorder.outputs)


def test_ports_by_name():
    design = CompiledDesign(Mixer, True)
    design["i__valid"] = 1
    design["i__payload"] = 1 << 32 | 3
    assert design["level"] == 0
    design.step(3)
    assert design["level"] == 3
    assert design["o__valid"] == 0
    design["take"] = 1
    assert design["o__valid"] == 1
    assert design["o__payload"] == 1 << 32 | 3
    assert design["marks"] == 3


def test_reset_is_power_up():
    design = CompiledDesign(Mixer, True)
    design["i__valid"] = 1
    design["i__payload"] = 1
    design.step(2)
    design.reset()
    assert design.cycles == 0
    assert design["level"] == 0
    assert design.memory("items").tolist() == [[7, 0], *[[0, 0]] * 7]


def test_memories_are_read_and_written_in_place():
    design = CompiledDesign(Mixer, True)
    assert design.memories == ["items"]
    items = design.memory("items")
    items[0] = [11, 1]
    assert design["o__payload"] == 1 << 32 | 11
    design["i__valid"] = 1
    design["i__payload"] = 12
    design.step()
    assert items[0].tolist() == [12, 0]
    with pytest.raises(KeyError, match=r"^'level'$"):
        design.memory("level")


def test_a_design_without_a_clock_settles():
    design = CompiledDesign(Inverter, 40)
    design["i"] = 5
    assert design["o"] == (1 << 40) - 6
    inputs = pack(design.inputs, [[1], [1 << 39]])
    np.testing.assert_array_equal(design.replay(inputs), replay(Inverter(40), inputs))


def test_values_that_do_not_fit_are_rejected():
    design = CompiledDesign(Inverter, 40)
    with pytest.raises(ValueError, match=r"^i must be an input of at least 41 bits, not Port"):
        design["i"] = 1 << 40
    with pytest.raises(ValueError, match=r"^o must be an input of at least 1 bits, not Port"):
        design["o"] = 1
    with pytest.raises(ValueError, match=r"^inputs must be of shape \[cycles, 2\], not \(3, 1\)$"):
        design.replay(np.zeros((3, 1)))
    with pytest.raises(ValueError, match=r"^arguments must have a lasting representation, not "):
        CompiledDesign(Sum, object())


def test_a_build_found_needs_no_elaboration(monkeypatch):
    CompiledDesign(Inverter, 40)
    monkeypatch.setattr(Inverter, "elaborate", None)
    lines = []
    CompiledDesign(Inverter, 40, announce=lines.append)
    assert lines == []


def test_columns_of_a_trace():
    design = CompiledDesign(Mixer, True)
    columns, words = trace_columns(design.inputs)
    assert columns == {"i__payload": slice(0, 2), "i__valid": slice(2, 3), "take": slice(3, 4)}
    assert words == 4


def test_a_long_run_hears_an_interrupt():
    script = textwrap.dedent(f"""
        import signal, sys
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
        sys.path[:0] = {sys.path!r}
        from amaranth.hdl import *
        from amaranth.lib import wiring
        from amaranth.lib.wiring import Out
        from sim.engine.cxxrtl import CompiledDesign
        class Counter(wiring.Component):
            o: Out(8)
            def elaborate(self, platform):
                m = Module()
                m.d.sync += self.o.eq(self.o + 1)
                return m
        design = CompiledDesign(Counter())
        print("ready", flush=True)
        design.step(10**15)
    """)
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"ready\n"
        os.kill(process.pid, signal.SIGINT)
        try:
            _output, errors = process.communicate(timeout=2)
        finally:
            process.kill()
    assert errors.rstrip().endswith(b"KeyboardInterrupt")
