"""Plain integers compute what CXXRTL's values, and Amaranth's simulator, do."""

import numpy as np
from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from sim.engine.amaranth import replay
from sim.engine.cxxrtl import CompiledDesign

#: Around the widths of the integers, and some far from them.
WIDTHS = (1, 31, 33, 64, 70)


def results(a, b):
    """Return values of every operator on two values."""
    cut = b[: min(len(b), 7)]
    signed = a.as_signed(), b.as_signed()
    yield from (a + b, a - b, a * b, a & b, a | b, a ^ b, ~a, -a, a << cut, a >> cut)
    yield from (a == b, a != b, a < b, a <= b, a > b, a >= b, a.any(), a.all(), a.bool())
    yield from (x + y for x, y in [signed])
    yield from (x - y for x, y in [signed])
    yield from (x * y for x, y in [signed])
    yield from (signed[0] < signed[1], signed[0] >= signed[1], signed[0] == signed[1])
    yield from (signed[0] >> cut, Mux(a < b, a, b), Cat(a, b, a), a[len(a) // 3 :] ^ b)
    yield from (a.bit_select(cut, min(len(a), 9)), a[0].replicate(70) ^ b, (a + b)[: len(a)])


class Operators(wiring.Component):
    """Every operator on a value of one width and a value of another."""

    def __init__(self, a, b):
        self.count = len(list(results(Signal(a), Signal(b))))
        outputs = {f"o_{i}": Out(145) for i in range(self.count)}
        super().__init__({"a": In(a), "b": In(b), "early": Out(145), **outputs})

    def elaborate(self, platform):
        m = Module()
        held = Signal.like(self.a)
        m.d.sync += held.eq(self.a)
        for place, result in enumerate(results(held, self.b)):
            m.d.sync += getattr(self, f"o_{place}").eq(result)
            m.d.comb += self.early.eq(Cat(held, self.b))
        return m


class Operands(wiring.Component):
    """All pairs of widths at once, so that there is one compilation."""

    def __init__(self):
        self.pairs = [(a, b) for a in WIDTHS for b in (a, 32)]
        ports = {f"o_{place}": Out(180) for place in range(len(self.pairs))}
        super().__init__({"a": In(100), "b": In(100), **ports})

    def elaborate(self, platform):
        m = Module()
        for place, (a, b) in enumerate(self.pairs):
            operators = Operators(a, b)
            m.submodules[f"operators_{place}"] = operators
            total = Const(0, 180)
            for i in range(operators.count):
                total = total ^ (getattr(operators, f"o_{i}") << i)
            m.d.comb += [
                operators.a.eq(self.a),
                operators.b.eq(self.b),
                getattr(self, f"o_{place}").eq(total + operators.early),
            ]
        return m


def test_every_operator_at_widths_around_those_of_integers(tmp_path, monkeypatch):
    monkeypatch.setenv("NEUPIMS_CACHE", str(tmp_path))
    rng = np.random.default_rng(1)
    inputs = rng.integers(0, 1 << 32, (40, 8), np.uint32)
    kinds = rng.integers(0, 4, inputs.shape)
    inputs[kinds == 0] = 0
    inputs[kinds == 1] = 0xFFFFFFFF
    inputs[:, [3, 7]] &= 0xF
    inputs[30:, 4:] = inputs[30:, :4]  # equal
    found = CompiledDesign(Operands).replay(inputs)
    np.testing.assert_array_equal(found, replay(Operands(), inputs))
