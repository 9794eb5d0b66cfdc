"""Equal modules become one."""

import re

from amaranth.hdl import *
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hw.export.rtlil import convert


class Counter(wiring.Component):
    """Adds ``i`` times ``factor`` in every cycle."""

    i: In(8)
    o: Out(8)

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.o.eq(self.o + self.i * self.factor)
        return m


class Chain(wiring.Component):
    """Counters one after the other, and a memory."""

    i: In(8)
    o: Out(8)

    def __init__(self, *factors, init=()):
        super().__init__()
        self.factors = factors
        self.init = init

    def elaborate(self, platform):
        m = Module()
        m.submodules.table = table = memory.Memory(shape=8, depth=4, init=self.init)
        port = table.read_port(domain="comb")
        last = self.i
        for index, factor in enumerate(self.factors):
            counter = Counter(factor)
            m.submodules[f"counter_{index}"] = counter
            m.d.comb += counter.i.eq(last)
            last = counter.o
        m.d.comb += [port.addr.eq(last), self.o.eq(last ^ port.data)]
        return m


def modules(rtlil):
    return re.findall(r"^module \\(\S+)", rtlil, re.M)


def test_equal_modules_become_the_first_of_them():
    rtlil = convert(Chain(1, 1, 1))
    assert modules(rtlil) == ["top.counter_0", "top"]
    assert re.findall(r"cell \\(\S+) \\(\S+)", rtlil) == [
        ("top.counter_0", "counter_0"),
        ("top.counter_0", "counter_1"),
        ("top.counter_0", "counter_2"),
    ]


def test_unequal_modules_stay_apart():
    assert modules(convert(Chain(1, 3, 1))) == ["top.counter_0", "top.counter_1", "top"]


def test_parents_of_equal_modules_become_one():
    m = Module()
    m.submodules.a = a = Chain(1, 1)
    m.submodules.b = b = Chain(1, 1)
    pair = type("Pair", (wiring.Component,), {"elaborate": lambda self, platform: m})(
        {"i": In(8), "o": Out(8)}
    )
    m.d.comb += [a.i.eq(pair.i), b.i.eq(a.o), pair.o.eq(b.o)]
    assert modules(convert(pair)) == ["top.a.counter_0", "top.a", "top"]


def test_memories_of_zeros_have_no_initial_contents():
    assert "$meminit" not in convert(Chain(1))
    assert "$meminit" in convert(Chain(1, init=[0, 0, 1, 0]))


def test_the_same_design_gives_the_same_text():
    assert convert(Chain(1, 3)) == convert(Chain(1, 3))
