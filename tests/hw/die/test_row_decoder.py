import pytest

from hw.die.row_decoder import RowDecoder
from hw.presets import TINY
from hw.protocol.commands import Command

CONFIG = TINY.replace(ranks=2, bank_groups=2)


@pytest.mark.parametrize(
    ("command", "bank", "strobes"),
    [
        (Command.ACT, 9, {"open": 1 << 9}),
        (Command.PRE, 9, {"close": 1 << 9}),
        (Command.PREA, 8, {"close": 0xFF00}),
        (Command.PREA, 0, {"close": 0x00FF}),
        (Command.PIM_ACTIVATION, 4, {"pim_open": 0x00F0}),
        (Command.PIM_ACTIVATION, 12, {"pim_open": 0xF000}),
        (Command.PIM_PRECHARGE, 0, {"pim_close": 1}),
        (Command.REF, 0, {}),
        (Command.RD, 3, {}),
        (Command.NOP, 0, {}),
    ],
)
def test_command_reaches_the_banks_it_names(simulate, command, bank, strobes):
    dut = RowDecoder(CONFIG)

    async def bench(ctx):
        ctx.set(dut.command, {"command": command, "bank": bank, "row": 77})
        await ctx.tick()
        ctx.set(dut.command, {"command": Command.NOP})
        for name in ("open", "pim_open", "close", "pim_close"):
            assert ctx.get(getattr(dut, name)) == strobes.get(name, 0), name
        assert ctx.get(dut.row) == 77
        await ctx.tick()
        for name in ("open", "pim_open", "close", "pim_close"):
            assert ctx.get(getattr(dut, name)) == 0, name

    simulate(dut, bench)
