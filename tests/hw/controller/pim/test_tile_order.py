"""Who goes first with one row buffer: the order of tiles and requests at the controller."""

import dataclasses

import numpy as np
import pytest

from hw.controller.response_bound import response_bound
from hw.presets import TINY
from hw.protocol.commands import Command, PimOperation, Request
from sim.trace.command_trace import ACCEPT, KINDS

COLUMNS = (Command.RD, Command.RDA, Command.WR, Command.WRA)
TILE = KINDS.index("tile")

#: No refresh comes between.
CALM = TINY.replace(row_buffers=1, timing=dataclasses.replace(TINY.memory.timing, nREFI=60_000))

#: A header is parted, and a tile waits no longer, after 2 × 700 cycles.
SHORT = TINY.replace(
    row_buffers=1, postpone=2, timing=dataclasses.replace(TINY.memory.timing, nREFI=700, nRFC=60)
)


def read(bank, row, column, tag):
    return {"kind": Request.READ, "bank": bank, "row": row, "column": column, "tag": tag, "data": 0}


def tile(row):
    return [
        {"operation": PimOperation.ACTIVATION, "group": 0, "row": row},
        {"operation": PimOperation.GEMV, "slots": 1, "k": 16, "column_step": 16, "read": 1},
        {"operation": PimOperation.PRECHARGE},
    ]


def gemv(tiles, row=500, announced=None):
    header = {"operation": PimOperation.HEADER, "tiles": announced or tiles, "length": 100}
    return [header, *(op for number in range(tiles) for op in tile(row + number))]


def reads(count, first_row=0):
    return [read(n % 4, first_row + n // 4, 0, n) for n in range(count)]


def order(outcome):
    """Return what the channel did, in order: ``t`` a tile's start, ``r`` a burst of a request."""
    letters = []
    for record in outcome.trace:
        if record["command"] == Command.PIM_ACTIVATION.value:
            letters.append("t")
        elif record["command"] in [command.value for command in COLUMNS]:
            letters.append("r")
    return "".join(letters)


def test_tiles_of_a_header_are_not_parted(drive):
    requests = [20, *reads(40)]  # they come while the first tile runs
    outcome = drive(CALM, requests, gemv(6))
    assert order(outcome) == "t" * 6 + "r" * 40


def test_what_was_accepted_during_a_header_goes_before_the_next(drive):
    requests = [20, *reads(12)]
    outcome = drive(CALM, requests, gemv(3) + gemv(3, row=600))
    assert order(outcome) == "ttt" + "r" * 12 + "ttt"


def test_order_of_acceptance_parts_a_header(drive):
    config = CALM.replace(blocked_order="accepted")
    outcome = drive(config, [20, *reads(12)], gemv(3))
    assert order(outcome) == "t" + "r" * 12 + "tt"


def test_memory_goes_first(drive):
    config = CALM.replace(blocked_order="memory_first")
    outcome = drive(config, reads(60), [30, *gemv(3)])
    assert order(outcome) == "r" * 60 + "ttt"


def test_memory_first_lets_a_tile_that_runs_end(drive):
    config = CALM.replace(blocked_order="memory_first")
    outcome = drive(config, [20, *reads(30)], gemv(3))
    assert order(outcome) == "t" + "r" * 30 + "tt"


def test_requests_to_the_row_of_a_tile_keep_their_order(drive):
    """A write to the row of the third tile, accepted during the first, goes before it."""
    write = {**read(2, 502, 4, 7), "kind": Request.WRITE, "data": 0x1234}
    outcome = drive(CALM, [20, *reads(5), write], gemv(4))
    assert order(outcome) == "ttrtt" + "r" * 5
    trace = outcome.trace
    written = trace["cycle"][trace["command"] == Command.WR.value]
    written = np.concatenate([written, trace["cycle"][trace["command"] == Command.WRA.value]])
    third = trace["cycle"][trace["command"] == Command.PIM_ACTIVATION.value][2]
    assert written[0] < third


def test_a_read_right_behind_a_tile_of_its_row_waits_for_the_header(drive):
    outcome = drive(CALM, [20, read(1, 500, 0, 1)], gemv(3))
    assert order(outcome) == "tttr"


@pytest.mark.parametrize("tiles", [1, 2])
def test_header_that_promises_too_much_is_over_when_the_next_one_comes(drive, tiles):
    pim = gemv(tiles, announced=9) + gemv(2, row=600)
    outcome = drive(CALM, [20, *reads(8)], pim)
    assert order(outcome) == "t" * tiles + "r" * 8 + "tt"


def test_header_that_promises_too_much_blocks_no_longer_than_the_limit(drive):
    limit = SHORT.controller.postpone * SHORT.memory.timing.nREFI
    outcome = drive(SHORT, [20, *reads(4)], gemv(1, announced=9))
    assert order(outcome) == "trrrr"
    start = outcome.trace["cycle"][outcome.trace["command"] == Command.PIM_ACTIVATION.value][0]
    first = min(outcome.served.values())
    assert limit < first - start < limit + 200


def test_a_long_header_is_parted_at_the_limit(drive):
    limit = SHORT.controller.postpone * SHORT.memory.timing.nREFI
    outcome = drive(SHORT, [20, *reads(4)], gemv(40))
    before, _reads, after = order(outcome).partition("rrrr")
    assert set(before) == set(after) == {"t"}
    served = max(outcome.served.values()) - min(outcome.accepted.values())
    assert limit - 100 < served < limit + 500


def test_memory_first_lets_a_tile_wait_no_longer_than_the_limit(drive):
    config = SHORT.replace(blocked_order="memory_first")
    limit = config.controller.postpone * config.memory.timing.nREFI
    outcome = drive(config, reads(600), [30, *gemv(1)])
    trace = outcome.trace
    accepted = trace["cycle"][(trace["command"] == ACCEPT) & (trace["kind"] == TILE)][0]
    assert limit <= accepted - 30 < limit + 30
    assert order(outcome).strip("r") == "t"


@pytest.mark.parametrize("blocked_order", ["pim_first", "memory_first", "accepted"])
def test_no_request_waits_longer_than_the_bound(drive, blocked_order):
    config = SHORT.replace(blocked_order=blocked_order)
    outcome = drive(config, reads(600), gemv(20) + gemv(20, row=600), limit=60_000)
    worst = max(outcome.served[tag] - outcome.accepted[tag] for tag in outcome.served)
    assert worst <= response_bound(config, 120)


def test_without_a_header_each_tile_is_by_itself(drive):
    outcome = drive(CALM, [20, *reads(8)], tile(500) + tile(501))
    assert order(outcome) == "t" + "r" * 8 + "t"


@pytest.mark.parametrize("blocked_order", ["pim_first", "memory_first", "accepted"])
def test_two_row_buffers_block_nothing(drive, blocked_order):
    config = CALM.replace(row_buffers=2, blocked_order=blocked_order)
    outcome = drive(config, reads(40), gemv(4))
    assert "rtr" in order(outcome)
