"""Sizes of the NPU tile, in numbers worked out by hand."""

import pytest

from hw.presets import PAPER, TINY


@pytest.mark.parametrize(
    ("npu", "chunk", "tile_columns", "weight_tile_bytes"),
    [
        (PAPER.npu, 16, 1024, 256 << 10),
        (TINY.npu, 4, 4, 32),
        (TINY.replace(array_rows=16, arrays=2).npu, 16, 8, 256),
        (TINY.replace(array_rows=32).npu, 16, 4, 256),
    ],
)
def test_sizes_of_the_arrays(npu, chunk, tile_columns, weight_tile_bytes):
    assert npu.chunk == chunk
    assert npu.tile_columns == tile_columns
    assert npu.weight_tile_bytes == weight_tile_bytes


def test_ring_holds_four_weight_tiles_at_least():
    assert TINY.replace(weight_ring_bytes=128).npu.weight_ring_bytes == 128
    message = r"^weight_ring_bytes must hold at least 4 weight tiles of 32 bytes, not 64$"
    with pytest.raises(ValueError, match=message):
        TINY.replace(weight_ring_bytes=64)
