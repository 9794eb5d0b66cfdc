"""The reference engine: Amaranth's own simulator, whose port traces other engines must repeat."""

import numpy as np
from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.sim import Simulator
from amaranth.sim._async import SimulatorContext

from hw.export.rtlil import port_table
from hw.repeated import ports
from sim.engine.port_trace import pack, unpack

__all__ = ["Recorder", "replay", "simulator"]


def simulator(component: wiring.Component) -> Simulator:
    """Return a simulator of a component, with a clock even if it has no registers."""
    m = Module()
    m.domains.sync = ClockDomain()
    m.submodules.top = component
    sim = Simulator(m)
    sim.add_clock(1e-9)
    return sim


class Recorder:
    """Records the ports of a component: add :meth:`run` to a simulation as background testbench.

    Attributes
    ----------
    inputs, outputs
        Traces so far, ``uint32[cycles, words]``, as :meth:`CompiledDesign.replay` takes them and
        returns them.
    """

    def __init__(self, component: wiring.Component) -> None:
        table = port_table(component)
        values = [Value.cast(value) for value, _output in ports(component).values()]
        self._ports = {out: [p for p in table if p.output is out] for out in (False, True)}
        self._values = [
            value
            for out in (False, True)
            for value, p in zip(values, table, strict=True)
            if p.output is out
        ]
        self._rows: list[tuple[int, ...]] = []

    async def run(self, ctx: SimulatorContext) -> None:
        """Sample all ports at every clock edge, before registers change."""
        samples = ctx.tick().sample(*self._values)
        async for _clock, _reset, *values in samples:  # type: ignore[attr-defined]  # wrong stub
            self._rows.append(values)

    @property
    def inputs(self) -> np.ndarray:
        count = len(self._ports[False])
        return pack(self._ports[False], [row[:count] for row in self._rows])

    @property
    def outputs(self) -> np.ndarray:
        count = len(self._ports[False])
        return pack(self._ports[True], [row[count:] for row in self._rows])


def replay(component: wiring.Component, inputs: np.ndarray) -> np.ndarray:
    """Run one clock cycle for each row of `inputs`; return the outputs, as traces."""
    recorder = Recorder(component)
    signals = [
        Value.cast(value)
        for (value, _output), port in zip(
            ports(component).values(), port_table(component), strict=True
        )
        if not port.output
    ]
    rows = unpack([port for port in port_table(component) if not port.output], inputs)

    async def drive(ctx: SimulatorContext) -> None:
        for row in rows:
            for signal, value in zip(signals, row, strict=True):
                ctx.set(signal, value)
            await ctx.tick()

    sim = simulator(component)
    sim.add_testbench(drive)
    sim.add_testbench(recorder.run, background=True)
    sim.run()
    return recorder.outputs
