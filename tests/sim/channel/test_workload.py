import numpy as np
import pytest

from hw.presets import PAPER, TINY
from hw.protocol.commands import PimOperation, Request
from hw.protocol.tile_length import tile_cycles_on_grid
from sim.channel.workload import TileShape, random_requests, sequential_requests, tiles


def test_sequential_requests_go_along_rows_then_banks_then_rows():
    requests = sequential_requests(PAPER, PAPER.memory.bursts * PAPER.memory.banks + 1)
    assert requests["column"][: PAPER.memory.bursts].tolist() == list(
        range(0, PAPER.memory.columns, 2)
    )
    assert requests["bank"][:: PAPER.memory.bursts].tolist() == [*range(PAPER.memory.banks), 0]
    assert requests["row"][[0, -2, -1]].tolist() == [0, 0, 1]


def test_share_of_writes_is_even():
    requests = random_requests(PAPER, 9, np.random.default_rng(1), 1 / 3)
    read, write = Request.READ.value, Request.WRITE.value
    assert requests["kind"].tolist() == [read, read, write] * 3


@pytest.mark.parametrize(
    ("shape", "columns", "results"),
    [
        (TileShape.logit(PAPER, 128), 32, 4),
        (TileShape.attend(PAPER, 128), 32, 0),
        (TileShape.logit(PAPER, 128, 4), 128, 16),
        (TileShape.logit(TINY, 16), 16, 4),
    ],
)
def test_tiles_of_attention_use_the_whole_row(shape, columns, results):
    assert (shape.columns, shape.results) == (columns, results)


def test_tiles_open_every_group_once_and_close():
    shape = TileShape.attend(PAPER, 128)
    operations = tiles(PAPER, 3, shape)
    kinds = operations["operation"]
    assert (kinds == PimOperation.PRECHARGE.value).sum() == 3
    one = operations[1 : 1 + PAPER.memory.groups]
    assert sorted(one["group"].tolist()) == list(range(PAPER.memory.groups))
    gemvs = operations[kinds == PimOperation.GEMV.value][: shape.gemvs]
    assert gemvs["slot"].tolist() == [0, 4, 8, 12]
    assert gemvs["column"].tolist() == [0, 8, 16, 24]
    assert gemvs["offset"].tolist() == [0, 2, 4, 6]
    assert operations[0]["length"] == tile_cycles_on_grid(PAPER, 32)


def test_query_heads_of_a_group_share_the_columns_of_their_head():
    operations = tiles(PAPER, 1, TileShape.logit(PAPER, 128, 8), header=False)
    gemvs = operations[operations["operation"] == PimOperation.GEMV.value]
    assert gemvs["column"].tolist() == [0, 8, 16, 24]
    assert gemvs["offset"].tolist() == [0, 64, 128, 192]
    assert set(gemvs["column_step"].tolist()) == {0}
