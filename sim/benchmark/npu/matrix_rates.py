"""Rates of the matrix unit, measured on its RTL under Amaranth's simulator."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from amaranth.sim._async import SimulatorContext

from hw.config import Config
from hw.npu.matrix.unit import MatrixUnit
from hw.presets import TINY
from sim.engine.amaranth import simulator

__all__ = [
    "Shape",
    "gemm_cycles",
    "scale_sim_cycles",
    "scale_sim_formula",
    "shaped",
    "utilisation",
]


@dataclass(frozen=True, slots=True)
class Shape:
    """A GEMM: ``m`` rows of ``k`` activations times ``k`` rows of ``n`` weights."""

    m: int
    k: int
    n: int

    def tiles(self, config: Config) -> int:
        """Return its weight tiles."""
        return -(-self.k // config.npu.array_rows) * -(-self.n // config.npu.tile_columns)


def shaped(rows: int, columns: int, arrays: int = 1) -> Config:
    """Return a small configuration with arrays of a size, whose lanes bring a weight row a cycle.

    >>> shaped(8, 4).npu.weight_tile_bytes
    64
    """
    row_bytes = 2 * columns * arrays
    channels = max(1, row_bytes // TINY.memory.burst_bytes)
    tile = rows * row_bytes
    return TINY.replace(
        name=f"{rows} × {columns} × {arrays}",
        channels=channels,
        array_rows=rows,
        array_columns=columns,
        arrays=arrays,
        weight_ring_bytes=max(4 * tile, channels * TINY.memory.burst_bytes),
        accumulator_rows=64,
    )


def gemm_cycles(config: Config, tiles: int, m: int) -> list[int]:
    """Run GEMMs of ``m`` rows that follow one another, all weights at hand.

    Returns
    -------
    The cycle of each GEMM's completion, from that in which the first WEIGHTS is taken.
    """
    unit = MatrixUnit(config)
    sim = simulator(unit)
    found: list[int] = []

    async def weights(ctx: SimulatorContext) -> None:
        ctx.set(unit.i_weights.valid, 1)
        for _ in range(tiles):
            await ctx.tick().until(unit.i_weights.ready)
        ctx.set(unit.i_weights.valid, 0)

    async def gemms(ctx: SimulatorContext) -> None:
        await ctx.tick()  # one instruction a cycle is taken
        ctx.set(unit.i_gemm.payload.rows, m)
        for tile in range(tiles):
            ctx.set(unit.i_gemm.payload.accumulate, tile > 0)
            ctx.set(unit.i_gemm.valid, 1)
            await ctx.tick().until(unit.i_gemm.ready)
        ctx.set(unit.i_gemm.valid, 0)

    async def watch(ctx: SimulatorContext) -> None:
        cycle = 0
        while len(found) < tiles:
            (done,) = (await ctx.tick().sample(unit.done_gemm))[2:]
            if done:
                found.append(cycle)
            cycle += 1

    for background in (weights, gemms):
        sim.add_testbench(background, background=True)
    sim.add_testbench(watch)
    sim.run()
    return found


def utilisation(config: Config, rows: Iterator[int], tiles: int = 5) -> Iterator[tuple[int, ...]]:
    """Yield for each number of rows: it, the period measured, its formula, cycles lost to it."""
    for m in rows:
        steps = np.diff(gemm_cycles(config, tiles, m))
        formula = MatrixUnit.period_of(config, m)
        yield m, int(steps.max()), formula, int((steps - formula).sum())


def scale_sim_formula(config: Config, shape: Shape) -> int:
    """Return the cycles of SCALE-Sim's weight-stationary array without stalls.

    Each weight tile takes 2 · rows + columns + M - 2 cycles, one after the other (Samajdar et al.,
    "SCALE-Sim: Systolic CNN Accelerator Simulator", 2018).

    >>> scale_sim_formula(shaped(4, 4), Shape(8, 8, 8))
    72
    """
    rows, columns = config.npu.array_rows, config.npu.tile_columns
    return (2 * rows + columns + shape.m - 2) * shape.tiles(config)


def scale_sim_cycles(config: Config, shape: Shape) -> int | None:
    """Return the cycles that SCALE-Sim itself counts; None if it is not installed.

    It is the length of the demand matrices of its compute model: cycles without memory stalls.
    """
    try:
        from scalesim.compute.systolic_compute_ws import systolic_compute_ws
        from scalesim.scale_config import scale_config
    except ImportError:
        return None
    settings = scale_config()
    settings.array_rows, settings.array_cols = config.npu.array_rows, config.npu.tile_columns
    settings.valid_conf_flag = True
    compute = systolic_compute_ws()
    addresses = np.arange(shape.m * shape.k + shape.k * shape.n + shape.m * shape.n)
    a, w, o = np.split(addresses, np.cumsum([shape.m * shape.k, shape.k * shape.n]))
    compute.set_params(
        config_obj=settings,
        ifmap_op_mat=a.reshape(shape.m, shape.k),
        filter_op_mat=w.reshape(shape.k, shape.n),
        ofmap_op_mat=o.reshape(shape.m, shape.n),
    )
    return len(compute.get_demand_matrices()[0])
