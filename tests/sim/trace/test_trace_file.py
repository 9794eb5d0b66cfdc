import re

import numpy as np
import pytest

from hw.presets import PAPER
from hw.protocol.commands import Command
from sim.trace.command_trace import ACCEPT, COLUMNS, KINDS, NO_COLUMN, RECORD, record
from sim.trace.trace_file import read_csv, write_csv

#: A record of every kind, and its line; 32 banks, 8 a rank's half.
RECORDS = {
    "0,3,ACCEPT,9,read,1,5,22,7,30,,,,,,,,": record(
        0, ACCEPT, channel=3, kind=KINDS.index("read"), tag=9, bank=22, row=7, column=30
    ),
    "1,3,ACCEPT,4000000000,write,0,0,0,32767,0,,,,,,,,": record(
        1, ACCEPT, channel=3, kind=KINDS.index("write"), tag=4_000_000_000, row=32767
    ),
    "1,3,ACCEPT,4,forward,0,0,0,32767,,,,,,,,,": record(
        1, ACCEPT, channel=3, kind=KINDS.index("forward"), tag=4, row=32767, column=NO_COLUMN
    ),
    "1,3,ACCEPT,,tile,,,,8,,,,,,,,,": record(1, ACCEPT, channel=3, kind=KINDS.index("tile"), row=8),
    "1,3,ACCEPT,,gwrite,1,5,22,8,2,,,,,,,,": record(
        1, ACCEPT, channel=3, kind=KINDS.index("gwrite"), bank=22, row=8, column=2
    ),
    "2,3,ACT,,,1,5,22,7,,,,,,,,,": record(2, Command.ACT, channel=3, bank=22, row=7),
    "3,3,PRE,,,1,7,31,,,,,,,,,,": record(3, Command.PRE, channel=3, bank=31),
    "4,3,PREA,,,1,,,,,,,,,,,,": record(4, Command.PREA, channel=3, bank=16),
    "5,3,RD,,,1,5,22,,30,,,,,,,,": record(5, Command.RD, channel=3, bank=22, column=30),
    "6,3,RDA,,,1,5,22,,2,,,,,,,,": record(6, Command.RDA, channel=3, bank=22, column=2),
    "7,3,WR,,,1,5,22,,4,,,,,,,,": record(7, Command.WR, channel=3, bank=22, column=4),
    "8,3,WRA,,,1,5,22,,6,,,,,,,,": record(8, Command.WRA, channel=3, bank=22, column=6),
    "9,3,REF,,,0,,,,,,,,,,,,": record(9, Command.REF, channel=3),
    "10,3,PIM_GWRITE,,row,1,5,22,,4,,1,8,,,,14,": record(
        10, Command.PIM_GWRITE, channel=3, bank=22, column=4, half=1, offset=8, k=14
    ),
    "11,3,PIM_GWRITE,,data,,,,,,,1,254,,,,,": record(
        11, Command.PIM_GWRITE_DATA, channel=3, half=1, offset=254
    ),
    "12,3,PIM_ACTIVATION,,,1,5,,9,,,,,,,,,": record(
        12, Command.PIM_ACTIVATION, channel=3, bank=20, row=9
    ),
    "13,3,PIM_DOTPRODUCT,,,,,,,31,,1,255,,15,,,": record(
        13, Command.PIM_DOTPRODUCT, channel=3, column=31, half=1, offset=255, slot=15
    ),
    "14,3,PIM_RDRESULT,,,,,,,,,,,,15,,,": record(14, Command.PIM_RDRESULT, channel=3, slot=15),
    "15,3,PIM_GEMV,,,,,,,1,8,0,2,5,3,4,7,1": record(
        15,
        Command.PIM_GEMV,
        channel=3,
        column=1,
        column_step=8,
        offset=2,
        offset_step=5,
        slot=3,
        slots=4,
        k=7,
        read=1,
    ),
    "1000000000000,3,PIM_PRECHARGE,,,,,,,,,,,,,,,": record(
        10**12, Command.PIM_PRECHARGE, channel=3
    ),
}
HEADER = ",".join(COLUMNS)


@pytest.fixture
def read(tmp_path):
    def run(*lines, end="\n"):
        path = tmp_path / "trace.csv"
        path.write_bytes(end.join([HEADER, *lines, ""]).encode())
        return read_csv(PAPER, path)

    return run


