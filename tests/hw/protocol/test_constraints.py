"""The table against edges of ``paper`` written by hand, from the data sheet figures alone."""

from dataclasses import replace
from itertools import product

import pytest

from hw.presets import AIM, HBM3, PAPER
from hw.protocol.commands import Command
from hw.protocol.constraints import CONSTRAINTS, TARGETS, Scope, constraints

#: Cycles between two commands at one bank, the later one for another row; those that are not named
#: need only a cycle each on the C/A bus. From a PIM_GEMV on they count from its last column. RD to
#: WR: nCL + nBL + 2 - nCWL = 14 + 2 + 2 - 4, in NeuPIMs' simulator (extern/NewtonSim/src/timing.cc,
#: read_to_write, with tRTRS 2) and in Ramulator 2 (python/ramulator/dram/hbm2.py).
SAME_BANK = """
ACT   ACT 48 PRE 34 PREA 34 RD 14 RDA 14 WR 14 WRA 14 REF 48 PIM_GWRITE 14 PIM_ACTIVATION 6
PRE   ACT 14 REF 14
PREA  ACT 14 REF 14
RD    PRE 6 PREA 6 RD 2 RDA 2 WR 14 WRA 14 PIM_GWRITE 2 PIM_GWRITE_DATA 14
RDA   ACT 20 REF 20 PRE 6 PREA 6 RD 2 RDA 2 WR 14 WRA 14 PIM_GWRITE 2 PIM_GWRITE_DATA 14
WR    PRE 22 PREA 22 RD 14 RDA 16 WR 2 WRA 2 PIM_GWRITE 14 PIM_GWRITE_DATA 2
WRA   ACT 36 REF 36 PRE 22 PREA 22 RD 14 RDA 16 WR 2 WRA 2 PIM_GWRITE 14 PIM_GWRITE_DATA 2
REF   ACT 260 PIM_ACTIVATION 260 REF 260
PIM_GWRITE       PRE 6 PREA 6 RD 2 RDA 2 WR 2 WRA 2 PIM_GWRITE 2 PIM_GWRITE_DATA 2
PIM_GWRITE       PIM_DOTPRODUCT 14 PIM_GEMV 14
PIM_GWRITE_DATA  WR 2 WRA 2 PIM_GWRITE 2 PIM_GWRITE_DATA 2 PIM_DOTPRODUCT 6 PIM_GEMV 6
PIM_ACTIVATION   ACT 6 PIM_ACTIVATION 48 PIM_DOTPRODUCT 14 PIM_GEMV 14 PIM_PRECHARGE 34 REF 48
PIM_DOTPRODUCT   PIM_DOTPRODUCT 2 PIM_RDRESULT 2 PIM_GEMV 2 PIM_PRECHARGE 6
PIM_RDRESULT     PIM_DOTPRODUCT 2 PIM_RDRESULT 2 PIM_GEMV 2
PIM_GEMV         PIM_DOTPRODUCT 2 PIM_RDRESULT 2 PIM_GEMV 2 PIM_PRECHARGE 6
PIM_PRECHARGE    PIM_ACTIVATION 14 REF 14
"""

#: What changes where both want one row, or there is one row buffer only.
SHARED = """
ACT   PIM_ACTIVATION 48
PRE   PIM_ACTIVATION 14
PREA  PIM_ACTIVATION 14
RDA   PIM_ACTIVATION 20
WRA   PIM_ACTIVATION 36
PIM_ACTIVATION  ACT 48
PIM_PRECHARGE   ACT 14
"""

#: Two banks of a bank group.
SAME_GROUP = """
ACT  ACT 6
RD   RD 2 RDA 2 WR 14 WRA 14 PIM_GWRITE 2
RDA  RD 2 RDA 2 WR 14 WRA 14 PIM_GWRITE 2
WR   RD 14 RDA 14 WR 2 WRA 2 PIM_GWRITE 14
WRA  RD 14 RDA 14 WR 2 WRA 2 PIM_GWRITE 14
PIM_GWRITE  RD 2 RDA 2 WR 2 WRA 2 PIM_GWRITE 2
"""

#: Two bank groups of a rank.
SAME_RANK = """
ACT  ACT 4 PIM_ACTIVATION 4
RD   RD 2 RDA 2 WR 14 WRA 14 PIM_GWRITE 2
RDA  RD 2 RDA 2 WR 14 WRA 14 PIM_GWRITE 2
WR   RD 12 RDA 12 WR 2 WRA 2 PIM_GWRITE 12
WRA  RD 12 RDA 12 WR 2 WRA 2 PIM_GWRITE 12
PIM_GWRITE      RD 2 RDA 2 WR 2 WRA 2 PIM_GWRITE 2
PIM_ACTIVATION  ACT 4 PIM_ACTIVATION 4
"""

