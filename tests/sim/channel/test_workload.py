import numpy as np
import pytest

from hw.presets import PAPER, TINY
from hw.protocol.commands import PimOperation, Request
from hw.protocol.tile_length import tile_cycles_on_grid
from sim.channel.workload import (
    TileShape,
    attention_layer,
    random_requests,
    sequential_requests,
    tiles,
)


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


def letters(operations):
    """Return operations as letters; vector bursts are small."""
    names = [PimOperation(kind).name for kind in operations["operation"].tolist()]
    return "".join("w" if name == "GWRITE" else name[0] for name in names)


def test_vectors_go_within_the_tiles_before_them_or_behind():
    # queries of 16 bursts, two tiles of logits, weights of 8 bursts, two tiles of values
    one = {"requests": 1, "context": 64, "heads": 4, "d_head": 128}
    operations = attention_layer(PAPER, **one)
    queries, values = 16 * "w", "H" + 2 * "AAAAAAAAGGGGP"
    logits = "HAAwwwwwwwwAAAAAAGP" + "AAAAAAAAGP"
    assert letters(operations) == queries + logits + values
    behind = attention_layer(PAPER, **one, ahead=False)
    assert letters(behind) == queries + "H" + 2 * "AAAAAAAAGP" + 8 * "w" + values


def test_a_vector_takes_as_many_places_as_it_needs_and_what_is_left_goes_behind():
    one = {"requests": 1, "context": 2048, "heads": 4, "d_head": 128}
    first = letters(attention_layer(PAPER, **one)).split("P")[0]
    assert first == 16 * "w" + "HAA" + 3 * "wwwwwwwwAA" + "G"
    few = PAPER.replace(bank_groups=2)  # one place a tile: 8 bursts each
    two = {"requests": 2, "context": 32, "heads": 4, "d_head": 128}
    operations = letters(attention_layer(few, **two))
    values = "HAAwwAAGGPHAAwwwwwwwwAAGGP" + 8 * "w"  # half of the next queries
    assert operations.startswith(16 * "w" + "HAAwwAAGP" + "AAAAGP" + values + "H")


def test_ranks_open_in_turn_or_one_after_the_other():
    one = {"requests": 1, "context": 32, "heads": 4, "d_head": 128}
    for turns, expected in ((True, [0, 4, 1, 5, 2, 6, 3, 7]), (False, list(range(8)))):
        operations = attention_layer(PAPER, **one, ranks_in_turn=turns)
        opens = operations[operations["operation"] == PimOperation.ACTIVATION.value]
        assert opens["group"].tolist() == 2 * expected
