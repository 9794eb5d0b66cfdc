from itertools import permutations

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import ROW_ORDER
from hw.presets import PAPER, TINY
from hw.protocol.address_map import (
    Place,
    address_of,
    check_row_order,
    divided,
    place_of,
    split_address,
)


@pytest.mark.parametrize("config", [TINY, PAPER], ids=lambda config: config.name)
def test_consecutive_addresses_walk_through_a_row_then_its_other_banks(config):
    places = [
        place_of(config, address)
        for address in range(
            0, 2 * config.memory.banks * config.memory.row_bytes, config.memory.column_bytes
        )
    ]
    assert places == sorted(places, key=lambda place: (place.row, place.bank, place.column))
    assert len(set(places)) == 2 * config.memory.banks * config.memory.columns


@pytest.mark.parametrize("config", [TINY, PAPER], ids=lambda config: config.name)
def test_address_of_a_place_leads_back(config):
    step = (
        config.memory.channel_bytes
        // 997
        // config.memory.column_bytes
        * config.memory.column_bytes
    )
    for address in range(0, config.memory.channel_bytes, step):
        assert address_of(config, place_of(config, address)) == address


@pytest.mark.parametrize("ranks", [2, 3])
def test_every_order_maps_addresses_to_places_one_to_one(ranks):
    small = TINY.replace(ranks=ranks, bank_groups=2, rows=4, row_bytes=32)
    places = {
        Place(bank, row, column)
        for bank in range(small.memory.banks)
        for row in range(small.memory.rows)
        for column in range(small.memory.columns)
    }
    addresses = range(0, small.memory.channel_bytes, small.memory.column_bytes)
    for order in permutations(ROW_ORDER):
        config = small.replace(address_order=order)
        found = [place_of(config, address) for address in addresses]
        assert set(found) == places, order
        assert [address_of(config, place) for place in found] == list(addresses), order


def test_order_says_what_consecutive_addresses_share():
    config = PAPER.replace(
        address_order=("row", "bank", "column", "bank_group", "rank"), name="interleaved"
    )
    walk = [place_of(config, n * config.memory.burst_bytes) for n in range(9)]
    assert [place.bank for place in walk] == [0, 16, 4, 20, 8, 24, 12, 28, 0]
    assert [place.column for place in walk] == 8 * [0] + [2]


@pytest.mark.parametrize("order", [ROW_ORDER[1:], (*ROW_ORDER[1:], "column"), "row", 3])
def test_order_that_leaves_a_part_out_is_rejected(order):
    words = "address_order must be row, rank, bank_group, bank, column, each once, not "
    with pytest.raises(ValueError, match=rf"^{words}"):
        TINY.replace(address_order=order)


def test_device_wants_rows_of_all_banks_at_consecutive_addresses():
    check_row_order(TINY.replace(address_order=list(ROW_ORDER)))
    with pytest.raises(ValueError, match=r"^address_order must be .* where programs run, not bank"):
        check_row_order(TINY.replace(address_order=("bank", "row", "rank", "bank_group", "column")))


def test_address_past_the_channel_is_rejected():
    with pytest.raises(ValueError, match=r"^address must be below 524288, not 524288$"):
        place_of(TINY, TINY.memory.channel_bytes)


@pytest.mark.parametrize("ranks", [1, 3, 5])
@pytest.mark.parametrize(
    "order",
    [
        ROW_ORDER,
        ("bank", "column", "row", "rank", "bank_group"),
        ("rank", *ROW_ORDER[:1], *ROW_ORDER[2:]),
    ],
)
def test_hardware_splits_addresses_as_the_function_does(simulate, order, ranks):
    config = TINY.replace(address_order=order, ranks=ranks)

    class Split(wiring.Component):
        address: In(30)
        place: Out(32)

        def elaborate(self, platform):
            m = Module()
            bank, row, column = split_address(config, self.address)
            m.d.sync += self.place.eq(bank << 24 | row << 8 | column)
            return m

    dut = Split()

    async def bench(ctx):
        for address in (
            *range(0, config.memory.channel_bytes, 16 * 331),
            config.memory.channel_bytes - 16,
        ):
            ctx.set(dut.address, address)
            await ctx.tick()
            place = place_of(config, address)
            place = place._replace(column=place.column & ~1)
            expected = place.bank << 24 | place.row << 8 | place.column
            assert ctx.get(dut.place) == expected, f"address {address:#x}"

    simulate(dut, bench)


@pytest.mark.parametrize("divisor", [1, 2, 3, 4, 5, 6, 7, 11, 12, 13])
def test_division_by_a_constant_is_exact(simulate, divisor):
    bits = 9

    class Divide(wiring.Component):
        value: In(bits)
        quotient: Out(bits)
        remainder: Out(bits)

        def elaborate(self, platform):
            m = Module()
            quotient, remainder = divided(self.value, divisor)
            assert len(remainder) == (divisor - 1).bit_length()
            m.d.sync += [self.quotient.eq(quotient), self.remainder.eq(remainder)]
            return m

    dut = Divide()

    async def bench(ctx):
        for value in range(1 << bits):
            ctx.set(dut.value, value)
            await ctx.tick()
            assert (ctx.get(dut.quotient), ctx.get(dut.remainder)) == divmod(value, divisor)

    simulate(dut, bench)
