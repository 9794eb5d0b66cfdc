"""Which heads share rows, tiles and head groups; where their columns are."""

from dataclasses import replace

import numpy as np
import pytest

from hw.presets import PAPER, TINY
from scheduler.compiler.attention.kv_geometry import HeadPiece, KvGeometry
from scheduler.compiler.dense.qkv_layout import QkvLayout
from scheduler.models.catalog import CATALOG

GPT = CATALOG["tiny-gpt"].shape
LLAMA = CATALOG["tiny-llama"].shape
#: GPT3-7B on four devices, and a model of its width whose query heads share KV heads by four.
WIDE = replace(CATALOG["gpt3-7b"].shape, heads=8, kv_heads=8)
SHARED = replace(WIDE, heads=32, kv_heads=8)


@pytest.mark.parametrize(
    ("config", "shape", "rows", "tiles", "group"),
    [
        (TINY, GPT, (4, 2), (4, 2), 2),
        (TINY, LLAMA, (2, 2), (2, 1), 1),
        (TINY.replace(bank_groups=2), LLAMA, (2, 2), (2, 2), 2),
        (PAPER, WIDE, (4, 4), (4, 4), 4),
        (PAPER, SHARED, (4, 4), (4, 1), 1),
    ],
)
def test_heads_of_rows_tiles_and_groups(config, shape, rows, tiles, group):
    geometry = KvGeometry.of(config, shape)
    assert (geometry.k_heads, geometry.v_heads) == rows
    assert (geometry.k_tile_heads, geometry.v_tile_heads) == tiles
    assert geometry.group_heads == group
    # slots and vector buffer hold what a tile needs
    queries = shape.query_group
    assert tiles[0] * queries <= config.pim.slots
    assert tiles[1] * queries * geometry.v_groups <= config.pim.slots
    assert tiles[0] * queries * shape.d_head // config.mac_lanes <= config.vector_columns


def test_pieces_are_of_one_row_and_one_tile():
    geometry = KvGeometry.of(PAPER, SHARED)
    assert list(geometry.k_pieces(range(8))) == [
        HeadPiece(0, 0, range(4)),
        HeadPiece(1, 0, range(4, 8)),
    ]
    assert list(geometry.v_pieces(range(3, 6))) == [
        HeadPiece(0, 3, range(3, 4)),
        HeadPiece(1, 0, range(4, 5)),
        HeadPiece(1, 1, range(5, 6)),
    ]
    assert geometry.groups(8) == [range(h, h + 1) for h in range(8)]


@pytest.mark.parametrize(
    ("config", "shape", "message"),
    [
        (TINY, replace(LLAMA, kv_heads=1), r"slots must be at least 16 .*, not 8"),
        (TINY, replace(GPT, d_head=12), r"d_head must be a multiple of a burst \(8\) .*, not 12"),
        (
            TINY.replace(slots=16, vector_buffer_rows=1),
            replace(LLAMA, heads=4, kv_heads=1, d_head=32),
            r"slots must be at least 32 .*, not 16",
        ),
        (
            TINY.replace(slots=64, vector_buffer_rows=1, bank_groups=2),
            replace(LLAMA, heads=4, kv_heads=1, d_head=32),
            r"vector_buffer_rows must hold .*, 32 columns, not 16",
        ),
    ],
)
def test_what_has_no_room_is_refused(config, shape, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        KvGeometry.of(config, shape)


@pytest.mark.parametrize("shape", [GPT, LLAMA, WIDE, SHARED])
@pytest.mark.parametrize("group", [1, 2])
def test_columns_of_qkv_are_where_the_layout_says(shape, group):
    layout = QkvLayout(shape, group)
    order = layout.order()
    assert sorted(order.tolist()) == list(range(shape.d_qkv))
    d_head, sharing = shape.d_head, shape.query_group
    for head in range(shape.kv_heads):
        key, query = layout.key_column(head), layout.query_column(head)
        first = shape.d_query + head * d_head
        np.testing.assert_array_equal(order[key : key + d_head], np.arange(first, first + d_head))
        count, first = sharing * d_head, head * sharing * d_head
        np.testing.assert_array_equal(order[query : query + count], np.arange(first, first + count))
    assert layout.ends[-1] == shape.d_qkv
    assert layout.ends[-2] == layout.value_column
