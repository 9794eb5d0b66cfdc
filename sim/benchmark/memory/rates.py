"""Rates of the whole memory channel of ``paper``, each beside the bound that it is held against."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from hw.config import Config
from hw.presets import PAPER
from hw.protocol.tile_length import refresh_stretch, tile_cycles, tile_cycles_on_grid
from sim.benchmark.memory.channel_rates import INTERVALS, Bench, Rates, many_requests, many_tiles
from sim.benchmark.memory.channel_speed import compare_speeds
from sim.benchmark.memory.read_bound import read_bound
from sim.channel.workload import (
    TileShape,
    random_requests,
    random_runs,
    sequential_requests,
    tiles,
)

__all__ = ["Figure", "activation_bound", "figures", "print_figures"]

#: Elements of a head of GPT3-7B (Brown et al. 2020, table 2.1: 32 heads of 128).
D_HEAD = 128


@dataclass(frozen=True, slots=True)
class Figure:
    """A line of the table: what was measured, against what, and whether that is enough."""

    name: str
    measured: str
    bound: str = ""
    required: str = ""
    met: bool | None = None


def activation_bound(config: Config, row_commands: int = 2) -> float:
    """Return the share of the data bus that reads of one burst a row can fill, refresh aside.

    The least of what the four-activate windows, the row slots and the banks (tRC) allow.

    Parameters
    ----------
    row_commands
        Row commands of a row, each a slot of two cycles: ACT and PRE, or ACT alone if the read
        precharges by itself.

    >>> activation_bound(PAPER), round(activation_bound(PAPER, row_commands=1), 3)
    (0.5, 0.533)
    """
    timing = config.memory.timing
    slots = 1 / (2 * row_commands)
    rows = min(config.memory.ranks * 4 / timing.nFAW, slots, config.memory.banks / timing.row_cycle)
    return min(1.0, rows * timing.nBL)


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _at_least(name: str, value: float, bound: str, least: float) -> Figure:
    return Figure(name, _percent(value), bound, f"≥ {_percent(least)}", value >= least)


def _reads_alone(bench: Bench, config: Config) -> Iterator[Figure]:
    """Ordinary requests with an idle PIM side."""
    count, rng = many_requests(config), np.random.default_rng(1)
    served = 1 - config.memory.timing.nRFC / config.memory.timing.nREFI
    rates = bench.measure(config, sequential_requests(config, count))
    bound = f"refresh leaves {_percent(served)}"
    yield _at_least("sequential reads, share of the bus", rates.reads, bound, 0.91)
    allowed = activation_bound(config)
    rates = bench.measure(config, random_requests(config, count, rng))
    yield _at_least(
        "random reads, of what tFAW and row slots allow",
        rates.reads / allowed,
        f"{_percent(rates.reads)} of the bus; {_percent(allowed)} allowed, "
        f"{_percent(allowed * served)} beside refresh",
        0.9,
    )
    for name, make in (
        ("random", random_requests(config, count, rng, 1 / 3)),
        ("sequential", sequential_requests(config, count, 1 / 3)),
    ):
        rates = bench.measure(config, make)
        yield Figure(
            f"2 reads : 1 write, {name}, share of the bus",
            _percent(rates.reads + rates.writes),
            f"reads {_percent(rates.reads)}, writes {_percent(rates.writes)}",
        )


def _tiles_alone(bench: Bench, config: Config) -> Iterator[Figure]:
    """Tiles of GPT3-7B's heads one behind the other, no ordinary request."""
    stretch = refresh_stretch(config)
    for name, shape in _shapes(config).items():
        rates = bench.tiles_alone(config, shape)
        exact = tile_cycles(config, shape.columns)
        grid = tile_cycles_on_grid(config, shape.columns)
        excess = rates.tile / (grid * stretch) - 1
        yield Figure(
            f"{name} tiles alone, cycles a tile",
            f"{rates.tile:.1f}",
            f"{exact} ({exact * stretch:.1f} with refresh); "
            f"on the slot grid {grid} ({grid * stretch:.1f})",
            "≤ 1 % above",
            excess <= 0.01,
        )


def _shapes(config: Config) -> dict[str, TileShape]:
    return {"logit": TileShape.logit(config, D_HEAD), "attend": TileShape.attend(config, D_HEAD)}


