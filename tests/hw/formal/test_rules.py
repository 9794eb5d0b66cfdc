"""Every rule must notice its own fault on a bus that a testbench drives, and no other."""

import pytest
from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.formal.command_bus import CommandBus
from hw.formal.geometry import BLOCKED, GEOMETRIES, ONE_RANK, TWO_RANKS, TWO_SLOTS, WHOLE_ROWS
from hw.formal.mutants import MUTANTS
from hw.formal.rules.data_bus import data_bus_rules
from hw.formal.rules.row_buffer import row_buffer_rules, row_state_rules
from hw.formal.rules.timing import timing_rules
from hw.formal.rules.vector_buffer import vector_buffer_rules
from hw.protocol.commands import Command, bus_layout
from hw.protocol.constraints import constraints
from hw.protocol.results import result_schedule

TIMING = ONE_RANK.memory.timing


class Watched(wiring.Component):
    """A free C/A bus and the rules that follow it."""

    def __init__(self, config, rules):
        self.m = m = Module()
        bus = Signal(bus_layout(config))
        self.conditions = rules(CommandBus(m, config, bus))
        self._bus = bus
        super().__init__({"command": In(bus_layout(config)), "broken": Out(len(self.conditions))})

    def elaborate(self, platform):
        self.m.d.comb += [
            self._bus.eq(self.command),
            self.broken.eq(Cat(self.conditions.values())),
        ]
        return self.m


@pytest.fixture
def broken(simulate):
    """Put commands on the bus, a pair of cycle and fields each; return what was broken."""

    def run(config, rules, commands, cycles=80):
        dut = Watched(config, rules)
        names = list(dut.conditions)
        found = set()
        by_cycle = dict(commands)

        async def drive(ctx):
            for cycle in range(cycles):
                ctx.set(dut.command, by_cycle.get(cycle, {"command": Command.NOP}))
                bits = ctx.get(dut.broken)
                found.update(name for i, name in enumerate(names) if bits >> i & 1)
                await ctx.tick()

        simulate(dut, drive, deadline=cycles + 10)
        return found

    return run


def act(bank=0, row=0):
    return {"command": Command.ACT, "bank": bank, "row": row}


def on(command, bank=0, **fields):
    return {"command": command, "bank": bank, **fields}


@pytest.mark.parametrize(
    ("first", "later", "gap", "rule"),
    [
        (act(), on(Command.RD), TIMING.nRCD, "timing: ACT to RD/RDA/PIM_GWRITE, bank: nRCD"),
        (act(), on(Command.PRE), TIMING.nRAS, "timing: ACT to PRE/PREA, bank: nRAS"),
        (on(Command.REF), act(3), TIMING.nRFC, "timing: REF to ACT"),
        (
            on(Command.WR),
            on(Command.RD, 2),
            TIMING.nCWL + TIMING.nBL + TIMING.nWTRL,
            "timing: WR/WRA to RD/RDA/PIM_GWRITE, bank group",
        ),
        (
            on(Command.PIM_ACTIVATION),
            on(Command.PIM_GEMV, k=1, slots=1),
            TIMING.nRCD,
            "timing: PIM_ACTIVATION to PIM_DOTPRODUCT/PIM_GEMV",
        ),
        (
            on(Command.PIM_GEMV, k=2, slots=1),
            on(Command.PIM_PRECHARGE),
            TIMING.nCCDL + TIMING.nRTPL,
            "timing: PIM_DOTPRODUCT/PIM_GEMV to PIM_PRECHARGE",
        ),
        (
            on(Command.PIM_PRECHARGE),
            act(),
            TIMING.nRP,
            "timing: PIM_PRECHARGE to ACT, row: nRP",
        ),
    ],
)
def test_timing_has_an_edge(broken, first, later, gap, rule):
    early = broken(ONE_RANK, timing_rules, [(20, first), (20 + gap - 1, later)])
    on_time = broken(ONE_RANK, timing_rules, [(20, first), (20 + gap, later)])
    assert any(name.startswith(rule) for name in early)
    assert not any(name.startswith(rule) for name in on_time)


def test_four_activate_window_counts_openings(broken):
    window = "nFAW, window of 4"
    spaced = [(20 + 2 * n, act(n)) for n in range(4)]
    assert not any(window in name for name in broken(ONE_RANK, timing_rules, spaced))
    fifth = [*spaced, (20 + TIMING.nFAW - 1, act(0))]
    assert any(window in name for name in broken(ONE_RANK, timing_rules, fifth))
    tile = [(20, on(Command.PIM_ACTIVATION)), (20 + TIMING.nFAW - 1, act(0))]
    assert any(window in name for name in broken(ONE_RANK, timing_rules, tile))


def test_every_line_of_the_table_is_a_property():
    for geometry in GEOMETRIES.values():
        dut = Watched(geometry, timing_rules)
        Fragment.get(dut, None)
        assert len(dut.conditions) == len(constraints(geometry))


