"""Sizes of a memory, in numbers worked out by hand."""

import pytest

from hw.presets import PAPER, TINY

RANKS = TINY.replace(ranks=4, bank_groups=2, rows=8).memory
NAMES = ("banks_per_rank", "banks", "groups", "columns", "burst_bytes", "bursts")
NAMES += ("page_bytes", "channel_bytes")


@pytest.mark.parametrize(
    ("memory", "sizes"),
    [
        (PAPER.memory, (16, 32, 8, 32, 64, 16, 32 << 10, 1 << 30)),
        (TINY.memory, (4, 4, 1, 16, 16, 8, 512, 512 << 10)),
        (RANKS, (8, 32, 8, 16, 16, 8, 4096, 32768)),
    ],
)
def test_sizes_of_a_memory(memory, sizes):
    assert tuple(getattr(memory, name) for name in NAMES) == sizes


def test_order_of_addresses_is_each_part_once():
    order = ("column", "row", "bank", "rank", "bank_group")
    assert TINY.replace(address_order=list(order)).memory.address_order == order
    message = r"^address_order must be row, rank, bank_group, bank, column, each once, not "
    for wrong in (order[:4], (*order, "row"), (*order[:4], "row"), "row", (*order[:4], "burst")):
        with pytest.raises(ValueError, match=message):
            TINY.replace(address_order=wrong)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": 64}, r"channels must be at most 32, not 64"),
        ({"row_bytes": 8}, r"row_bytes must be a multiple of a burst .*, not 8"),
        ({"bank_groups": 6}, r"bank_groups must be a power of two, not 6"),
    ],
)
def test_impossible_memory_is_rejected(changes, message):
    with pytest.raises(ValueError, match=rf"^{message}$"):
        TINY.replace(**changes)


@pytest.mark.parametrize("changes", [{"channels": 32}, {"column_bytes": 4}, {"row_bytes": 16}])
def test_last_possible_memory_is_taken(changes):
    assert TINY.replace(**changes) != TINY
