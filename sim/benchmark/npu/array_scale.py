"""What arrays of all sizes cost to elaborate, to export and to compile, and how fast they run."""

import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from hw.export.emit import verilog
from hw.export.rtlil import convert
from hw.npu.matrix.systolic_array import SystolicArray
from sim.benchmark.npu.matrix_rates import shaped
from sim.engine.cxxrtl import CompiledDesign
from sim.engine.port_trace import trace_columns

__all__ = ["Compilation", "Cost", "Elaboration", "compile_and_run", "elaborate", "export"]

_Result = TypeVar("_Result")

#: Seconds of processor time for which a compiled array runs (chosen).
_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Cost:
    """What a step took.

    Attributes
    ----------
    seconds
        Processor time, that of programs called (Yosys, the C++ compiler) included.
    peak_bytes
        Memory of the process at its peak, and that of the largest program called at its own.
    """

    seconds: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Elaboration:
    """The conversion of a square array to a netlist.

    Attributes
    ----------
    cost
        What it took.
    modules, netlist_bytes
        Distinct modules, and the length of their text.
    """

    cost: Cost
    modules: int
    netlist_bytes: int


@dataclass(frozen=True, slots=True)
class Compilation:
    """A square array, compiled.

    Attributes
    ----------
    cost
        What it took from the component to the library, elaboration included.
    speed
        Cycles a second of processor time on random inputs.
    """

    cost: Cost
    speed: float


def _cost() -> Cost:
    """Return what this process has taken so far."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = sum(usage.ru_utime + usage.ru_stime for usage in both)
    return Cost(seconds, sum(usage.ru_maxrss for usage in both) * 1024)  # Linux counts in KiB


def _since(before: Cost) -> Cost:
    now = _cost()
    return Cost(now.seconds - before.seconds, now.peak_bytes)


def _apart(work: Callable[[int], _Result], size: int) -> _Result:
    """Run something in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, (size,))


def _elaborate(size: int) -> Elaboration:
    before = _cost()
    text = convert(SystolicArray(size, size))
    return Elaboration(_since(before), text.count("\nmodule "), len(text))


def elaborate(size: int) -> Elaboration:
    """Convert an array to a netlist."""
    return _apart(_elaborate, size)


def _export(size: int) -> Cost:
    before = _cost()
    verilog(shaped(size, size), "systolic_array")
    return _since(before)


def export(size: int) -> Cost:
    """Write an array as Verilog, elaboration included."""
    return _apart(_export, size)


def _compile_and_run(size: int) -> Compilation:
    before = _cost()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NEUPIMS_CACHE"] = folder  # of this process alone
        design = CompiledDesign(SystolicArray, size, size)
    cost = _since(before)
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
    return Compilation(cost, cycles / spent)


def compile_and_run(size: int) -> Compilation:
    """Compile an array, whatever the build cache holds, and run it on random inputs."""
    return _apart(_compile_and_run, size)