@pytest.mark.parametrize(("config", "row"), [(ONE_RANK, 1), (BLOCKED, 0)])
def test_a_row_in_both_row_buffers_is_noticed(broken, config, row):
    tile = (30, on(Command.PIM_ACTIVATION, row=1))
    assert broken(config, row_buffer_rules, [(20, act(2, row)), tile])
    closed = [(20, act(2, row)), (26, on(Command.PRE, 2)), tile]
    assert not broken(config, row_buffer_rules, closed)


def test_with_two_row_buffers_another_row_may_be_open(broken):
    commands = [(20, act(2, 0)), (30, on(Command.PIM_ACTIVATION, row=1))]
    assert not broken(ONE_RANK, row_buffer_rules, commands)


@pytest.mark.parametrize(
    ("commands", "rule"),
    [
        ([(20, act()), (30, act())], "ACT finds"),
        ([(20, on(Command.RD))], "a column command finds"),
        ([(20, act()), (30, on(Command.REF))], "REF finds"),
        ([(20, on(Command.PIM_ACTIVATION)), (30, on(Command.REF))], "REF finds"),
        ([(20, on(Command.PIM_GEMV, k=1, slots=1))], "a product finds"),
    ],
)
def test_commands_in_the_wrong_state_are_noticed(broken, commands, rule):
    (found,) = broken(ONE_RANK, row_state_rules, commands)
    assert found.startswith(rule)


def test_columns_must_not_land_in_a_half_in_use(broken):
    gemv = (20, on(Command.PIM_GEMV, k=4, slots=2, half=1))
    last = 20 + 7 * TIMING.nCCDL + 1  # the last column is read
    landing = TIMING.nCWL + 1
    for half, start, wrong in ((1, last - landing, True), (0, last - landing, False)):
        write = (start, on(Command.PIM_GWRITE_DATA, half=half))
        assert bool(broken(TWO_SLOTS, vector_buffer_rules, [gemv, write])) == wrong
    later = (last - landing + 2, on(Command.PIM_GWRITE_DATA, half=1))
    assert not broken(TWO_SLOTS, vector_buffer_rules, [gemv, later])


def test_drivers_of_the_data_bus_must_not_meet(broken):
    start, _end = result_schedule(ONE_RANK, 1, 2)[0]
    gemv = (20, on(Command.PIM_GEMV, k=2, slots=1, read=1))
    read = (20 + start - TIMING.nCL, on(Command.RD))
    assert "one driver on the data bus" in broken(ONE_RANK, data_bus_rules, [gemv, read])
    before = (20 + start - TIMING.nCL - TIMING.nBL, on(Command.RD))
    assert not broken(ONE_RANK, data_bus_rules, [gemv, before])


def test_a_single_result_drives_the_bus_whatever_its_columns(broken):
    start, _end = result_schedule(ONE_RANK, 1, 1)[0]
    result = (20, on(Command.PIM_RDRESULT, k=2))
    read = (20 + start - TIMING.nCL, on(Command.RD))
    assert "one driver on the data bus" in broken(ONE_RANK, data_bus_rules, [result, read])
    before = (20 + start - TIMING.nCL - TIMING.nBL, on(Command.RD))
    assert not broken(ONE_RANK, data_bus_rules, [result, before])


@pytest.mark.parametrize(("gap", "wrong"), [(4, True), (5, False)])
def test_all_bursts_of_a_row_keep_the_row_open(broken, gap, wrong):
    rule = "timing: PIM_GWRITE to PRE/PREA, bank: nRTPL"
    commands = [(20, on(Command.PIM_GWRITE, k=2)), (20 + gap - 1, on(Command.PRE))]
    assert any(n.startswith(rule) for n in broken(WHOLE_ROWS, timing_rules, commands)) == wrong


def test_the_last_burst_of_a_row_must_not_land_in_a_half_in_use(broken):
    gemv = (20, on(Command.PIM_GEMV, k=4, slots=2, half=1))
    last = 20 + 7 * TIMING.nCCDL + 1  # the last column is read
    landing = TIMING.nCWL + 2 * TIMING.nBL
    for start, wrong in ((last - landing, True), (last + 1, False)):
        write = (start, on(Command.PIM_GWRITE, k=2, half=1))
        assert bool(broken(WHOLE_ROWS, vector_buffer_rules, [gemv, write])) == wrong


def test_ranks_need_a_turn_around(broken):
    for gap, wrong in ((TIMING.nBL, True), (TIMING.nBL + TIMING.nTURN, False)):
        reads = [(20, on(Command.RD, 0)), (20 + gap, on(Command.RD, 4))]
        found = broken(TWO_RANKS, data_bus_rules, reads)
        assert ("a turn-around between drivers of the data bus" in found) == wrong


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_made_and_names_a_property_of_its_proof(mutant):
    with mutant.fault():
        design = mutant.task.make(mutant.task.geometry)
        Fragment.get(design, None)
    assert any(name.startswith(mutant.guarded) for name in design.properties)
