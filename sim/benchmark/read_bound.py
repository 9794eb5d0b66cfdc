"""How many reads fit on the data bus between the results of tiles, cycle by cycle."""

from collections import deque

from hw.config import Config
from hw.memory.tile_length import tile_cycles_on_grid
from hw.pim.results import result_beats, result_schedule
from sim.channel_workload import TileShape

__all__ = ["read_bound"]

#: Tiles one behind the other that are looked at (chosen: the ends do not show).
TILES = 8


def _schedule(config: Config, shape: TileShape) -> tuple[set[int], list[set[int]]]:
    """Return the cycles in which PIM_GEMVs issue, and those in which each rank drives results."""
    t, beats = config.timing, result_beats(config)
    opened = (config.bank_groups - 1) * (t.nFAW + t.nFAW % 2) + 2 * (config.ranks - 1)
    first, period = (opened + t.product_delay) | 1, tile_cycles_on_grid(config, shape.columns)
    each = shape.slots * shape.k * t.nCCDL
    issues = {n * period + first + i * each for n in range(TILES) for i in range(shape.gemvs)}
    drives: list[set[int]] = [set() for _ in range(config.ranks)]
    for issue in issues if shape.read else ():
        for start, _end in result_schedule(config, shape.slots, shape.k):
            for rank, cycles in enumerate(drives):
                begin = issue + start + rank * (beats + t.nTURN)
                cycles.update(range(begin, begin + beats))
    return issues, drives


def read_bound(config: Config, shape: TileShape) -> float:
    """Return the largest share of the data bus that reads can have beside tiles, refresh aside.

    Tiles follow each other as fast as the slot grid lets them, and their results leave the bus as
    they do in the hardware. Reads issue in odd cycles that no PIM_GEMV takes, from the rank that
    fits best, rows always open: their data meet no result, and turn-arounds are kept. Of all such
    choices the best is found, so no controller with this grid does better.

    >>> from hw.presets import PAPER
    >>> round(read_bound(PAPER, TileShape.logit(PAPER, 128, group=8)), 3)
    0.686
    """
    t = config.timing
    issues, drives = _schedule(config, shape)
    end = TILES * tile_cycles_on_grid(config, shape.columns)
    same = -(-max(t.nBL, t.nCCDL) // 2)  # slots from a read to the next of its rank
    other = -(-(t.nBL + t.nTURN) // 2)  # and of another rank
    # The most reads so far if the last is of each rank, one entry a slot, the latest first.
    best = deque([[0] * config.ranks] * max(same, other), max(same, other))
    for cycle in range(1, end, 2):
        data = range(cycle + t.nCL, cycle + t.nCL + t.nBL)
        around = range(data.start - t.nTURN, data.stop + t.nTURN)
        now = list(best[0])
        for rank in range(config.ranks):
            meets = any(
                not cycles.isdisjoint(data if driver == rank else around)
                for driver, cycles in enumerate(drives)
            )
            if cycle not in issues and not meets:
                before = [best[(same if last == rank else other) - 1] for last in range(len(now))]
                now[rank] = max(now[rank], *(count[n] + 1 for n, count in enumerate(before)))
        best.appendleft(now)
    return max(best[0]) * t.nBL / end
