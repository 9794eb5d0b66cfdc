"""What follows from a configuration's parts, in numbers worked out by hand."""

import pytest

from hw.config import ChannelConfig, DieConfig, TileConfig
from hw.config.config import PARTS, part_of
from hw.presets import PAPER, TINY

#: Eight banks, a channel of which drives 32 bytes for a slot, in bursts of 64: half of one.
HALF = TINY.replace(bank_groups=2, column_bytes=32, row_bytes=512)
#: 4 ranks of 2 groups of 4 banks: 32 banks.
RANKS = TINY.replace(ranks=4, bank_groups=2)


@pytest.mark.parametrize(
    ("config", "lanes", "vector_columns", "result_bytes", "result_bursts"),
    [
        (PAPER, 16, 256, 128, 2),
        (TINY, 4, 64, 16, 1),
        (HALF, 16, 64, 32, 1),
        (RANKS, 4, 64, 128, 8),
    ],
)
def test_sizes_that_follow_from_memory_and_pim(
    config, lanes, vector_columns, result_bytes, result_bursts
):
    for part in (config, config.channel, config.channel.die, config.tile):
        assert part.mac_lanes == lanes
        assert part.vector_columns == vector_columns
        assert part.result_bytes == result_bytes
        assert part.result_bursts == result_bursts


def test_part_of_the_machine_sees_its_own_fields_alone():
    seen = {
        kind: {name for name in PARTS if hasattr(part, name)}
        for kind, part in (
            (DieConfig, TINY.channel.die),
            (ChannelConfig, TINY.channel),
            (TileConfig, TINY.tile),
        )
    }
    assert seen == {
        DieConfig: {"memory", "pim"},
        ChannelConfig: {"memory", "pim", "controller"},
        TileConfig: {"memory", "pim", "npu"},
    }
    assert type(TINY.channel) is ChannelConfig
    assert type(TINY.channel.die) is DieConfig
    assert type(TINY.tile) is TileConfig


def test_field_is_replaced_in_its_part_and_nowhere_else():
    changed = TINY.replace(lanes=8, link_cycles=5, rows=16, memory=PAPER.memory)
    assert changed.npu == TINY.replace(lanes=8).npu
    assert (changed.npu.lanes, changed.link.link_cycles, changed.memory.rows) == (8, 5, 16)
    assert changed.memory.ranks == PAPER.memory.ranks
    assert (changed.pim, changed.controller, changed.name) == (TINY.pim, TINY.controller, "tiny")
    with pytest.raises(TypeError, match=r"^lane must be a field of a configuration's parts$"):
        TINY.replace(lane=8)


def test_field_names_its_part():
    assert [part_of(name) for name in ("rows", "slots", "age", "lanes", "link_cycles", "name")] == [
        *("memory", "pim", "controller", "npu", "link"),
        None,
    ]
