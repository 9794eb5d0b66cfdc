"""The table against edges written by hand from the data sheet figures of ``paper``."""

from dataclasses import replace

import pytest

from hw.memory.commands import Command as C
from hw.memory.constraints import TARGETS, Scope, constraints
from hw.presets import PAPER

#: First and later command, whether they meet in a bank, a group, a rank or only the channel, and
#: the cycles between them in ``paper``; 1 means that nothing but the C/A bus keeps them apart.
EDGES = [
    (C.ACT, C.RD, Scope.BANK, 14),
    (C.ACT, C.WRA, Scope.BANK, 14),
    (C.ACT, C.PIM_GWRITE, Scope.BANK, 14),
    (C.ACT, C.PRE, Scope.BANK, 34),
    (C.ACT, C.ACT, Scope.BANK, 48),
    (C.ACT, C.ACT, Scope.BANK_GROUP, 6),
    (C.ACT, C.ACT, Scope.RANK, 4),
    (C.ACT, C.ACT, Scope.CHANNEL, 1),
    (C.ACT, C.REF, Scope.RANK, 48),
    (C.ACT, C.PIM_ACTIVATION, Scope.BANK_GROUP, 6),
    (C.ACT, C.PIM_ACTIVATION, Scope.RANK, 4),
    (C.PRE, C.ACT, Scope.BANK, 14),
    (C.PRE, C.ACT, Scope.BANK_GROUP, 1),
    (C.PREA, C.ACT, Scope.BANK, 14),
    (C.PRE, C.REF, Scope.RANK, 14),
    (C.RD, C.PRE, Scope.BANK, 6),
    (C.RD, C.PRE, Scope.BANK_GROUP, 1),
    (C.RDA, C.ACT, Scope.BANK, 20),
    (C.RDA, C.REF, Scope.RANK, 20),
    (C.RD, C.RD, Scope.BANK, 2),
    (C.RD, C.RD, Scope.RANK, 2),
    (C.RD, C.RD, Scope.OTHER_RANK, 3),
    (C.RD, C.WR, Scope.CHANNEL, 13),
    (C.RD, C.PIM_GWRITE_DATA, Scope.CHANNEL, 13),
    (C.WR, C.WR, Scope.CHANNEL, 2),
    (C.WR, C.RD, Scope.BANK_GROUP, 14),
    (C.WR, C.RD, Scope.RANK, 12),
    (C.WR, C.RD, Scope.OTHER_RANK, 1),
    (C.WR, C.PRE, Scope.BANK, 22),
    (C.WRA, C.ACT, Scope.BANK, 36),
    (C.REF, C.ACT, Scope.RANK, 260),
    (C.REF, C.PIM_ACTIVATION, Scope.RANK, 260),
    (C.REF, C.REF, Scope.RANK, 260),
    (C.REF, C.ACT, Scope.CHANNEL, 1),
    (C.PIM_ACTIVATION, C.PIM_ACTIVATION, Scope.BANK_GROUP, 48),
    (C.PIM_ACTIVATION, C.PIM_ACTIVATION, Scope.CHANNEL, 1),
    (C.PIM_ACTIVATION, C.PIM_GEMV, Scope.CHANNEL, 14),
    (C.PIM_ACTIVATION, C.PIM_PRECHARGE, Scope.CHANNEL, 34),
    (C.PIM_PRECHARGE, C.PIM_ACTIVATION, Scope.CHANNEL, 14),
    (C.PIM_PRECHARGE, C.REF, Scope.CHANNEL, 14),
    (C.PIM_GEMV, C.PIM_GEMV, Scope.CHANNEL, 2),  # after its last column
    (C.PIM_DOTPRODUCT, C.PIM_DOTPRODUCT, Scope.CHANNEL, 2),
    (C.PIM_DOTPRODUCT, C.PIM_RDRESULT, Scope.CHANNEL, 2),
    (C.PIM_GEMV, C.PIM_PRECHARGE, Scope.CHANNEL, 6),
    (C.PIM_GWRITE_DATA, C.PIM_GEMV, Scope.CHANNEL, 6),
    (C.PIM_GWRITE, C.PIM_GEMV, Scope.CHANNEL, 14),
]

#: The same between the two row buffers of a bank: with two of them, and with one.
BETWEEN_ROW_BUFFERS = [
    (C.PRE, C.PIM_ACTIVATION, Scope.ROW, 14, 1),
    (C.PIM_PRECHARGE, C.ACT, Scope.ROW, 14, 1),
    (C.PRE, C.PIM_ACTIVATION, Scope.BANK, 1, 14),
    (C.PIM_PRECHARGE, C.ACT, Scope.BANK, 1, 14),
    (C.WRA, C.PIM_ACTIVATION, Scope.ROW, 36, 1),
]


def gap(config, first, later, meet):
    """Return the cycles between two commands that are as near to each other as ``meet``."""
    gaps = [1]
    for line in constraints(config):
        if meet is Scope.OTHER_RANK:
            applies = line.scope in (Scope.OTHER_RANK, Scope.CHANNEL)
        elif meet is Scope.ROW:
            applies = line.scope is Scope.ROW
        else:
            applies = meet <= line.scope <= Scope.CHANNEL
        if applies and line.window == 1 and first in line.first and later in line.later:
            gaps.append(line.gap(config.timing))
    return max(gaps)


@pytest.mark.parametrize(("first", "later", "meet", "cycles"), EDGES)
def test_gap_between_commands(first, later, meet, cycles):
    assert gap(PAPER, first, later, meet) == cycles


@pytest.mark.parametrize(("first", "later", "meet", "two", "one"), BETWEEN_ROW_BUFFERS)
def test_gap_between_row_buffers(first, later, meet, two, one):
    assert gap(PAPER, first, later, meet) == two
    assert gap(replace(PAPER, row_buffers=1), first, later, meet) == one


def test_four_openings_of_a_rank_fill_thirty_cycles():
    (window,) = (line for line in constraints(PAPER) if line.window > 1)
    assert window.gap(PAPER.timing) == 30
    assert (window.scope, window.window) == (Scope.RANK, 4)


def test_every_command_has_a_target():
    assert set(TARGETS) == set(C) - {C.NOP}
