from dataclasses import replace

import pytest

from hw.controller.refresh import longest_tile
from hw.presets import AIM, HBM3, PAPER, TINY
from hw.protocol.results import result_cycles
from hw.protocol.tile_length import (
    bursts_ahead,
    bursts_ahead_cycles,
    refresh_stretch,
    tile_cycles,
    tile_cycles_on_grid,
)


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


def test_bursts_ahead_fill_the_window_behind_a_turn_of_the_bus():
    # 14 cycles from the last read, then one each second cycle, of 30 until the next activation
    assert bursts_ahead(PAPER) == (30 - 14) // 2
    assert bursts_ahead(PAPER.replace(timing=replace(PAPER.memory.timing, nFAW=40))) == 13
    assert bursts_ahead(AIM) == 1  # the bus turns more slowly than the window passes
    assert bursts_ahead(TINY) == bursts_ahead_cycles(TINY) == 0
    assert bursts_ahead_cycles(PAPER) == 3 * 8 * (14 + 4 + 2 + 8 + 4)


@pytest.mark.parametrize("config", [PAPER, HBM3, AIM], ids=lambda config: config.name)
def test_a_tile_that_uses_everything_stays_below_the_longest_with_its_bursts(config):
    # all columns of a row for as many query heads as there are slots, and a result of each
    products = config.memory.columns * config.pim.slots
    results = config.pim.slots * (result_cycles(config) + config.memory.timing.nTURN)
    whole = tile_cycles(config, products) + results
    assert whole + bursts_ahead_cycles(config) < longest_tile(config)
