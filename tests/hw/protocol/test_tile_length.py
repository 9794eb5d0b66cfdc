from dataclasses import replace

import pytest

from hw.presets import AIM, HBM3, PAPER, TINY
from hw.protocol.tile_length import refresh_stretch, tile_cycles, tile_cycles_on_grid


def test_tiles_of_paper_are_as_long_as_its_constraints_add_up_to():
    opened = 3 * 30 + 1
    assert tile_cycles(PAPER, 32) == opened + 14 + 31 * 2 + 6 + 14 == 187
    assert tile_cycles(PAPER, 1) == opened + 34 + 14
    assert tile_cycles_on_grid(PAPER, 32) == 190
    assert round(tile_cycles_on_grid(PAPER, 32) * refresh_stretch(PAPER), 1) == 203.6


def test_row_that_opens_later_for_products_makes_a_tile_longer():
    slow = PAPER.replace(timing=replace(PAPER.memory.timing, nRCDMAC=28))
    assert tile_cycles(slow, 32) == tile_cycles(PAPER, 32) + 14
    assert tile_cycles_on_grid(slow, 32) == tile_cycles_on_grid(PAPER, 32) + 14


@pytest.mark.parametrize("config", [PAPER, TINY, HBM3, AIM], ids=lambda config: config.name)
@pytest.mark.parametrize("columns", [1, 8, 32])
def test_slot_grid_costs_at_most_a_cycle_for_each_row_command(config, columns):
    exact, grid = tile_cycles(config, columns), tile_cycles_on_grid(config, columns)
    assert exact <= grid <= exact + config.memory.groups + 3
