"""Sweeps of a memory channel: banks, row and four-activate window, in one picture."""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture

from hw.config import Config
from hw.presets import PAPER
from hw.protocol.tile_length import refresh_stretch, tile_cycles_on_grid
from sim.benchmark.memory.channel_rates import Bench, many_requests, many_tiles
from sim.benchmark.memory.rates import activation_bound
from sim.channel.workload import TileShape, random_requests, sequential_requests

__all__ = ["SWEEPS", "Point", "Sweep", "draw", "measure", "run_sweeps"]

#: Refresh intervals of a run (chosen: many channels, each to be compiled).
INTERVALS = 6


def _with_banks(banks: int) -> Config:
    ranks = max(1, banks // 16)
    return PAPER.replace(ranks=ranks, bank_groups=banks // ranks // 4)


def _with_row(row_bytes: int) -> Config:
    return PAPER.replace(row_bytes=row_bytes)


def _with_window(cycles: int) -> Config:
    return PAPER.replace(timing=replace(PAPER.memory.timing, nFAW=cycles))


@dataclass(frozen=True, slots=True)
class Sweep:
    """One parameter, its values, and the configuration for each."""

    label: str
    values: tuple[int, ...]
    config: Callable[[int], Config]


#: What is swept; the value of ``paper`` is among each.
SWEEPS = (
    Sweep("banks of the channel", (4, 8, 16, 32, 64), _with_banks),
    Sweep("bytes of a row", (256, 512, 1024, 2048), _with_row),
    Sweep("tFAW (cycles)", (15, 30, 60), _with_window),
)


@dataclass(frozen=True, slots=True)
class Point:
    """A channel's rates: tiles of a whole row beside sequential reads, and random reads alone.

    Attributes
    ----------
    tile, tile_bound
        Cycles a tile, and those of the constraints on the slot grid, refresh included.
    reads, random, random_bound
        Shares of the data bus: sequential reads beside tiles, random ones alone, and what windows,
        row slots, banks and refresh allow those.
    """

    tile: float
    tile_bound: float
    reads: float
    random: float
    random_bound: float


def measure(config: Config) -> Point:
    """Measure one channel; it is compiled if it never was."""
    bench = Bench(intervals=INTERVALS)
    columns = config.memory.columns
    shape = TileShape(gemvs=1, slots=1, k=columns, column_step=0, offset_step=0, read=False)
    count = many_requests(config)
    both = bench.measure(config, sequential_requests(config, count), many_tiles(config, shape))
    rng = np.random.default_rng(1)
    alone = bench.measure(config, random_requests(config, count, rng))
    stretch = refresh_stretch(config)
    return Point(
        tile=both.tile,
        tile_bound=tile_cycles_on_grid(config, columns) * stretch,
        reads=both.reads,
        random=alone.reads,
        random_bound=activation_bound(config, row_commands=1) / stretch,
    )


def run_sweeps(announce: Callable[[str], None]) -> list[tuple[Sweep, list[Point]]]:
    """Measure all sweeps, a channel a process; what they share is measured once."""
    configs = {(s, v): s.config(v) for s in SWEEPS for v in s.values}
    known: dict[Config, Point] = {}
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        futures = {pool.submit(measure, config): config for config in set(configs.values())}
        for done, future in enumerate(as_completed(futures), 1):
            config, point = futures[future], future.result()
            known[config] = point
            announce(
                f"{done} of {len(futures)}: {config.memory.banks} banks, "
                f"rows of {config.memory.row_bytes} B, "
                f"tFAW {config.memory.timing.nFAW}: {point.tile:.1f} cycles a tile "
                f"({point.tile_bound:.1f}), reads {point.reads:.3f}, random {point.random:.3f} "
                f"({point.random_bound:.3f})"
            )
    return [(s, [known[configs[s, value]] for value in s.values]) for s in SWEEPS]


def _draw_column(tiles: Axes, shares: Axes, sweep: Sweep, points: list[Point]) -> None:
    """Draw one sweep: cycles a tile above, shares of the data bus below."""
    place = range(len(points))
    tiles.plot(place, [p.tile_bound for p in points], "--", color="0.5", label="constraints")
    tiles.plot(place, [p.tile for p in points], "o", color="tab:orange", label="measured")
    tiles.set_ylim(0, 1.15 * max(p.tile for p in points))
    bounds = [100 * p.random_bound for p in points]
    shares.plot(place, bounds, "--", color="0.5", label="random reads, bound")
    shares.plot(
        *(place, [100 * p.random for p in points], "s"),
        color="tab:green",
        label="random reads alone",
    )
    shares.plot(
        *(place, [100 * p.reads for p in points], "o-"),
        color="tab:blue",
        label="sequential reads beside tiles",
    )
    shares.set_ylim(0, 100)
    shares.set_xlabel(sweep.label)
    shares.set_xticks(list(place), [str(value) for value in sweep.values])
    for axes in (tiles, shares):
        axes.set_xlim(-0.4, len(points) - 0.6)
        axes.grid(axis="y", color="0.9")


def draw(sweeps: list[tuple[Sweep, list[Point]]], folder: Path) -> Path:
    """Draw the picture as memory-sweeps.png; return its path."""
    with mpl.rc_context({"font.size": 10}):
        picture = Picture(figsize=(11, 6.4), layout="constrained")
        axes = picture.subplots(2, len(sweeps), sharex="col", squeeze=False)
        for column, (sweep, points) in enumerate(sweeps):
            _draw_column(axes[0][column], axes[1][column], sweep, points)
        axes[0][0].set_ylabel("cycles a tile, refresh included")
        axes[1][0].set_ylabel("share of the data bus (%)")
        axes[0][-1].legend(loc="lower right")
        axes[1][-1].legend(loc="best", fontsize=8)
        picture.suptitle(
            "A channel of paper, one parameter changed: tiles of a whole row and ordinary reads"
        )
        path = folder / "memory-sweeps.png"
        picture.savefig(path, dpi=150)
    return path