def test_every_command_has_its_line(tmp_path):
    trace = np.array(list(RECORDS.values()), RECORD)
    write_csv(PAPER, trace, tmp_path / "trace.csv")
    assert (tmp_path / "trace.csv").read_text() == "\n".join([HEADER, *RECORDS, ""])
    codes = set(trace["command"].tolist())
    assert codes == {command.value for command in Command if command is not Command.NOP} | {ACCEPT}


def test_every_line_reads_back(read):
    assert np.array_equal(read(*RECORDS), np.array(list(RECORDS.values()), RECORD))
    assert np.array_equal(read(*RECORDS, end="\r\n"), np.array(list(RECORDS.values()), RECORD))


def test_trace_without_lines(read):
    assert len(read()) == 0


def test_last_line_may_lack_its_end(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text(f"{HEADER}\n" + "4,3,PREA,,,1,,,,,,,,,,,,")
    assert read_csv(PAPER, path)["bank"].tolist() == [16]


def test_trace_of_many_blocks_reads_back(tmp_path, monkeypatch):
    monkeypatch.setattr("sim.trace.trace_cells._BLOCK_BYTES", 1000)
    monkeypatch.setattr("sim.trace.trace_file._WRITE_RECORDS", 7)
    rng = np.random.default_rng(3)
    trace = np.array(list(RECORDS.values()), RECORD)[rng.integers(0, len(RECORDS), 500)]
    trace["cycle"] = np.arange(500) * 3
    write_csv(PAPER, trace, tmp_path / "trace.csv")
    assert np.array_equal(read_csv(PAPER, tmp_path / "trace.csv"), trace)


HALF = "the 256 columns of a half of the vector buffer"
GOOD = "2,3,ACT,,,1,5,22,7,,,,,,,,,"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("5,3", "must have 18 cells, not 2"),
        ("5,3,ACT,,,1,5,22,7,,,,,,,,,,", "must have 18 cells, not 19"),
        ("5,3,ACT,,,1,5,22,7,,,,,,,,", "must have 18 cells, not 17"),
        (
            "x,3,ACT,,,1,5,22,7,,,,,,,,,",
            "cycle must be a whole number of at most 18 digits, not 'x'",
        ),
        ("-5,3,ACT,,,1,5,22,7,,,,,,,,,", "cycle must be a number of at most 18 digits, not '-5'"),
        (
            " 5,3,ACT,,,1,5,22,7,,,,,,,,,",
            "cycle must be a whole number of at most 18 digits, not ' 5'",
        ),
        (",3,ACT,,,1,5,22,7,,,,,,,,,", "cycle must be a whole number of at most 18 digits, not ''"),
        (f"{10**18},3,PREA,,,1,,,,,,,,,,,,", "cycle must be a number of at most 18 digits"),
        ("5,3,ACCEPT,9,read,1,5,22,7,3,,,,,,,,", "column of ACCEPT must be even, a burst's first"),
        ("5,3,ACCEPT,9,read,1,5,22,7,32,,,,,,,,", "column of ACCEPT must be from 0 to 31, not"),
        ("5,3,ACCEPT,,tile,,,,7,2,,,,,,,,", "column of ACCEPT must be blank, not '2'"),
        ("5,32,ACT,,,1,5,22,7,,,,,,,,,", "channel must be from 0 to 31, not '32'"),
        ("5,3,REFSB,,,1,5,22,,,,,,,,,,", "command must be one of ACT, PRE, PREA, RD"),
        ("5,3,NOP,,,,,,,,,,,,,,,", "command must be one of ACT, PRE, PREA, RD"),
        ("5,3,PIM_GWRITE_DATA,,,,,,,,,1,2,,,,,", "command must be one of ACT, PRE, PREA, RD"),
        ("5,3,PIM_PRECHARGED_AND_MORE,,,,,,,,,,,,,,,", "command must be one of ACT"),
        ("5,3,PIM_GWRITE,,both,,,,,,,1,2,,,,,", "kind of PIM_GWRITE must be row or data, not"),
        ("5,3,ACCEPT,,,,,,7,,,,,,,,,", "kind of ACCEPT must be read or write or tile or gwrite"),
        ("5,3,ACT,,row,1,5,22,7,,,,,,,,,", "kind of ACT must be blank, not 'row'"),
        ("5,3,ACT,,,2,5,22,7,,,,,,,,,", "rank of ACT must be from 0 to 1, not '2'"),
        ("5,3,ACT,,,0,5,22,7,,,,,,,,,", "rank must be 1, which bank_group 5 lies in, not 0"),
        ("5,3,ACT,,,1,4,22,7,,,,,,,,,", "bank_group must be 5, which bank 22 lies in, not 4"),
        ("5,3,ACT,,,1,5,32,7,,,,,,,,,", "bank of ACT must be from 0 to 31, not '32'"),
        ("5,3,ACT,,,1,5,22,32768,,,,,,,,,", "row of ACT must be from 0 to 32767, not '32768'"),
        ("5,3,ACT,,,1,5,22,,,,,,,,,,", "row of ACT must be a whole number from 0 to 32767, not ''"),
        ("5,3,PRE,,,1,5,22,7,,,,,,,,,", "row of PRE must be blank, not '7'"),
        ("5,3,REF,,,1,5,,,,,,,,,,,", "bank_group of REF must be blank, not '5'"),
        ("5,3,RD,,,1,5,22,,32,,,,,,,,", "column of RD must be from 0 to 31, not '32'"),
        ("5,3,RD,,,1,5,22,,3,,,,,,,,", "column of RD must be even, a burst's first, not 3"),
        ("5,3,PIM_GWRITE,,data,,,,,,,2,2,,,,,", "half of PIM_GWRITE must be from 0 to 1, not '2'"),
        ("5,3,PIM_GWRITE,,data,,,,,,,1,3,,,,,", "offset of PIM_GWRITE must be even, a burst's"),
        (
            "5,3,PIM_GWRITE,,row,1,5,22,,4,,1,8,,,,15,",
            "the operand of PIM_GWRITE must end within the 32 columns of a row, not at 34",
        ),
        (
            "5,3,PIM_GWRITE,,row,1,5,22,,0,,1,250,,,,4,",
            f"the operand of PIM_GWRITE must end within {HALF}, not at 258",
        ),
        ("5,3,PIM_RDRESULT,,,,,,,,,,,,16,,,", "slot of PIM_RDRESULT must be from 0 to 15, not"),
        (
            "5,3,PIM_GEMV,,,,,,,1,8,0,2,5,3,4,8,1",
            "the operand of PIM_GEMV must end within the 32 columns of a row, not at 33",
        ),
        (
            "5,3,PIM_GEMV,,,,,,,0,0,0,248,4,3,2,5,1",
            f"the operand of PIM_GEMV must end within {HALF}, not at 257",
        ),
        (
            "5,3,PIM_GEMV,,,,,,,0,0,0,0,0,13,4,8,1",
            "the operand of PIM_GEMV must end within the 16 slots, not at 17",
        ),
        ("5,3,PIM_GEMV,,,,,,,0,0,0,0,0,0,0,8,1", "slots of PIM_GEMV must be from 1 to 16, not '0'"),
        ("5,3,PIM_GEMV,,,,,,,0,0,0,0,0,0,1,0,1", "k of PIM_GEMV must be from 1 to 32, not '0'"),
        ("5,3,PIM_GEMV,,,,,,,0,0,0,0,0,0,1,8,2", "read of PIM_GEMV must be from 0 to 1, not '2'"),
        ("1,3,PREA,,,1,,,,,,,,,,,,", "cycle of channel 3 must be at least 2, that of its line"),
        ("2,3,ACCEPT,,tile,,,,8,,,,,,,,,", "ACCEPT of channel 3 must stand before the command of"),
    ],
)
def test_unusable_line(read, line, message):
    with pytest.raises(ValueError, match=f"^line 3: {re.escape(message)}"):
        read(GOOD, line, "nonsense,5" if line.count(",") < 17 else GOOD)


def test_first_unusable_line_is_named(read):
    bad_row, bad_cycle = "5,3,ACT,,,1,5,22,99999,,,,,,,,,", "x,3,ACT,,,1,5,22,7,,,,,,,,,"
    with pytest.raises(ValueError, match=r"^line 4: row"):
        read(GOOD, GOOD, bad_row, bad_cycle)
    with pytest.raises(ValueError, match=r"^line 4: cycle"):
        read(GOOD, GOOD, bad_cycle, bad_row)


def test_channels_may_be_out_of_order_with_each_other(read):
    assert len(read("5,3,PREA,,,1,,,,,,,,,,,,", "2,4,PREA,,,1,,,,,,,,,,,,")) == 2


def test_unknown_columns(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("cycle,command\n")
    with pytest.raises(ValueError, match=r"^line 1: the columns must be cycle,channel,.*not 'cyc"):
        read_csv(PAPER, path)
