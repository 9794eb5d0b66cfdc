"""Tests of VECTOR: which bursts are read, where they go, and in which cycles."""

import pytest

from hw.npu.pim.vector_sender import VectorSender
from hw.presets import TINY
from hw.protocol.commands import PimOperation

#: Four rows of three bursts of 16 bytes. By hand: lane address 0x100 is burst 16, a row 8 more.
FOUR_ROWS = {
    "lane_address": 0x100,
    "lane_stride": 0x80,
    "rows": 4,
    "bursts": 3,
    "half": 1,
    "offset": 2,
    "offset_row": 18,
}
PLACES = [16, 17, 18, 24, 25, 26, 32, 33, 34, 40, 41, 42]
OFFSETS = [2, 4, 6, 20, 22, 24, 38, 40, 42, 56, 58, 60]
ONE_BURST = {"lane_address": 0, "rows": 1, "bursts": 1}


class Log:
    """What a sender did, and in which cycles."""

    def __init__(self):
        self.taken, self.sent, self.done, self.bad = [], [], [], []


def run(simulate, records, cycles, stalled=()):
    """Offer instructions from cycle 0 on; the link is not ready in the cycles ``stalled``."""
    dut = VectorSender(TINY)
    log = Log()

    async def bench(ctx):
        waiting = list(records)
        for cycle in range(cycles):
            ctx.set(dut.i.valid, bool(waiting))
            if waiting:
                ctx.set(dut.i.payload, dict.fromkeys(FOUR_ROWS, 0) | waiting[0])
            ctx.set(dut.o.ready, cycle not in stalled)
            if waiting and ctx.get(dut.i.ready):
                waiting.pop(0)
                log.taken.append(cycle)
            goes = ctx.get(dut.o.valid) and cycle not in stalled
            assert ctx.get(dut.read.enable) == goes
            if goes:
                o = dut.o.payload
                assert ctx.get(o.operation) == PimOperation.GWRITE
                entry = ctx.get(dut.read.place), ctx.get(o.half), ctx.get(o.offset)
                log.sent.append((cycle, *entry))
            if ctx.get(dut.done):
                log.done.append(cycle)
            if ctx.get(dut.bad_address):
                log.bad.append(cycle)
            await ctx.tick()

    simulate(dut, bench)
    return log


def test_rows_of_bursts_go_one_a_cycle_from_the_cycle_after(simulate):
    log = run(simulate, [FOUR_ROWS], 20)
    places = [place for _cycle, place, _half, _offset in log.sent]
    offsets = [offset for _cycle, _place, _half, offset in log.sent]
    assert places == PLACES
    assert offsets == OFFSETS
    assert [cycle for cycle, *_ in log.sent] == list(range(1, 13))
    assert {half for _cycle, _place, half, _offset in log.sent} == {1}
    assert log.done == [13]
    assert not log.bad


def test_next_instruction_is_taken_in_the_cycle_after_the_last_burst(simulate):
    second = ONE_BURST | {"lane_address": 0x40, "offset": 8}
    log = run(simulate, [FOUR_ROWS, second], 20)
    assert log.taken == [0, 13]
    assert log.sent[-1] == (14, 4, 0, 8)
    assert log.done == [13, 15]


def test_link_that_is_not_ready_delays_and_changes_nothing(simulate):
    stalled = {1, 2, 5, 9, 10, 11, 16}
    log = run(simulate, [FOUR_ROWS], 30, stalled)
    assert [entry[1:] for entry in log.sent] == [
        (place, 1, offset) for place, offset in zip(PLACES, OFFSETS, strict=True)
    ]
    assert [entry[0] for entry in log.sent] == [c for c in range(1, 20) if c not in stalled][:12]
    assert log.done == [log.sent[-1][0] + 1]


LANE = TINY.npu.lane_buffer_bytes


@pytest.mark.parametrize(
    ("record", "sent"),
    [
        ({"lane_address": LANE - 16}, 1),
        ({"lane_address": LANE - 16, "bursts": 2}, 1),
        ({"lane_address": LANE}, 0),
        ({"lane_address": LANE - 16, "rows": 2, "lane_stride": 16}, 1),
        ({"lane_address": 8}, 0),
        ({"lane_address": 16, "rows": 2, "lane_stride": 8}, 1),
        ({"offset": TINY.vector_columns - 2}, 1),
        ({"offset": TINY.vector_columns - 2, "bursts": 2}, 1),
        ({"offset": TINY.vector_columns}, 0),
        ({"offset": TINY.vector_columns - 2, "rows": 2, "offset_row": 2}, 1),
        ({"offset": 1}, 0),
        ({"rows": 2, "offset_row": 1}, 1),
        ({"rows": 0}, 0),
        ({"bursts": 0}, 0),
        # Sums that do not fit their fields are outside, too, and do not wrap around to 0.
        ({"lane_address": LANE - 16, "rows": 2, "lane_stride": (1 << 20) - LANE + 16}, 1),
        ({"offset": 2, "rows": 2, "offset_row": (1 << 12) - 2}, 1),
        ({"rows": 2, "lane_stride": 1 << 19}, 1),
        ({"rows": 2, "offset_row": 1 << 11}, 1),
        ({"rows": 1 << 7, "offset_row": 2}, TINY.vector_columns // 2),
        ({"bursts": 1 << 11}, TINY.vector_columns // 2),
    ],
)
def test_bursts_that_lie_outside_are_reported_and_not_sent(simulate, record, sent):
    whole = ONE_BURST | record
    legal = sent > 0 and whole["rows"] * whole["bursts"] == sent
    log = run(simulate, [whole, ONE_BURST], sent + 12)
    if legal:
        assert not log.bad
        assert log.taken == [0, sent + 1]
    else:
        assert log.bad == list(range(sent + 1, sent + 12))
        assert log.taken == [0]
        assert not log.done
        assert len(log.sent) == sent