#: Two ranks.
OTHER_RANK = """
RD   RD 3 RDA 3 WR 14 WRA 14 PIM_GWRITE 2
RDA  RD 3 RDA 3 WR 14 WRA 14 PIM_GWRITE 2
WR   WR 2 WRA 2 PIM_GWRITE 2
WRA  WR 2 WRA 2 PIM_GWRITE 2
PIM_GWRITE  RD 2 RDA 2 WR 2 WRA 2 PIM_GWRITE 2
"""

COMMANDS = [command for command in Command if command is not Command.NOP]


def read(*texts):
    """Return the cycles of each pair of commands."""
    edges = {}
    for line in "".join(texts).split("\n"):
        first, *rest = line.split() or [""]
        for later, cycles in zip(rest[::2], rest[1::2], strict=True):
            edges[Command[first], Command[later]] = int(cycles)
    return edges


def gap(config, first, later, meet, table=CONSTRAINTS):
    """Return the cycles between two commands that are as near to each other as ``meet``."""
    gaps = [1]
    for line in table:
        applies = meet <= line.scope <= Scope.CHANNEL
        if meet is Scope.OTHER_RANK:
            applies = line.scope in (Scope.OTHER_RANK, Scope.CHANNEL)
        applies &= line.window == 1 and config.pim.row_buffers in line.row_buffers
        if applies and first in line.first and later in line.later:
            gaps.append(line.gap(config.memory.timing))
    return max(gaps)


def meetings(first, later):
    """Return how near two commands can be: one that works on much is near to all of it."""
    widest = max(TARGETS[first], TARGETS[later])
    apart = [scope for scope in (Scope.BANK_GROUP, Scope.RANK) if scope > widest]
    ranks = [Scope.OTHER_RANK] if widest <= Scope.RANK else []
    return [Scope.ROW, Scope.BANK, *apart, *ranks]


def by_hand(first, later, meet, row_buffers):
    shared = SHARED if meet is Scope.ROW or row_buffers == 1 else ""
    edges = {
        Scope.ROW: read(SAME_BANK, shared),
        Scope.BANK: read(SAME_BANK, shared),
        Scope.BANK_GROUP: read(SAME_GROUP),
        Scope.RANK: read(SAME_RANK),
        Scope.OTHER_RANK: read(OTHER_RANK),
    }
    return edges[meet].get((first, later), 1)


@pytest.mark.parametrize("row_buffers", [1, 2])
@pytest.mark.parametrize("first", COMMANDS)
def test_every_gap_of_paper_is_the_one_written_by_hand(first, row_buffers):
    config = PAPER.replace(row_buffers=row_buffers)
    for later in COMMANDS:
        for meet in meetings(first, later):
            expected = by_hand(first, later, meet, row_buffers)
            assert gap(config, first, later, meet) == expected, (later, meet)


def test_lists_by_hand_name_pairs_that_can_meet_so():
    for text, meet in (
        (SAME_GROUP, Scope.BANK_GROUP),
        (SAME_RANK, Scope.RANK),
        (OTHER_RANK, Scope.OTHER_RANK),
    ):
        assert all(meet in meetings(*pair) for pair in read(text))


def test_four_openings_of_a_rank_fill_thirty_cycles():
    (window,) = (line for line in constraints(PAPER) if line.window > 1)
    assert window.gap(PAPER.memory.timing) == 30
    assert (window.scope, window.window) == (Scope.RANK, 4)
    assert window.first == window.later == {Command.ACT, Command.PIM_ACTIVATION}


def test_only_products_are_waited_for_until_their_last_column():
    lines = [line for line in CONSTRAINTS if Command.PIM_GEMV in line.first]
    assert lines
    assert all(line.after_last for line in lines)


