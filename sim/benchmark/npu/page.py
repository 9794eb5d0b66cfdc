"""Figures of the NPU tile: ``python -m sim.benchmark npu`` measures them in one run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from hw.npu.matrix.unit import MatrixUnit
from hw.npu.vector.cycles import cycles as vector_cycles
from hw.presets import PAPER, TINY
from hw.program.assembly import assemble
from hw.program.instruction_set import Queue, queue_name
from hw.protocol.commands import Command
from sim.benchmark.npu.accuracy import TRUE, bf16_ulp
from sim.benchmark.npu.array_scale import Cost, compile_and_run, elaborate, export
from sim.benchmark.npu.matrix_rates import (
    Shape,
    gemm_cycles,
    scale_sim_cycles,
    scale_sim_formula,
    shaped,
    utilisation,
)
from sim.benchmark.npu.vector_rates import INSTRUCTIONS, measure
from sim.device import Result
from sim.devices.compiled_device import RtlDevice

__all__ = ["Section", "bus_shares", "markdown", "sections", "weight_stream"]

#: Sizes of arrays that are elaborated and exported.
_SIZES = (4, 8, 16, 32, 64, 128)


@dataclass(frozen=True, slots=True)
class Section:
    """A table: its title, what it says in words, and rows under a head."""

    title: str
    text: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def _utilisation() -> Section:
    rows = []
    for shape in ((4, 4, 1), (8, 8, 1), (8, 4, 2)):
        config = shaped(*shape)
        for m, steps, formula, lost in utilisation(config, iter((1, 4, 5, 8, 16, 32))):
            share = f"{100 * m / steps:.1f} %"
            rows.append((config.name, f"{m}", f"{steps}", f"{formula}", share, f"{lost}"))
    return Section(
        "Systolic array: utilisation against rows",
        "Weight tiles back to back on the RTL of the matrix unit, arrays named by rows × columns × "
        "arrays in lock step. The period from tile to tile is max(M, rows / weight rows a cycle, "
        "accumulator latency + 2); lost are the cycles beyond it, over all tiles.",
        ("array", "M", "period", "formula", "utilisation", "cycles lost"),
        rows,
    )


def _gemms() -> Section:
    rows = []
    for size, shape in (
        ((4, 4), Shape(4, 4, 4)),
        ((4, 4), Shape(8, 12, 8)),
        ((4, 4), Shape(32, 8, 8)),
        ((8, 8), Shape(16, 24, 16)),
        ((8, 4), Shape(12, 16, 12)),
        ((4, 8), Shape(12, 12, 16)),
    ):
        config = shaped(*size)
        tiles = shape.tiles(config)
        ours = gemm_cycles(config, tiles, shape.m)[-1] + 1
        counted, formula = scale_sim_cycles(config, shape), scale_sim_formula(config, shape)
        rows.append(
            (
                f"{size[0]} × {size[1]}",
                f"{shape.m} × {shape.k} × {shape.n}",
                f"{ours}",
                f"{MatrixUnit.period_of(config, shape.m) * tiles}",
                "not installed" if counted is None else f"{counted}",
                f"{formula}",
                f"{formula / ours:.2f} ×",
            )
        )
    return Section(
        "GEMM cycles beside SCALE-Sim",
        "Cycles from the first WEIGHTS to the last row in the accumulators, on the RTL, beside "
        "those of SCALE-Sim 3.0 (weight-stationary, without memory stalls; `pip install -e "
        "'.[compare]'`) and its formula (2 · rows + columns + M - 2) · tiles. SCALE-Sim loads the "
        "weights of a tile, skews its activations in and drains it before the next one begins. "
        "Here weights are double-buffered and their swap travels with the wave, so loading and "
        "draining are hidden behind other tiles, and a row of activations reaches all columns at "
        "once, so there is no skew across them. What one GEMM alone pays in exchange are the "
        "pipeline stages of the arithmetic, which SCALE-Sim takes as one cycle: with one small "
        "tile it is the faster one.",
        ("array", "M × K × N", "ours", "tiles · period", "SCALE-Sim", "its formula", "ratio"),
        rows,
    )


def _vector() -> Section:
    rows = []
    for name, opcode, function in INSTRUCTIONS:
        took, formula = measure(TINY, opcode, function, rows=4, n=32)
        per = []
        for config, n in ((TINY, 1024), (PAPER, 4096)):
            rows_of_all = 16 * config.npu.vector_units
            long = vector_cycles(config, opcode, function=function, rows=rows_of_all, n=n, m=1)
            per.append(f"{long / (16 * n / config.npu.lanes):.3f}")
        rows.append((name, f"{took}", f"{formula}", *per))
    return Section(
        "Vector unit: cycles",
        "Four rows of 32 elements on the RTL of `tiny` (four lanes) beside the formula of "
        "`hw.npu.vector.cycles.cycles`; then, by that formula, cycles per element and lane for "
        "16 rows a unit of 1024 (`tiny`) and of 4096 elements (`paper`, 8 units of 128 lanes).",
        ("instruction", "4 × 32", "formula", "tiny, 16 × 1024", "paper, 16 × 4096"),
        rows,
    )


def _functions() -> Section:
    rows = []
    for function in TRUE:
        error, place = bf16_ulp(function)
        rows.append((function.name, f"{error:.3f}", f"{place:.6g}"))
    return Section(
        "Functions: worst error",
        "In units of the last bfloat16 place, over all bfloat16 inputs, of the golden models that "
        "the RTL equals bit for bit (0.5 is correct rounding). Relative errors over binary32: "
        "`python -m sim.benchmark accuracy` (accuracy.md). What becomes of it in whole models, "
        "layer by layer: `python -m scheduler.report.layer_error` (models.md).",
        ("function", "bf16 ulp", "at"),
        rows,
    )


def weight_stream(tail_step: int | None) -> str:
    """Return a program in text: 24 KB of weights a channel, with loads of tails beside or not.

    Parameters
    ----------
    tail_step
        Bytes of the channel from one tail, a row of a bank, to the next; None loads no tails.
    """
    lines = [".channels 2"]
    for part in range(3):
        lines.append(f"load LOAD address={0x4000 * part:#x} bursts=8 rows=64 stride=128")
    for part in range(0 if tail_step is None else 24):
        lines.append(
            f"tail LOAD address={0x40000 + (tail_step or 0) * part:#x} bursts=8 rows=1 lanes=3 "
            f"lane_address={128 * part:#x}"
        )
    lines += [f"{queue_name(queue)} END" for queue in range(Queue.PIM + TINY.memory.channels)]
    return "\n".join(lines)


def bus_shares(result: Result) -> list[float]:
    """Return for each channel the share of its data bus, from its first read burst to its last."""
    shares = []
    assert result.trace is not None
    for channel in range(TINY.memory.channels):
        mine = result.trace[result.trace["channel"] == channel]
        reads = mine[np.isin(mine["command"], [Command.RD.value, Command.RDA.value])]["cycle"]
        shares.append(float(2 * len(reads) / (int(reads[-1]) + 2 - int(reads[0]))))
    return shares


def _dma() -> Section:
    device = RtlDevice(TINY)
    rows = []
    turn, same = 9 * TINY.memory.row_bytes, 4 * TINY.memory.page_bytes
    for name, step in (
        ("weights alone", None),
        ("tails of all banks in turn beside", turn),
        ("tails of one bank beside", same),
    ):
        device.reset()
        result = device.run(assemble(weight_stream(step)))
        shares = " and ".join(f"{100 * share:.1f} %" for share in bus_shares(result))
        rows.append((name, f"{result.cycles}", shares))
    return Section(
        "DMA: share of the data bus",
        "On the whole device `tiny`, compiled: three LOADs of 512 bursts a channel, with 24 loads "
        "of a DRAM row (8 bursts) in every lane beside them or not; from the first burst of a "
        "channel to its last, both channels at once. The first refresh is due in cycle 3900. "
        "`tiny` has four banks and rows of 8 bursts, so weights alone open a row of each bank "
        "every 64 cycles, and tRC is 48: a tail in a bank that the stream is about to use costs "
        "it that row's time.",
        ("stream", "cycles", "share of the bus, by channel"),
        rows,
    )


def _written(cost: Cost) -> tuple[str, str]:
    """Return seconds and megabytes."""
    return f"{cost.seconds:.1f} s", f"{cost.peak_bytes / 1e6:.0f} MB"


def _scale(largest_compiled: int) -> Section:
    rows = []
    for size in _SIZES:
        one = elaborate(size)
        compiled = ("–", "–", "–")
        if size <= largest_compiled:
            found = compile_and_run(size)
            compiled = (*_written(found.cost), f"{found.speed:,.0f}")
        rows.append(
            (
                f"{size} × {size}",
                *_written(one.cost),
                f"{one.modules}",
                f"{one.netlist_bytes / 1e6:.2f} MB",
                *_written(export(size)),
                *compiled,
            )
        )
    return Section(
        "Size of the array: elaboration, Verilog and compiled speed",
        "Conversion to a netlist, distinct modules and the length of their text; Verilog, "
        "conversion included; C++ compiled from nothing, conversion included; and cycles a second "
        "of processor time of the compiled array on random inputs. Each is made in a process of "
        "its own: processor time with that of Yosys and of the C++ compiler, and peak memory, what "
        "the benchmark imports included and that of the largest of these programs added.",
        (
            "array",
            *("elaboration", "memory", "modules", "netlist"),
            *("Verilog", "memory", "compilation", "memory", "cycles a second"),
        ),
        rows,
    )


def sections(console: Console, largest_compiled: int) -> Iterator[Section]:
    """Measure one table after the other, and print each.

    Parameters
    ----------
    console
        Where to print.
    largest_compiled
        Rows and columns of the largest array that is compiled.
    """
    # The memory of the arrays' processes contains what this one has taken until then.
    measured_first = (_utilisation, _gemms, _vector, _dma)
    for part in (*measured_first, lambda: _scale(largest_compiled), _functions):
        section = part()
        table = Table(title=section.title)
        for number, name in enumerate(section.head):
            table.add_column(name, justify="left" if number == 0 else "right")
        for row in section.rows:
            table.add_row(*row)
        console.print(table)
        yield section


def markdown(found: Sequence[Section], largest_compiled: int) -> str:
    """Return the tables as Markdown."""
    command = f"python -m sim.benchmark npu --largest {largest_compiled} --markdown FILE"
    parts = ["# Figures of the NPU tile", "", f"Made by `{command}`."]
    for section in found:
        parts += ["", f"## {section.title}", "", section.text, ""]
        parts.append(f"| {' | '.join(section.head)} |")
        parts.append("|---" + "|--:" * (len(section.head) - 1) + "|")
        parts += [f"| {' | '.join(row)} |" for row in section.rows]
    return "\n".join(parts)
