"""Fixtures shared by the tests of the RTL."""

from dataclasses import replace
from functools import cache, partial

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


@pytest.fixture(scope="session")
def run_iteration():
    """Run one iteration of eight requests, all at one position, on a compiled device (``tiny``).

    Returns program and result; the values are those of memories that nobody has filled.
    """
    from hw.presets import TINY
    from scheduler.compiler.iteration_program import SubBatch
    from scheduler.host import Host
    from scheduler.models.weights import random_weights
    from scheduler.serving.request import Request
    from sim.devices.compiled_device import RtlDevice

    compiled = cache(RtlDevice)

    @cache
    def run(shape, schedule, position, config=TINY):
        device = compiled(config)
        device.reset()
        host = Host(config, device, random_weights(shape), schedule, check=False)
        for number in range(8):
            host.submit(Request(number, (0,) * (position + 1), 1))
        iteration = host.scheduler.next_iteration()
        parts = iteration.sub_batches
        moved = [tuple(replace(step, position=position) for step in steps) for steps in parts]
        iteration = replace(iteration, sub_batches=tuple(moved))
        program = host.planner.compile(iteration, partial(SubBatch.of, host.weights))
        return program, device.run(program)

    return run
