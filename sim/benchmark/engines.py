"""The same designs under both engines, in one run: cycles a second of each, and the ratio."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from amaranth.lib import wiring
from rich.console import Console
from rich.table import Table

from hw.config import Config
from hw.device import Device
from hw.die.bank import Bank
from hw.npu.matrix.systolic_array import SystolicArray
from hw.presets import PAPER, TINY
from sim.engine.amaranth import replay
from sim.engine.cxxrtl import CompiledDesign
from sim.engine.port_trace import trace_columns

__all__ = ["DESIGNS", "Measurement", "compare", "measure"]

#: Seconds of processor time that the compiled engine is measured for (chosen).
_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Design:
    """A design to measure, and the cycles that Amaranth's simulator is measured for."""

    name: str
    make: Callable[[], wiring.Component]
    cycles: int


#: What is measured.
DESIGNS = (
    Design("systolic array, 16 × 16, bf16", lambda: SystolicArray(16, 16), 40),
    Design("bank of paper, two row buffers", lambda: Bank(_short(PAPER)), 400),
    Design("whole device, tiny", lambda: Device(TINY), 40),
)


@dataclass(frozen=True, slots=True)
class Measurement:
    """Cycles a second of processor time under each engine."""

    name: str
    amaranth: float
    compiled: float

    @property
    def ratio(self) -> float:
        """How much faster the compiled engine is."""
        return self.compiled / self.amaranth


def _short(config: Config) -> Config:
    """Return a configuration with fewer rows: Amaranth's simulator holds every cell."""
    return config.replace(rows=64)


def measure(design: Design) -> Measurement:
    """Give a design the same random inputs under both engines; check that it answers the same.

    Raises
    ------
    RuntimeError
        If the engines differ.
    """
    compiled = CompiledDesign(design.make())
    rng = np.random.default_rng(1)
    words = trace_columns(compiled.inputs)[1]
    inputs = rng.integers(0, 2**32, (design.cycles, words), dtype=np.uint32)
    inputs &= _used_bits(compiled)
    start = time.process_time()
    expected = replay(design.make(), inputs)
    amaranth = len(inputs) / (time.process_time() - start)
    if not np.array_equal(compiled.replay(inputs), expected):
        raise RuntimeError(f"the engines differ on {design.name}")
    cycles, start = 0, time.process_time()
    long = np.tile(inputs, (25, 1))
    while (spent := time.process_time() - start) < _SECONDS:
        compiled.replay(long)
        cycles += len(long)
    return Measurement(design.name, amaranth, cycles / spent)


def _used_bits(compiled: CompiledDesign) -> np.ndarray:
    """Return the bits of a row of inputs that belong to ports."""
    masks = []
    for port in compiled.inputs:
        nbytes = 4 * -(-port.width // 32)
        masks.append(np.frombuffer(((1 << port.width) - 1).to_bytes(nbytes, "little"), np.uint32))
    return np.concatenate(masks)


def compare(console: Console) -> list[Measurement]:
    """Measure all designs; print a table."""
    table = Table(title="cycles a second of processor time")
    table.add_column("design")
    for heading in ("Amaranth's simulator", "compiled", "ratio"):
        table.add_column(heading, justify="right")
    found = []
    for design in DESIGNS:
        console.print(f"{design.name} …")
        found.append(measure(design))
        one = found[-1]
        table.add_row(
            one.name, f"{one.amaranth:,.1f}", f"{one.compiled:,.0f}", f"{one.ratio:,.0f} ×"
        )
    console.print(table)
    return found
