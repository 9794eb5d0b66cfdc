from hw.die.column_walker import ColumnWalker
from hw.presets import TINY
from hw.protocol.commands import Command
from hw.protocol.timing import Timing


def columns(simulate, config, script, cycles):
    """Return ``{cycle: (column, half, offset)}`` for the columns that a script multiplies."""
    dut = ColumnWalker(config)
    found = {}

    async def bench(ctx):
        for cycle in range(cycles):
            fields = script.get(cycle, {"command": Command.NOP})
            ctx.set(dut.command, fields)
            if ctx.get(dut.valid & dut.multiply):
                found[cycle] = tuple(ctx.get(s) for s in (dut.column, dut.half, dut.offset))
            await ctx.tick()

    simulate(dut, bench)
    return found


def gemv(**fields):
    return {"command": Command.PIM_GEMV, **fields}


def test_gemv_takes_a_column_every_nCCDL(simulate):
    for nCCDL in (2, 3):
        config = TINY.replace(timing=Timing(nCCDL=nCCDL))
        command = gemv(column=3, offset=7, half=1, k=4, slots=1)
        found = columns(simulate, config, {5: command}, 30)
        assert found == {6 + n * nCCDL: (3 + n, 1, 7 + n) for n in range(4)}


def test_gemv_steps_from_slot_to_slot(simulate):
    command = gemv(column=1, column_step=5, offset=2, offset_step=20, slots=3, k=2)
    found = list(columns(simulate, TINY, {0: command}, 30).values())
    assert [column for column, _half, _offset in found] == [1, 2, 6, 7, 11, 12]
    assert [offset for _column, _half, offset in found] == [2, 3, 22, 23, 42, 43]


def test_gemvs_follow_without_a_bubble(simulate):
    script = {0: gemv(column=0, k=2, slots=2, column_step=2), 8: gemv(column=9, k=1, slots=1)}
    found = columns(simulate, TINY, script, 20)
    assert {cycle: column for cycle, (column, _, _) in found.items()} == {
        1: 0,
        3: 1,
        5: 2,
        7: 3,
        9: 9,
    }


def test_dotproduct_takes_one_column_and_rdresult_none(simulate):
    script = {
        0: {"command": Command.PIM_DOTPRODUCT, "column": 4, "offset": 6, "k": 3, "slots": 3},
        2: {"command": Command.PIM_RDRESULT, "k": 3, "slots": 3},
    }
    assert columns(simulate, TINY, script, 20) == {1: (4, 0, 6)}