#: Values of the other presets that ``paper`` has no say in: they are equal there, or too short.
FURTHER = [
    (HBM3, Command.ACT, Command.RD, Scope.BANK, 31),
    (HBM3, Command.ACT, Command.WR, Scope.BANK, 15),
    (HBM3, Command.ACT, Command.ACT, Scope.BANK, 72),
    (HBM3, Command.ACT, Command.ACT, Scope.BANK_GROUP, 5),
    (HBM3, Command.ACT, Command.ACT, Scope.RANK, 4),
    (HBM3, Command.PRE, Command.PREA, Scope.RANK, 2),
    (HBM3, Command.PRE, Command.PRE, Scope.OTHER_RANK, 1),
    (HBM3, Command.RD, Command.PRE, Scope.BANK, 9),
    (HBM3, Command.RD, Command.RD, Scope.BANK_GROUP, 4),
    (HBM3, Command.RD, Command.RD, Scope.RANK, 2),
    (HBM3, Command.RD, Command.RD, Scope.OTHER_RANK, 3),
    (HBM3, Command.RD, Command.WR, Scope.RANK, 20),
    (HBM3, Command.RD, Command.WR, Scope.OTHER_RANK, 20),
    (HBM3, Command.RD, Command.PIM_GWRITE_DATA, Scope.BANK, 20),
    (HBM3, Command.WR, Command.WR, Scope.OTHER_RANK, 2),
    (HBM3, Command.WR, Command.RD, Scope.BANK_GROUP, 22),
    (HBM3, Command.WR, Command.RD, Scope.RANK, 19),
    (HBM3, Command.WR, Command.RDA, Scope.BANK, 36),
    (HBM3, Command.WR, Command.PRE, Scope.BANK, 45),
    (HBM3, Command.REF, Command.ACT, Scope.RANK, 560),
    (AIM, Command.ACT, Command.RD, Scope.BANK, 18),
    (AIM, Command.ACT, Command.WR, Scope.BANK, 14),
    (AIM, Command.ACT, Command.ACT, Scope.BANK, 45),
    (AIM, Command.ACT, Command.ACT, Scope.RANK, 7),
    (AIM, Command.WR, Command.RD, Scope.RANK, 12),
    (AIM, Command.PIM_ACTIVATION, Command.PIM_GEMV, Scope.BANK, 28),
    (AIM, Command.PIM_ACTIVATION, Command.REF, Scope.RANK, 45),
    (AIM, Command.PIM_GEMV, Command.PIM_GEMV, Scope.BANK, 1),
    (AIM, Command.RD, Command.RD, Scope.BANK, 2),
    (AIM, Command.RD, Command.WR, Scope.BANK, 24),
    (AIM, Command.WR, Command.RD, Scope.BANK, 13),
    (AIM, Command.REF, Command.ACT, Scope.RANK, 120),
]


@pytest.mark.parametrize(("config", "first", "later", "meet", "cycles"), FURTHER)
def test_gap_of_another_preset(config, first, later, meet, cycles):
    assert gap(config, first, later, meet) == cycles


def test_decisions_between_ranks_and_within_a_refresh():
    # The controller drives all write data: two ranks need no turn-around. Ranks that send do.
    assert gap(PAPER, Command.WR, Command.WRA, Scope.OTHER_RANK) == 2
    assert gap(PAPER, Command.RD, Command.RDA, Scope.OTHER_RANK) == 3
    # A refresh takes the cells, not the global vector buffer.
    assert gap(PAPER, Command.REF, Command.PIM_GWRITE_DATA, Scope.BANK) == 1
    assert gap(PAPER, Command.PIM_GWRITE_DATA, Command.REF, Scope.BANK) == 1


def test_read_to_write_is_never_less_than_the_data_bus_needs():
    for nRTW, cycles in ((None, 13), (12, 13), (13, 13), (14, 14), (20, 20)):
        config = PAPER.replace(timing=replace(PAPER.memory.timing, nRTW=nRTW))
        assert gap(config, Command.RD, Command.WR, Scope.BANK) == cycles
        assert gap(config, Command.RDA, Command.PIM_GWRITE_DATA, Scope.CHANNEL) == cycles


def test_write_data_keep_away_from_reads_of_another_rank():
    late = PAPER.replace(timing=replace(PAPER.memory.timing, nCL=7, nCWL=7))
    assert gap(late, Command.WR, Command.RD, Scope.OTHER_RANK) == 3
    assert gap(late, Command.PIM_GWRITE_DATA, Command.RD, Scope.BANK) == 3


def test_no_line_of_the_table_is_without_effect():
    late = PAPER.replace(timing=replace(PAPER.memory.timing, nCL=7, nCWL=7))
    slow = PAPER.replace(timing=replace(PAPER.memory.timing, nRC=60, nCCDS=3, nCCDL=4))
    configs = (PAPER, HBM3, AIM, late, slow, *(c.replace(row_buffers=1) for c in (PAPER, slow)))

    for number, line in enumerate(CONSTRAINTS):
        rest = CONSTRAINTS[:number] + CONSTRAINTS[number + 1 :]
        cases = product(configs, sorted(line.first, key=str), sorted(line.later, key=str))
        assert line.window > 1 or any(
            gap(*case, meet, CONSTRAINTS) != gap(*case, meet, rest)
            for case in cases
            for meet in meetings(*case[1:])
        ), line.formula


def test_every_command_has_a_target():
    assert set(TARGETS) == set(COMMANDS)


def test_formula_names_the_parameters():
    formulas = {line.formula for line in CONSTRAINTS if Command.WRA in line.first}
    assert "nCWL + nBL + nWR + nRP" in formulas
    assert "nRC" in {line.formula for line in CONSTRAINTS if Command.ACT in line.first}
