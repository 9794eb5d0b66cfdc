"""``neupims check-trace`` on traces written by hand: each rule kept at its edge, and broken."""

import pytest

from scheduler.cli import main
from sim.trace.command_trace import COLUMNS

HEADER = (
    "cycle,channel,command,tag,kind,rank,bank_group,bank,row,column,column_step,half,offset,"
    "offset_step,slot,slots,k,read"
)

#: Traces of ``tiny``, up to a command that comes at the cycle given as legal, and one cycle (or one
#: reason) away from it as illegal, and what is printed then. Lines are cut behind their last cell.
CASES = {
    "rule 1: RD follows ACT after nRCD": (
        ["10,0,ACT,,,0,0,1,5"],
        "24,0,RD,,,0,0,1,,0",
        "23,0,RD,,,0,0,1,,0",
        (
            "cycle 23, channel 0: rule 1 (same bank, nRCD = 14 cycles): "
            "RD rank=0 bank_group=0 bank=1 column=0, "
            "after ACT rank=0 bank_group=0 bank=1 row=5 in cycle 10: 1 cycle missing"
        ),
    ),
    "rule 1: a PIM_ACTIVATION fills the window": (
        ["10,0,PIM_ACTIVATION,,,0,0,,7"],
        "40,0,ACT,,,0,0,1,5",
        "39,0,ACT,,,0,0,1,5",
        (
            "cycle 39, channel 0: rule 1 (same rank, nFAW: 4 openings in 30 cycles): "
            "ACT rank=0 bank_group=0 bank=1 row=5, "
            "after PIM_ACTIVATION rank=0 bank_group=0 row=7 in cycle 10: 1 cycle missing"
        ),
    ),
    "rule 1: PIM_PRECHARGE follows the last column of a PIM_GEMV": (
        ["0,0,PIM_ACTIVATION,,,0,0,,7", "14,0,PIM_GEMV,,,,,,,0,0,0,0,0,0,2,5,0"],
        "38,0,PIM_PRECHARGE",
        "37,0,PIM_PRECHARGE",
        (
            "cycle 37, channel 0: rule 1 (same channel, nRTPL = 6 cycles): PIM_PRECHARGE, "
            "after PIM_GEMV column=0 column_step=0 half=0 offset=0 offset_step=0 slot=0 slots=2 "
            "k=5 read=0 in cycle 14: 1 cycle missing"
        ),
    ),
    "rule 1: a product needs an open row": (
        ["0,0,PIM_ACTIVATION,,,0,0,,7"],
        "39,0,PIM_DOTPRODUCT,,,,,,,3,,0,0,,1",
        ["34,0,PIM_PRECHARGE", "39,0,PIM_DOTPRODUCT,,,,,,,3,,0,0,,1"],
        (
            "cycle 39, channel 0: rule 1 (a product needs the PIM row buffers of all bank groups "
            "open): PIM_DOTPRODUCT column=3 half=0 offset=0 slot=1, after PIM_PRECHARGE in cycle 34"
        ),
    ),
    "rule 2: a row is open in one row buffer only": (
        ["10,0,ACT,,,0,0,1,5"],
        "60,0,PIM_ACTIVATION,,,0,0,,6",
        "60,0,PIM_ACTIVATION,,,0,0,,5",
        (
            "cycle 60, channel 0: rule 2 (a row must not be open in both row buffers): "
            "PIM_ACTIVATION rank=0 bank_group=0 row=5, "
            "after ACT rank=0 bank_group=0 bank=1 row=5 in cycle 10"
        ),
    ),
    "rule 3: a tile overtakes no earlier write to its row": (
        ["0,0,ACCEPT,3,write,0,0,1,5", "1,0,ACCEPT,,tile,,,,5"],
        [
            *("10,0,ACT,,,0,0,1,5", "24,0,WR,,,0,0,1,,0", "46,0,PRE,,,0,0,1"),
            "60,0,PIM_ACTIVATION,,,0,0,,5",
        ],
        "10,0,PIM_ACTIVATION,,,0,0,,5",
        (
            "cycle 10, channel 0: rule 3 (a tile must not overtake earlier requests to its row): "
            "PIM_ACTIVATION rank=0 bank_group=0 row=5, "
            "after ACCEPT tag=3 kind=write rank=0 bank_group=0 bank=1 row=5 in cycle 0"
        ),
        (
            "cycle 10, channel 0: rule 7 (an accepted write must be served): end of the trace, "
            "after ACCEPT tag=3 kind=write rank=0 bank_group=0 bank=1 row=5 in cycle 0"
        ),
    ),
    "rule 3: a read does not overtake an earlier tile of its row": (
        ["0,0,ACCEPT,,tile,,,,5", "1,0,ACCEPT,3,read,0,0,1,5"],
        [
            *("10,0,PIM_ACTIVATION,,,0,0,,5", "44,0,PIM_PRECHARGE", "58,0,ACT,,,0,0,1,5"),
            "72,0,RD,,,0,0,1,,0",
        ],
        [
            *("10,0,ACT,,,0,0,1,5", "24,0,RD,,,0,0,1,,0", "44,0,PRE,,,0,0,1"),
            "58,0,PIM_ACTIVATION,,,0,0,,5",
        ],
        (
            "cycle 24, channel 0: rule 3 (a request must not overtake a tile of its row): "
            "RD rank=0 bank_group=0 bank=1 column=0, "
            "after PIM_ACTIVATION rank=0 bank_group=0 row=5 in cycle 58"
        ),
    ),
    "rule 4: a vector is not overwritten before its last column is read": (
        ["0,0,PIM_ACTIVATION,,,0,0,,7", "14,0,PIM_GEMV,,,,,,,0,0,0,0,0,0,1,5,0"],
        "19,0,PIM_GWRITE,,data,,,,,,,0,4",
        "18,0,PIM_GWRITE,,data,,,,,,,0,4",
        (
            "cycle 18, channel 0: rule 4 (a vector must not be overwritten while a product reads "
            "it): PIM_GWRITE kind=data half=0 offset=4, after PIM_GEMV column=0 column_step=0 "
            "half=0 offset=0 offset_step=0 slot=0 slots=1 k=5 read=0 in cycle 14: 1 cycle missing"
        ),
    ),
    "rule 5: no refresh inside a tile": (
        ["0,0,PIM_ACTIVATION,,,0,0,,7"],
        ["60,0,PIM_PRECHARGE", "74,0,REF,,,0"],
        ["74,0,REF,,,0", "400,0,PIM_PRECHARGE"],
        (
            "cycle 74, channel 0: rule 5 (REF must not fall inside a tile): REF rank=0, "
            "after PIM_ACTIVATION rank=0 bank_group=0 row=7 in cycle 0"
        ),
    ),
    "rule 5: eight refreshes may be postponed": (
        [],
        "35100,0,REF,,,0",
        "35101,0,REF,,,0",
        "cycle 35101, channel 0: rule 5 (refresh is late): REF rank=0: 1 cycle missing",
    ),
    "rule 7: nobody asked": (
        ["0,0,ACCEPT,3,read,0,0,1,5", "10,0,ACT,,,0,0,1,5"],
        "24,0,RD,,,0,0,1,,0",
        ["24,0,RD,,,0,0,1,,0", "38,0,WR,,,0,0,1,,0"],
        (
            "cycle 38, channel 0: rule 7 (a command must serve an accepted write): "
            "WR rank=0 bank_group=0 bank=1 column=0"
        ),
    ),
    "rule 7: nobody asked for this burst": (
        ["0,0,ACCEPT,3,read,0,0,1,5,6", "10,0,ACT,,,0,0,1,5"],
        "24,0,RD,,,0,0,1,,6",
        "24,0,RD,,,0,0,1,,8",
        (
            "cycle 24, channel 0: rule 7 (a command must serve an accepted read): "
            "RD rank=0 bank_group=0 bank=1 column=8"
        ),
        (
            "cycle 24, channel 0: rule 7 (an accepted read must be served): end of the trace, "
            "after ACCEPT tag=3 kind=read rank=0 bank_group=0 bank=1 row=5 column=6 in cycle 0"
        ),
    ),
    "rule 8: one command a cycle": (
        ["7,0,PRE,,,0,0,2"],
        "8,0,PRE,,,0,0,3",
        "7,0,PRE,,,0,0,3",
        (
            "cycle 7, channel 0: rule 8 (one command a cycle on the C/A bus): "
            "PRE rank=0 bank_group=0 bank=3, "
            "after PRE rank=0 bank_group=0 bank=2 in cycle 7: 1 cycle missing"
        ),
    ),
    # The result of the slot leaves 20 cycles after its last column, in 66 and 67; RD data come 14
    # cycles after the command.
    "rule 8: results of a PIM_GEMV have the data bus for themselves": (
        [
            *("0,0,PIM_ACTIVATION,,,0,0,,7", "30,0,ACT,,,0,0,1,5"),
            "40,0,PIM_GEMV,,,,,,,0,0,0,0,0,0,1,4,1",
        ],
        "54,0,RD,,,0,0,1,,0",
        "53,0,RD,,,0,0,1,,0",
        (
            "cycle 53, channel 0: rule 8 (one driver on the data bus, turn-arounds kept): "
            "RD rank=0 bank_group=0 bank=1 column=0, after PIM_GEMV column=0 column_step=0 half=0 "
            "offset=0 offset_step=0 slot=0 slots=1 k=4 read=1 in cycle 40: 1 cycle missing"
        ),
    ),
}


