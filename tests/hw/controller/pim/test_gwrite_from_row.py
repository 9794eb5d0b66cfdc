"""PIM_GWRITE from a row: what it asks for, state by state."""

import pytest

from hw.controller.pim.gwrite_from_row import VectorRow
from hw.presets import TINY
from hw.protocol.commands import PimOperation

BANK, ROW = 2, 9
EVERY_BANK = (1 << TINY.memory.banks) - 1


@pytest.fixture
def asks(simulate):
    """Return the outputs that are set, with inputs given on top of an operation that may go on."""

    def run(**inputs):
        dut = VectorRow(TINY)
        seen = {}

        async def bench(ctx):
            operation = {"operation": PimOperation.GWRITE_ROW, "bank": BANK, "row": ROW}
            ctx.set(dut.head, operation)
            ready = dict.fromkeys(("ACT", "PRE", "WR", "PIM_GWRITE"), EVERY_BANK)
            values = {"head_valid": 1, "half_free": 1, "ready": ready, **inputs}
            for name, value in values.items():
                ctx.set(getattr(dut, name), value)
            await ctx.tick()
            names = ("skip", "waits", "close", "activate", "gwrite", "bars_writes")
            names += ("hold", "stop", "bars")
            seen.update({name: ctx.get(getattr(dut, name)) for name in names})

        simulate(dut, bench)
        return {name for name, value in seen.items() if value}

    return run


def test_closed_bank_is_opened(asks):
    assert asks() == {"activate", "stop"}


def test_other_row_of_the_bank_is_closed_and_not_used_any_more(asks):
    assert asks(open=1 << BANK) == {"close", "stop"}


def test_open_row_is_read_and_held(asks):
    assert asks(open=1 << BANK, hit=1) == {"gwrite", "bars_writes", "hold"}


@pytest.mark.parametrize(
    ("change", "more"),
    [({"pending": 1}, {"waits"}), ({"half_free": 0}, set()), ({"ready": {}}, set())],
)
def test_open_row_is_held_until_it_may_be_read(asks, change, more):
    assert asks(open=1 << BANK, hit=1, **change) == {"hold"} | more


def test_refresh_and_aged_requests_come_first(asks):
    assert asks(closing=1) == set()
    assert asks(yields=1) == set()


def test_row_of_a_tile_that_ended_rests(asks):
    assert asks(tile={"resting": 1, "rested_row": ROW}) == {"stop"}
    assert asks(tile={"resting": 1, "rested_row": ROW + 1}) == {"activate", "stop"}


def test_row_of_an_open_tile_is_skipped(asks):
    assert asks(tile={"valid": 1, "row": ROW}) == {"skip"}


def test_writes_to_the_row_are_not_accepted(asks):
    assert "bars" in asks(request_bank=BANK, request_row=ROW)
    assert "bars" not in asks(request_bank=BANK, request_row=ROW + 1)


def test_acceptance_is_reported_once(simulate):
    dut = VectorRow(TINY)

    async def bench(ctx):
        ctx.set(dut.head, {"operation": PimOperation.GWRITE_ROW, "bank": BANK, "row": ROW})
        ctx.set(dut.head_valid, 1)
        reports = []
        for pop in (0, 0, 1, 0, 0):
            ctx.set(dut.pop, pop)
            reports.append(ctx.get(dut.accept))
            await ctx.tick()
        assert reports == [1, 0, 0, 1, 0]

    simulate(dut, bench)


def test_row_that_closed_in_the_cycle_before_is_not_read(simulate):
    dut = VectorRow(TINY)

    async def bench(ctx):
        ctx.set(dut.head, {"operation": PimOperation.GWRITE_ROW, "bank": BANK, "row": ROW})
        ctx.set(dut.head_valid, 1)
        ctx.set(dut.half_free, 1)
        ctx.set(dut.ready.PIM_GWRITE, -1)
        ctx.set(dut.open, 1 << BANK)
        ctx.set(dut.hit, 1)
        await ctx.tick()
        assert ctx.get(dut.gwrite)
        ctx.set(dut.open, 0)
        ctx.set(dut.hit, 0)
        assert not ctx.get(dut.gwrite)

    simulate(dut, bench)


def test_aged_requests_come_first_while_a_write_is_waited_for(asks):
    assert asks(open=1 << BANK, hit=1, aged=1) == {"gwrite", "bars_writes", "hold"}
    assert asks(open=1 << BANK, hit=1, aged=1, pending=1) == {"waits"}


def test_writes_leave_the_bus_to_a_row_that_could_be_read(asks):
    after_a_write = {"WR": EVERY_BANK}
    assert asks(open=1 << BANK, hit=1, ready=after_a_write) == {"bars_writes", "hold"}
    assert asks(open=1 << BANK, hit=1, ready=after_a_write, half_free=0) == {"hold"}
