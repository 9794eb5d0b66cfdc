"""What arrays of all sizes cost to elaborate, and how fast they run compiled."""

import multiprocessing
import resource
import time
from dataclasses import dataclass

import numpy as np

from hw.export.rtlil import convert
from hw.npu.systolic_array import SystolicArray
from sim.engine.cxxrtl import CompiledDesign
from sim.engine.trace import trace_columns

__all__ = ["Elaboration", "compiled_speed", "elaborate"]

#: Seconds of processor time for which a compiled array runs (chosen).
_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Elaboration:
    """What the conversion of a square array to a netlist takes.

    Attributes
    ----------
    size
        Rows, and columns.
    seconds
        Processor time.
    peak_bytes
        Memory of the process at its peak.
    modules, netlist_bytes
        Distinct modules, and the length of their text.
    """

    size: int
    seconds: float
    peak_bytes: int
    modules: int
    netlist_bytes: int


def _elaborate(size: int) -> Elaboration:
    start = time.process_time()
    text = convert(SystolicArray(size, size))
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
    return Elaboration(size, seconds, peak, text.count("\nmodule "), len(text))


def elaborate(size: int) -> Elaboration:
    """Convert an array in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_elaborate, (size,))


def compiled_speed(size: int) -> tuple[float, float]:
    """Compile an array and run it on random inputs.

    Returns
    -------
    Seconds of the compilation (short if the build cache has it), and cycles a second of processor
    time.
    """
    start = time.perf_counter()
    design = CompiledDesign(SystolicArray, size, size)
    seconds = time.perf_counter() - start
    rng = np.random.default_rng(0)
    columns, width = trace_columns(design.inputs)
    inputs = rng.integers(0, 2**32, (64, width), dtype=np.uint32)
    for port in design.inputs:
        last = columns[port.name].stop - 1
        inputs[:, last] &= (1 << ((port.width - 1) % 32 + 1)) - 1
    cycles, begin = 0, time.process_time()
    while (spent := time.process_time() - begin) < _SECONDS:
        design.replay(inputs)
        cycles += len(inputs)
    return seconds, cycles / spent