@pytest.fixture
def check(tmp_path, capsys):
    def run(first, last):
        lines = [*first, *([last] if isinstance(last, str) else last)]
        padded = [line + "," * (HEADER.count(",") - line.count(",")) for line in lines]
        path = tmp_path / "trace.csv"
        path.write_text("\n".join([HEADER, *padded]) + "\n")
        status = main(["check-trace", str(path), "--config", "tiny"])
        return status, capsys.readouterr().out.splitlines()[:-1]

    return run


def test_columns_are_those_of_the_format():
    assert ",".join(COLUMNS) == HEADER


@pytest.mark.parametrize("name", CASES)
def test_rule_is_kept_at_its_edge(check, name):
    first, legal, *_rest = CASES[name]
    assert check(first, legal) == (0, [])


@pytest.mark.parametrize("name", CASES)
def test_rule_that_is_broken_is_named_with_both_commands(check, name):
    first, _legal, illegal, *lines = CASES[name]
    assert check(first, illegal) == (1, lines)


def test_refresh_that_never_came_names_the_last_one(check):
    status, lines = check(["100,0,REF,,,0"], "39001,0,PREA,,,0")
    assert status == 1
    assert lines == [
        (
            "cycle 39001, channel 0: rule 5 (refresh of rank 0 is late): end of the trace, "
            "after REF rank=0 in cycle 100: 1 cycle missing"
        )
    ]