def _beside(bench: Bench, config: Config, shape: TileShape) -> tuple[Rates, Rates]:
    """Return the rates of tiles alone and beside sequential reads."""
    requests = sequential_requests(config, many_requests(config))
    both = bench.measure(config, requests, many_tiles(config, shape))
    return bench.tiles_alone(config, shape), both


def _tiles_beside_reads(bench: Bench, config: Config) -> Iterator[Figure]:
    """Both at once, with two row buffers."""
    served = 1 - config.memory.timing.nRFC / config.memory.timing.nREFI
    shapes = _shapes(config)
    for group in (2, 4, 8):
        shapes[f"logit (g = {group})"] = TileShape.logit(config, D_HEAD, group)
    for name, shape in shapes.items():
        alone, both = _beside(bench, config, shape)
        left = both.left_for_reads
        most = min(1.0, read_bound(config, shape) * served / left)
        share, slower = both.reads / left, both.tile / alone.tile - 1
        words = f"{_percent(both.reads)} of the bus; {_percent(left)} left, of which "
        words += f"{_percent(most)} fits between results and commands"
        name = f"{name} tiles and sequential reads"
        yield _at_least(f"{name}, reads' share of what is left", share, words, 0.9)
        yield Figure(f"{name}, PIM slower by", _percent(slower), "", "≤ 1 %", slower <= 0.01)


def _random_reads_beside_tiles(bench: Bench, config: Config) -> Iterator[Figure]:
    """Measure random reads, single bursts and runs, alone and beside logit tiles."""
    shape, count = TileShape.logit(config, D_HEAD), many_requests(config)
    for name, length in (("single bursts", 1), ("runs of 8 bursts", 8)):
        requests = random_runs(config, count, length, np.random.default_rng(6))
        alone = bench.measure(config, requests)
        both = bench.measure(config, requests, many_tiles(config, shape))
        slower = both.tile / bench.tiles_alone(config, shape).tile - 1
        yield Figure(
            f"random reads, {name}, beside logit tiles, share of the bus",
            _percent(both.reads),
            f"alone {_percent(alone.reads)}; PIM slower by {_percent(slower)}",
        )


#: Who may go first with one row buffer.
ORDERS = ("pim_first", "memory_first", "accepted")


def _blocked(bench: Bench, config: Config) -> Iterator[Figure]:
    """One row buffer: who goes first, and what that leaves to the other."""
    shape = TileShape.logit(config, D_HEAD)
    for order in ORDERS:
        blocked = config.replace(row_buffers=1, blocked_order=order)
        alone = bench.tiles_alone(blocked, shape)
        for together in (50, 10):
            requests = sequential_requests(config, many_requests(config))
            both = bench.measure(blocked, requests, many_tiles(blocked, shape, together))
            words = "no two tiles ended in that time"
            if not math.isnan(both.tile):
                words = f"a tile in {both.tile:.0f} cycles, alone {alone.tile:.0f}: "
                words += f"PIM slower by {_percent(both.tile / alone.tile - 1)}"
            name = f"one row buffer, {order}, GEMVs of {together} logit tiles"
            yield Figure(f"{name}: reads' share of the bus", _percent(both.reads), words)


def _same_work(bench: Bench, config: Config) -> Iterator[Figure]:
    """Compare the same work: 200 logit tiles, in GEMVs of 50, and sequential reads beside them."""
    shape, count = TileShape.logit(config, D_HEAD), 200
    for bursts in (78, 256):
        cycles: dict[str, int] = {}
        for order in ("", *ORDERS):
            each = config.replace(row_buffers=1, blocked_order=order) if order else config
            requests = sequential_requests(each, bursts * count)
            cycles[order] = bench.work(each, requests, tiles(each, count, shape, together=50))
        yield Figure(
            f"200 logit tiles and {bursts} bursts a tile, two row buffers, thousand cycles",
            f"{cycles[''] / 1000:.1f}",
        )
        for order in ORDERS:
            yield Figure(
                f"the same, one row buffer, {order}",
                f"{cycles[order] / 1000:.1f}",
                f"{cycles[order] / cycles['']:.2f} × as long",
            )


def _command_bus(bench: Bench, config: Config) -> Iterator[Figure]:
    """How busy the command/address bus is with tiles alone."""
    shape = TileShape.logit(config, D_HEAD)
    rates = bench.tiles_alone(config, shape)
    yield Figure("C/A bus, logit tiles with PIM_GEMV", _percent(rates.commands))
    separate = config.replace(pim_commands="separate")
    alone = bench.tiles_alone(separate, shape)
    yield Figure(
        "C/A bus, the same with PIM_DOTPRODUCT and PIM_RDRESULT",
        _percent(alone.commands),
        f"{shape.columns + shape.results} commands instead of one; {alone.tile:.1f} cycles a tile",
    )


