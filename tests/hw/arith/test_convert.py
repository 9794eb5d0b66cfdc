import numpy as np
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from hw.arith import bf16
from hw.arith.binary32 import Binary32
from hw.arith.convert import ToBF16, widen


class Widen(wiring.Component):
    a: In(bf16.BF16)
    o: Out(Binary32)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(widen(self.a))
        return m


def test_rounding_equals_the_golden_model(stream, corners):
    rng = np.random.default_rng(0)
    upper = np.repeat(np.append(corners >> 16, rng.integers(0, 2**16, 200, dtype=np.uint32)), 5)
    a = upper << 16 | np.resize(np.array([0, 1, 0x7FFF, 0x8000, 0x8001], np.uint32), len(upper))
    np.testing.assert_array_equal(stream(ToBF16(), a=a), bf16.to_bits(a.view(np.float32)))


def test_widening_equals_the_golden_model(corners):
    dut = Widen()
    random = np.random.default_rng(0).integers(0, 2**16, 1000, dtype=np.uint16)
    a = np.append((corners >> 16).astype(np.uint16), random)
    want = bf16.from_bits(a).view(np.uint32)

    async def bench(ctx):
        for x, w in zip(a.tolist(), want.tolist(), strict=True):
            ctx.set(dut.a.as_value(), x)
            assert ctx.get(dut.o.as_value()) == w, f"{x:#06x}"

    simulator = Simulator(dut)
    simulator.add_testbench(bench)
    simulator.run()


def test_a_result_leaves_after_the_latency(measure_latency):
    assert measure_latency(ToBF16(), a=0x3F800000) == ToBF16.latency
