import pytest

from hw.controller.guards import Guards
from hw.presets import TINY
from hw.protocol.commands import Command as C

CONFIG = TINY.replace(ranks=2, bank_groups=2)
THREE = CONFIG.replace(ranks=3)
BLOCKED = CONFIG.replace(row_buffers=1)

#: Command and bank, later command and its bit of ``ready``, cycles; banks 0 to 3 are a group, 0 to
#: 7 a rank.
EDGES = [
    (CONFIG, C.ACT, 5, C.RD, 5, 14),
    (CONFIG, C.ACT, 5, C.PRE, 5, 34),
    (CONFIG, C.ACT, 5, C.ACT, 5, 48),
    (CONFIG, C.ACT, 5, C.ACT, 4, 6),
    (CONFIG, C.ACT, 5, C.ACT, 0, 4),
    (CONFIG, C.ACT, 5, C.PREA, 0, 34),
    (CONFIG, C.ACT, 9, C.REF, 1, 48),
    (CONFIG, C.ACT, 9, C.PIM_ACTIVATION, 3, 30),
    (CONFIG, C.PREA, 8, C.ACT, 15, 14),
    (CONFIG, C.RD, 0, C.RD, 3, 2),
    (CONFIG, C.RD, 0, C.RD, 8, 3),
    (CONFIG, C.RD, 0, C.WR, 8, 14),
    (CONFIG, C.RD, 0, C.PIM_GWRITE_DATA, 0, 14),
    (CONFIG, C.WR, 0, C.RD, 1, 14),
    (CONFIG, C.WR, 0, C.RD, 4, 12),
    (CONFIG, C.WR, 0, C.PRE, 0, 22),
    (CONFIG, C.REF, 8, C.ACT, 8, 260),
    (CONFIG, C.PIM_ACTIVATION, 4, C.ACT, 0, 30),
    (CONFIG, C.PIM_ACTIVATION, 4, C.PIM_ACTIVATION, 0, 30),
    (CONFIG, C.PIM_ACTIVATION, 4, C.PIM_ACTIVATION, 1, 48),
    (CONFIG, C.PIM_ACTIVATION, 4, C.PIM_GEMV, 0, 14),
    (CONFIG, C.PIM_GWRITE_DATA, 0, C.PIM_GEMV, 0, 6),
    (CONFIG, C.PIM_GEMV, 0, C.PIM_GEMV, 0, 22),
    (CONFIG, C.PIM_GEMV, 0, C.PIM_PRECHARGE, 0, 26),
    (CONFIG, C.PIM_PRECHARGE, 0, C.PIM_ACTIVATION, 2, 14),
    (THREE, C.PIM_ACTIVATION, 20, C.PIM_PRECHARGE, 0, 34),
    (THREE, C.PIM_PRECHARGE, 0, C.PIM_ACTIVATION, 5, 14),
    (THREE, C.PIM_PRECHARGE, 0, C.REF, 2, 14),
    (THREE, C.RD, 16, C.RD, 0, 3),
    (THREE, C.RD, 0, C.RD, 23, 3),
    (THREE, C.RD, 16, C.WR, 8, 14),
    (THREE, C.PREA, 16, C.ACT, 23, 14),
    (BLOCKED, C.PRE, 5, C.PIM_ACTIVATION, 1, 14),
    (BLOCKED, C.PIM_PRECHARGE, 0, C.ACT, 9, 14),
]

#: Pairs that nothing keeps apart.
FREE = [
    (CONFIG, C.ACT, 5, C.ACT, 8),
    (CONFIG, C.PRE, 5, C.ACT, 4),
    (CONFIG, C.PRE, 5, C.PIM_ACTIVATION, 1),
    (CONFIG, C.PIM_PRECHARGE, 0, C.ACT, 9),
    (CONFIG, C.RD, 5, C.PRE, 4),
    (CONFIG, C.REF, 0, C.ACT, 8),
    (CONFIG, C.PIM_GEMV, 0, C.RD, 0),
    (THREE, C.PREA, 16, C.ACT, 15),
    (THREE, C.REF, 8, C.ACT, 16),
]


async def issue(ctx, dut, command, bank, extent=20):
    ctx.set(dut.command, command)
    ctx.set(dut.bank, bank)
    ctx.set(dut.extent, extent)
    await ctx.tick()
    ctx.set(dut.command, C.NOP)


@pytest.mark.parametrize(("config", "first", "bank", "later", "bit", "cycles"), EDGES)
def test_command_is_ready_at_its_cycle_and_not_before(
    simulate, config, first, bank, later, bit, cycles
):
    dut = Guards(config)

    async def bench(ctx):
        assert ctx.get(dut.ready[later.name]) >> bit & 1
        await issue(ctx, dut, first, bank)
        for _ in range(cycles - 2):
            await ctx.tick()
        assert not ctx.get(dut.ready[later.name]) >> bit & 1
        await ctx.tick()
        assert ctx.get(dut.ready[later.name]) >> bit & 1

    simulate(dut, bench)


@pytest.mark.parametrize(("config", "first", "bank", "later", "bit"), FREE)
def test_unrelated_command_stays_ready(simulate, config, first, bank, later, bit):
    dut = Guards(config)

    async def bench(ctx):
        await issue(ctx, dut, first, bank)
        assert ctx.get(dut.ready[later.name]) >> bit & 1

    simulate(dut, bench)


def test_fifth_activation_waits_for_the_first(simulate):
    dut = Guards(CONFIG)
    banks = (0, 4, 1, 5)

    async def bench(ctx):
        for bank in banks:
            await issue(ctx, dut, C.ACT, bank)
            await ctx.tick().repeat(4)
        await ctx.tick().repeat(9)
        assert not ctx.get(dut.ready.ACT) >> 2 & 1
        await ctx.tick()
        assert ctx.get(dut.ready.ACT) >> 2 & 1
        assert ctx.get(dut.ready.ACT) >> 8 & 1

    simulate(dut, bench)


def test_soon_is_ready_a_cycle_ahead(simulate):
    dut = Guards(CONFIG)
    cases = [(C.ACT, 5), (C.RD, 5), (C.WR, 9), (C.PREA, 8), (C.REF, 0), (C.PIM_ACTIVATION, 8)]

    async def bench(ctx):
        for first, bank in cases:
            await issue(ctx, dut, first, bank)
            for cycle in range(300):
                soon = {name: ctx.get(dut.soon[name]) for name, _ in dut.soon.shape()}
                await ctx.tick()
                now = {name: ctx.get(dut.ready[name]) for name in soon}
                assert soon == now, f"{cycle} cycles after {first.name}"

    simulate(dut, bench)
