import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.memory.address_map import address_of, place_of, split_address
from hw.presets import PAPER, TINY


@pytest.mark.parametrize("config", [TINY, PAPER], ids=lambda config: config.name)
def test_consecutive_addresses_walk_through_a_row_then_its_other_banks(config):
    places = [
        place_of(config, address)
        for address in range(0, 2 * config.banks * config.row_bytes, config.column_bytes)
    ]
    assert places == sorted(places, key=lambda place: (place.row, place.bank, place.column))
    assert len(set(places)) == 2 * config.banks * config.columns


@pytest.mark.parametrize("config", [TINY, PAPER], ids=lambda config: config.name)
def test_address_of_a_place_leads_back(config):
    step = config.channel_bytes // 997 // config.column_bytes * config.column_bytes
    for address in range(0, config.channel_bytes, step):
        assert address_of(config, place_of(config, address)) == address


def test_address_past_the_channel_is_rejected():
    with pytest.raises(ValueError, match=r"^address must be below 524288, not 524288$"):
        place_of(TINY, TINY.channel_bytes)


def test_hardware_splits_addresses_as_the_function_does(simulate):
    class Split(wiring.Component):
        address: In(30)
        place: Out(32)

        def elaborate(self, platform):
            m = Module()
            bank, row, column = split_address(TINY, self.address)
            m.d.sync += self.place.eq(bank << 24 | row << 8 | column)
            return m

    dut = Split()

    async def bench(ctx):
        for address in range(0, TINY.channel_bytes, 16 * 331):
            ctx.set(dut.address, address)
            await ctx.tick()
            place = place_of(TINY, address)
            expected = place.bank << 24 | place.row << 8 | place.column
            assert ctx.get(dut.place) == expected, f"address {address:#x}"

    simulate(dut, bench)