def _grouped_queries(bench: Bench, config: Config) -> Iterator[Figure]:
    """Query heads that share keys: one activation for all of them."""
    periods, formula = {}, {}
    for group in (1, 2, 4, 8):
        shape = TileShape.logit(config, D_HEAD, group)
        periods[group] = bench.tiles_alone(config, shape).tile
        formula[group] = tile_cycles(config, shape.columns)
    for group in (2, 4, 8):
        gain = group * periods[1] / periods[group]
        estimate = group * formula[1] / formula[group]
        yield Figure(
            f"grouped-query attention, g = {group}: gain a query head",
            f"{gain:.2f}",
            f"{estimate:.2f}: {formula[1]} against {formula[group]} cycles",
        )


def _short_tiles(bench: Bench, config: Config) -> Iterator[Figure]:
    """Tiles of few columns beside reads, and where the trade-off begins."""
    timing = config.memory.timing
    room = (config.memory.bank_groups + 1) * timing.nFAW + 4 * timing.nRRDL
    for columns in (8, 16, 24, 32, 48, 64):
        gemvs = -(-columns // config.memory.columns)
        k = columns // gemvs // 4
        shape = TileShape(
            gemvs=gemvs, slots=4, k=k, column_step=k, offset_step=k, read=columns >= 16
        )
        alone, both = _beside(bench, config, shape)
        length = tile_cycles_on_grid(config, columns)
        yield Figure(
            f"tile of {columns} columns ({length} cycles) beside reads",
            f"reads {_percent(both.reads / both.left_for_reads)} of what is left, "
            f"PIM slower by {_percent(both.tile / alone.tile - 1)}",
            f"{length - room:+d} cycles of room",
        )


def _refresh(bench: Bench, config: Config) -> Iterator[Figure]:
    """Refresh while reads and tiles both want all they can get, and over all runs."""
    _alone, both = _beside(bench, config, TileShape.logit(config, D_HEAD))
    timing = config.memory.timing
    yield Figure(
        "refresh, share of time",
        _percent(both.refresh),
        f"tRFC / tREFI = {_percent(timing.nRFC / timing.nREFI)}; of {INTERVALS} refreshes "
        f"{both.owed:g} postponed beyond the end, which all rates are charged with",
    )
    limit = config.controller.postpone * timing.nREFI
    yield Figure(
        "refresh, latest REF after its due time, all runs",
        f"{bench.lateness} cycles",
        "negative if it was pulled in",
        f"≤ {limit}",
        bench.lateness <= limit,
    )
    yield Figure("simulation speed", f"{both.speed:,.0f} cycles/s", "one core, reads and tiles")


def _amaranth(_bench: Bench, config: Config) -> Iterator[Figure]:
    """Compare with Amaranth's simulator: the same channel, the same inputs and cells."""
    speeds = compare_speeds(config, TileShape.logit(config, D_HEAD))
    yield Figure(
        "simulation speed, ratio to Amaranth's simulator",
        f"{speeds.compiled / speeds.amaranth:,.0f} ×",
        f"{speeds.amaranth:.1f} cycles/s, construction ({speeds.construction:.0f} s) not counted",
    )


def figures(console: Console, config: Config = PAPER) -> list[Figure]:
    """Measure everything."""
    bench = Bench(console.print)
    found: list[Figure] = []
    for part in (
        *(_reads_alone, _tiles_alone, _tiles_beside_reads, _random_reads_beside_tiles),
        *(_blocked, _same_work, _command_bus, _grouped_queries),
        *(_short_tiles, _refresh, _amaranth),
    ):
        console.print(f"{(part.__doc__ or '').rstrip('.')} …")
        for figure in part(bench, config):
            console.print(f"  {figure.name}: {figure.measured}")
            found.append(figure)
    return found


def print_figures(console: Console, found: list[Figure], title: str) -> None:
    """Print a table."""
    table = Table(title=title)
    for heading in ("figure", "measured", "bound", "must be", ""):
        table.add_column(heading, overflow="fold")
    for figure in found:
        mark = {None: "", True: "yes", False: "[red]no[/red]"}[figure.met]
        table.add_row(figure.name, figure.measured, figure.bound, figure.required, mark)
    console.print(table)
