"""How many reads fit on the data bus between the results of tiles, cycle by cycle."""

from statistics import harmonic_mean

from hw.config import Config
from hw.protocol.results import result_beats, result_schedule
from hw.protocol.tile_length import tile_cycles_on_grid
from sim.channel.workload import TileShape

__all__ = ["read_bound"]

#: Tiles one behind the other that are looked at (chosen: the ends do not show).
TILES = 8


def _schedule(config: Config, shape: TileShape) -> tuple[set[int], list[set[int]]]:
    """Return the cycles in which PIM_GEMVs issue, and those in which each rank drives results."""
    t, beats = config.memory.timing, result_beats(config)
    opened = (config.memory.bank_groups - 1) * (t.nFAW + t.nFAW % 2) + 2 * (config.memory.ranks - 1)
    first, period = (opened + t.product_delay) | 1, tile_cycles_on_grid(config, shape.columns)
    each = shape.slots * shape.k * t.nCCDL
    issues = {n * period + first + i * each for n in range(TILES) for i in range(shape.gemvs)}
    drives: list[set[int]] = [set() for _ in range(config.memory.ranks)]
    for issue in issues if shape.read else ():
        for start, _end in result_schedule(config, shape.slots, shape.k):
            for rank, cycles in enumerate(drives):
                begin = issue + start + rank * (beats + t.nTURN)
                cycles.update(range(begin, begin + beats))
    return issues, drives


def read_bound(config: Config, shape: TileShape) -> float:
    """Return the largest share of the data bus that sequential reads can have beside tiles.

    Refresh is left aside. Tiles follow each other as fast as the slot grid lets them, and their
    results leave the bus as they do in the hardware, rank after rank. Reads issue in odd cycles
    that no PIM_GEMV takes, rows always open: their data meet no result, and turn-arounds from and
    to results of other ranks are kept. Sequential reads go through one rank after the other and
    take as many bursts from each, so what fits is the harmonic mean of the ranks. (The last rank
    has the worst of it: its data need a turn-around before the next result, which costs a slot.)

    >>> from hw.presets import PAPER
    >>> round(read_bound(PAPER, TileShape.logit(PAPER, 128, group=8)), 3)
    0.632
    """
    t = config.memory.timing
    issues, drives = _schedule(config, shape)
    end = TILES * tile_cycles_on_grid(config, shape.columns)
    shares = []
    for rank in range(config.memory.ranks):
        reads = free = 0
        for cycle in range(1, end, 2):
            data = range(cycle + t.nCL, cycle + t.nCL + t.nBL)
            around = range(data.start - t.nTURN, data.stop + t.nTURN)
            meets = any(
                not cycles.isdisjoint(data if driver == rank else around)
                for driver, cycles in enumerate(drives)
            )
            if cycle >= free and cycle not in issues and not meets:
                reads += 1
                free = cycle + max(t.nBL, t.nCCDL)
        shares.append(reads * t.nBL / end)
    return harmonic_mean(shares)
