"""The guards against absolute times: every bit of ``ready``, in every cycle."""

import numpy as np
import pytest
from amaranth.hdl import Value

from hw.controller.guards import ISSUED, Guards, gwrite_extent
from hw.presets import AIM, HBM3, PAPER, TINY
from hw.protocol.commands import Command as C
from hw.protocol.constraints import OPENINGS, TARGETS, Scope, constraints

SMALL = TINY.replace(ranks=2, bank_groups=2)
CONFIGS = {
    f"{preset.name}-{row_buffers}-{gwrite}": SMALL.replace(
        timing=preset.memory.timing, row_buffers=row_buffers, gwrite=gwrite
    )
    for preset in (PAPER, HBM3, AIM)
    for row_buffers, gwrite in ((1, "burst"), (2, "row"))
}
SIZES = {Scope.BANK: 1, Scope.BANK_GROUP: 4, Scope.RANK: 8, Scope.CHANNEL: 16}


class Times:
    """From which cycle on the table allows each command at each place."""

    def __init__(self, config):
        self.config = config
        self.lines = [line for line in constraints(config) if line.scope is not Scope.ROW]
        self.places = {command: 16 // SIZES[TARGETS[command]] for command in ISSUED}
        self.allowed = {command: np.zeros(n, np.int64) for command, n in self.places.items()}
        self.openings = {rank: [] for rank in range(config.memory.ranks)}

    def issue(self, cycle, command, bank, extent):
        """Note a command on the bus."""
        size = SIZES[TARGETS[command]]
        touched = np.arange(16) // size == bank // size
        for line in self.lines:
            if command not in line.first or line.window > 1:
                continue
            if line.scope is Scope.OTHER_RANK:
                near = np.repeat(~touched.reshape(2, 8).any(1), 8)
            else:
                width = SIZES[line.scope]
                near = np.repeat(touched.reshape(-1, width).any(1), width)
            until = cycle + line.gap(self.config.memory.timing) + (extent if line.after_last else 0)
            for later in line.later & set(ISSUED):
                at = near.reshape(self.places[later], -1).any(1)
                self.allowed[later][at] = np.maximum(self.allowed[later][at], until)
        if command in OPENINGS:
            self.openings[bank // 8] += [cycle] * OPENINGS[command]

    def ready(self, cycle):
        """Return what is allowed in a cycle, as a number like that of the guards."""
        bits, shift = 0, 0
        (window,) = (line for line in self.lines if line.window > 1)
        for command in ISSUED:
            free = self.allowed[command] <= cycle
            for rank, times in self.openings.items():
                oldest = times[-(5 - OPENINGS.get(command, 5)) :]
                if command in OPENINGS and len(oldest) == 5 - OPENINGS[command]:
                    half = slice(rank * len(free) // 2, (rank + 1) * len(free) // 2)
                    free[half] &= oldest[0] + window.gap(self.config.memory.timing) <= cycle
            packed = np.packbits(free, bitorder="little").tobytes()
            bits |= int.from_bytes(packed, "little") << shift
            shift += len(free)
        return bits


def compare(simulate, config, commands, between):
    """Issue commands, a pause before each, and compare the guards with the times in every cycle.

    ``between`` says from the cycle whether the next command may come.
    """
    dut, times = Guards(config), Times(config)

    async def bench(ctx):
        ready = Value.cast(dut.ready)
        cycle = 0
        for command, bank, extent in commands:
            while True:
                got, expected = ctx.get(ready), times.ready(cycle)
                assert got == expected, f"cycle {cycle}: {got ^ expected:x}"
                if between(cycle, got, command, bank):
                    break
                await ctx.tick()
                cycle += 1
            ctx.set(dut.command, command)
            ctx.set(dut.bank, bank)
            ctx.set(dut.extent, extent)
            times.issue(cycle, command, bank, extent)
            await ctx.tick()
            cycle += 1
            ctx.set(dut.command, C.NOP)

    simulate(dut, bench)


def extent_of(config, command, columns):
    """Return the cycles to the last column or burst of a command; a GEMV is of some columns."""
    if command is C.PIM_GWRITE:
        return gwrite_extent(config)
    return (columns - 1) * config.memory.timing.nCCDL if command is C.PIM_GEMV else 0


def first_bank(command, bank):
    """Return the bank by which the bus names the place of a command."""
    return bank - bank % SIZES[TARGETS[command]]


@pytest.mark.parametrize("name", CONFIGS)
def test_each_command_holds_back_each_other_until_its_cycle(simulate, name):
    everything = (1 << sum(16 // SIZES[TARGETS[command]] for command in ISSUED)) - 1
    config = CONFIGS[name]
    commands = [
        (command, first_bank(command, bank), extent_of(config, command, columns))
        for command in ISSUED
        for bank, columns in ((5, 1), (10, 7))
    ]
    commands.append((C.PRE, 0, 0))
    compare(simulate, config, commands, lambda _c, ready, *_: ready == everything)


@pytest.mark.parametrize("name", CONFIGS)
def test_any_sequence_of_commands_holds_back_what_the_table_says(simulate, name):
    rng = np.random.default_rng(7)
    chosen = [command for command in ISSUED if command is not C.REF]
    commands = []
    for _ in range(250):
        command = chosen[int(rng.integers(len(chosen)))]
        extent = extent_of(CONFIGS[name], command, int(rng.integers(1, 5)))
        commands.append((command, first_bank(command, int(rng.integers(16))), extent))
    widths = [16 // SIZES[TARGETS[command]] for command in ISSUED]
    start = dict(zip(ISSUED, np.cumsum([0, *widths]).tolist(), strict=False))

    def legal(_cycle, ready, command, bank):
        bit = start[command] + bank // SIZES[TARGETS[command]]
        return ready >> bit & 1 and rng.random() < 0.7

    compare(simulate, CONFIGS[name], commands, legal)
