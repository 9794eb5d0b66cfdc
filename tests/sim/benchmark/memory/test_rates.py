"""The benchmark of the memory side: its bounds, and the page that it writes."""

from dataclasses import replace

import numpy as np
import pytest

from hw.controller.pim.result_windows import check_result_latency
from hw.controller.refresh import longest_tile
from hw.die.column_path import check_timing
from hw.die.mac_unit import check_partial_sums
from hw.presets import PAPER, TINY
from hw.protocol.results import result_schedule
from hw.protocol.tile_length import tile_cycles_on_grid
from sim.benchmark.memory.channel_rates import Bench
from sim.benchmark.memory.page import page
from sim.benchmark.memory.rates import Figure
from sim.benchmark.memory.read_bound import TILES, read_bound
from sim.benchmark.memory.starvation import Line, Waits
from sim.benchmark.memory.sweeps import SWEEPS, Point, draw
from sim.channel.workload import TileShape, sequential_requests, tiles


def shape_of(slots, k, read):
    return TileShape(gemvs=1, slots=slots, k=k, column_step=k, offset_step=k, read=read)


def earliest_first(config, shape):
    """Return the same for one rank: taking each slot that is free is the best choice then."""
    t = config.memory.timing
    period = tile_cycles_on_grid(config, shape.columns)
    first = ((config.memory.bank_groups - 1) * t.nFAW + t.product_delay) | 1
    busy = np.zeros((TILES + 2) * period, bool)
    taken, reads = set(), 0
    for tile in range(TILES):
        taken.add(tile * period + first)
        for start, end in result_schedule(config, shape.slots, shape.k) if shape.read else ():
            busy[tile * period + first + start : tile * period + first + end] = True
    for cycle in range(1, TILES * period, 2):
        data = slice(cycle + t.nCL, cycle + t.nCL + t.nBL)
        if cycle not in taken and not busy[data].any():
            busy[data] = True
            reads += 1
    return reads * t.nBL / (TILES * period)


@pytest.mark.parametrize(("slots", "k"), [(1, 16), (4, 4), (8, 1), (3, 5)])
@pytest.mark.parametrize("read", [False, True])
def test_bound_of_reads_in_one_rank_is_that_of_the_earliest_first(slots, k, read):
    shape = shape_of(slots, k, read)
    assert read_bound(TINY, shape) == pytest.approx(earliest_first(TINY, shape))


def test_turn_arounds_between_ranks_lower_the_bound():
    shape = TileShape.logit(PAPER, 128, group=8)
    slow = PAPER.replace(timing=replace(PAPER.memory.timing, nTURN=2))
    assert read_bound(slow, shape) < read_bound(PAPER, shape)


def test_reads_beside_tiles_keep_their_bound():
    config = TINY.replace(timing=replace(TINY.memory.timing, nREFI=4000))
    shape = shape_of(4, 4, True)
    bench = Bench(intervals=4)
    count = 4 * config.memory.timing.nREFI
    both = bench.measure(config, sequential_requests(config, count), tiles(config, 400, shape))
    assert 0.5 * both.left_for_reads < both.reads <= read_bound(config, shape)
    assert bench.lateness == both.lateness


def test_page_has_every_figure_and_wait():
    figures = [
        Figure("sequential reads", "92.6 %", "93.3 % left", "≥ 91 %", True),
        Figure("PIM slower by", "1.2 %", "", "≤ 1 %", False),
        Figure("simulation speed", "9 cycles/s"),
    ]
    waits, oldest, bound = Waits(1234, 5, 6, 0), Waits(800, 4, 3, 0), Waits(900, 901, 902, 903)
    text = page(figures, [Line("conflicts", 2, waits, oldest, bound)])
    assert "| sequential reads | 92.6 % | 93.3 % left | ≥ 91 % | yes |" in text
    assert "| PIM slower by | 1.2 % |  | ≤ 1 % | **no** |" in text
    assert "| simulation speed | 9 cycles/s |  |  |  |" in text
    assert "| conflicts | 2 | 1,234; 800 of 900 | 5; 4 of 901 | 6; 3 of 902 | – |" in text
    assert "](memory-sweeps.png)" in text


def test_line_says_whether_the_bound_is_kept():
    far, bound = Waits(99, 99, 99, 99), Waits(4, 5, 6, 7)
    assert Line("any", 1, far, Waits(4, 5, 6, 7), bound).kept
    for kind in ("read", "write", "tile", "vector"):
        assert not Line("any", 1, far, replace(bound, **{kind: 8}), bound).kept


@pytest.mark.parametrize(
    "config", [sweep.config(value) for sweep in SWEEPS for value in sweep.values]
)
def test_every_channel_of_the_sweeps_can_be_built(config):
    for check in (longest_tile, check_timing, check_partial_sums, check_result_latency):
        check(config)


def test_sweeps_become_one_picture(tmp_path):
    sweeps = [(s, [Point(200.0, 190.0, 0.8, 0.4, 0.5)] * len(s.values)) for s in SWEEPS]
    path = draw(sweeps, tmp_path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [entry.name for entry in tmp_path.iterdir()] == ["memory-sweeps.png"]
