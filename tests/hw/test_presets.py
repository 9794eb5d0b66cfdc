import pytest
from amaranth.hdl import Fragment

from hw.controller.controller import Controller
from hw.controller.refresh import longest_tile
from hw.die.bank import Bank
from hw.presets import PRESETS
from hw.protocol.tile_length import tile_cycles


@pytest.mark.parametrize("name", PRESETS)
def test_controller_and_bank_of_a_preset_elaborate(name):
    config = PRESETS[name]
    assert config.name == name
    Fragment.get(Controller(config, 8), None).prepare()
    Fragment.get(Bank(config), None).prepare()


@pytest.mark.parametrize("name", PRESETS)
def test_tile_of_a_preset_fits_between_two_refreshes(name):
    config = PRESETS[name]
    between = config.memory.timing.nREFI - config.memory.timing.nRFC
    assert tile_cycles(config, config.memory.columns) < between  # a row, once
    assert (
        longest_tile(config) < (config.controller.postpone - 1) * between
    )  # all that operands can say


@pytest.mark.parametrize(
    ("name", "bytes_per_channel", "bytes_per_cycle", "multipliers"),
    [
        ("paper", 1 << 30, 32, 16),
        ("hbm3", 1 << 30, 32, 16),
        ("aim", 1 << 29, 32, 16),
    ],
)
def test_sizes_of_a_preset(name, bytes_per_channel, bytes_per_cycle, multipliers):
    config = PRESETS[name]
    assert config.memory.channel_bytes == bytes_per_channel
    assert config.memory.burst_bytes // config.memory.timing.nBL == bytes_per_cycle
    assert config.mac_lanes == multipliers
