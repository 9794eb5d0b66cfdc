"""Fixtures shared by the tests of the RTL."""

import pytest
from amaranth.sim import Simulator


@pytest.fixture
def simulate():
    """Run testbenches on a design until all end; fail after ``deadline`` clock cycles."""

    def run(dut, *testbenches, background=(), deadline=100_000):
        sim = Simulator(dut)
        sim.add_clock(1e-9)
        for testbench in testbenches:
            sim.add_testbench(testbench)
        for monitor in background:
            sim.add_testbench(monitor, background=True)
        for _ in range(2 * deadline):
            if not sim.advance():
                return
        pytest.fail(f"A testbench is still running after {deadline} cycles")

    return run
