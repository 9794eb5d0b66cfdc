import dataclasses

import numpy as np
import pytest

from hw.presets import PAPER, TINY
from scheduler.models.catalog import CATALOG
from scheduler.serving.kv_pages import KvPages

SHAPE = CATALOG["tiny-gpt"].shape
FIRST_ROW = 700


@pytest.fixture
def pages():
    return KvPages(TINY, SHAPE, FIRST_ROW)


def every_row(pages, rows):
    return [
        row for part in (rows.k_rows, rows.v_rows, rows.tail_rows) for row in part.ravel().tolist()
    ]


def test_pages_of_keys_hold_a_token_a_bank_and_pages_of_values_are_complete(pages):
    assert pages.pages(0) == (0, 0)
    assert pages.pages(1) == (1, 0)
    assert pages.pages(7) == (2, 0)
    assert pages.pages(8) == (2, 1)
    assert pages.pages(17) == (5, 2)


def test_rows_have_the_shapes_that_the_compiler_takes(pages):
    rows = pages.allocate(0, channel=1, context=20)
    geometry = pages.geometry
    assert rows.channel == 1
    assert rows.k_rows.shape == (2, geometry.k_parts, 5)
    assert rows.v_rows.shape == (2, geometry.v_parts, 2)
    assert rows.tail_rows.shape == (2, geometry.tail_rows)


def test_no_row_has_two_owners(pages):
    owned = []
    for request, context in enumerate((1, 20, 33, 64)):
        rows = pages.allocate(request, channel=0, context=context)
        assert len(every_row(pages, rows)) == pages.rows_needed(context)
        owned += every_row(pages, rows)
    assert len(set(owned)) == len(owned)
    assert min(owned) >= FIRST_ROW
    assert max(owned) < TINY.memory.rows


def test_channels_do_not_share_rows_but_row_numbers(pages):
    first = pages.allocate(0, channel=0, context=20)
    second = pages.allocate(1, channel=1, context=20)
    assert every_row(pages, first) == every_row(pages, second)


def test_freed_rows_are_used_again(pages):
    before = pages.free_rows(0)
    first = pages.allocate(0, channel=0, context=40)
    assert pages.free_rows(0) == before - pages.rows_needed(40)
    pages.free(0)
    assert pages.free_rows(0) == before
    assert every_row(pages, pages.allocate(1, channel=0, context=40)) == every_row(pages, first)


def test_a_channel_fills_up_to_its_last_row():
    pages = KvPages(TINY, SHAPE, FIRST_ROW)
    request = 0
    while pages.fits(0, 30):
        pages.allocate(request, channel=0, context=30)
        request += 1
    assert request == (TINY.memory.rows - FIRST_ROW) // pages.rows_needed(30)
    assert pages.free_rows(0) < pages.rows_needed(30)


def test_allocating_beyond_the_channel_is_refused(pages):
    needed = pages.rows_needed(128)
    count = pages.free_rows(0) // needed
    for request in range(count):
        pages.allocate(request, channel=0, context=128)
    message = rf"^channel 0 must have {needed} free rows for request {count}, not \d+$"
    with pytest.raises(ValueError, match=message):
        pages.allocate(count, channel=0, context=128)


def test_a_refused_request_takes_nothing():
    pages = KvPages(TINY, SHAPE, TINY.memory.rows - 10)
    with pytest.raises(ValueError, match=r"^channel 0 must have"):
        pages.allocate(0, channel=0, context=100)
    assert pages.free_rows(0) == 10


def test_freeing_twice_is_an_error(pages):
    pages.allocate(4, channel=0, context=5)
    pages.free(4)
    with pytest.raises(ValueError, match=r"^request 4 must have rows to be freed$"):
        pages.free(4)


def test_allocating_twice_is_an_error(pages):
    pages.allocate(4, channel=0, context=5)
    with pytest.raises(ValueError, match=r"^request 4 must not be allocated twice$"):
        pages.allocate(4, channel=1, context=5)


def test_random_requests_never_share_a_row(pages):
    rng = np.random.default_rng(5)
    live = {}
    for request in range(300):
        if live and rng.random() < 0.5:
            victim = int(rng.choice(list(live)))
            pages.free(victim)
            del live[victim]
        context, channel = int(rng.integers(1, 129)), int(rng.integers(2))
        if pages.fits(channel, context):
            live[request] = pages.allocate(request, channel, context)
        for channel in range(2):
            mine = [r for r in live.values() if r.channel == channel]
            owned = [row for rows in mine for row in every_row(pages, rows)]
            assert len(set(owned)) == len(owned)
            assert pages.free_rows(channel) == TINY.memory.rows - FIRST_ROW - len(owned)


def test_the_paper_device_holds_a_share_of_gpt3_7b():
    whole = CATALOG["gpt3-7b"].shape
    share = dataclasses.replace(whole, heads=8, kv_heads=8)
    pages = KvPages(PAPER, share, first_row=14000)
    # K: 2 rows a page of 32 tokens and layer; V: 2 rows; tail: 2 rows of 32 KiB
    assert pages.rows_needed(320) == 32 * (2 * 10 + 2 * 10 + 2)


def test_a_first_row_outside_the_bank_is_refused():
    with pytest.raises(ValueError, match=r"^first_row must be a row of 1024, not 1024$"):
        KvPages(TINY, SHAPE, 1024)
