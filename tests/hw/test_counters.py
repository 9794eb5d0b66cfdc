"""Tests of the counters."""

from hw.counters import Counters
from hw.presets import TINY
from hw.protocol.commands import Command


def test_counters_count_commands_columns_and_beats(simulate):
    dut = Counters(TINY)
    commands = [
        (Command.ACT, {}),
        (Command.WR, {}),
        (Command.PIM_GEMV, {"slots": 3, "k": 5}),
        (Command.PIM_DOTPRODUCT, {"slots": 7, "k": 9}),
        (Command.PIM_GWRITE_DATA, {}),
        (Command.NOP, {"slots": 2, "k": 2}),
        (Command.RD, {}),
    ]

    async def testbench(ctx):
        for command, fields in commands:
            ctx.set(dut.command_1.command, command)
            for name, value in fields.items():
                ctx.set(dut.command_1[name], value)
            ctx.set(dut.command_0.command, Command.PRE)
            ctx.set(dut.drives_0, 1)
            ctx.set(dut.matrix_row, command is Command.RD)
            ctx.set(dut.vector_busy, command is not Command.RD)
            await ctx.tick()
        for signal in (dut.command_0.command, dut.command_1.command, dut.drives_0):
            ctx.set(signal, 0)
        ctx.set(dut.matrix_row, 0)
        await ctx.tick().repeat(4)
        count = len(commands)
        assert ctx.get(dut.o.cycles) == count + 4
        assert ctx.get(dut.o.ca_busy) == 2 * count - 1
        assert ctx.get(dut.o.pim_columns) == (3 * 5 + 1) * TINY.memory.banks
        assert ctx.get(dut.o.bus_busy) == count + 2 * 2
        assert ctx.get(dut.o.matrix_busy) == 1
        assert ctx.get(dut.o.matrix_macs) == TINY.npu.array_rows * TINY.npu.tile_columns
        assert ctx.get(dut.o.vector_busy) == count - 1

    simulate(dut, testbench, deadline=50)
