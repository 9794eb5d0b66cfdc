"""``neupims check-trace``: status and what is printed."""

import gzip
import os
import threading

import numpy as np
import pytest

from hw.presets import TINY
from hw.protocol.commands import Command
from scheduler.cli import main
from scheduler.commands.files import write_file
from scheduler.commands.variants import _Records
from sim.trace.command_trace import ACCEPT, COLUMNS, NO_COLUMN, RECORD, record
from sim.trace.trace_file import write_csv


@pytest.fixture
def check(tmp_path, capsys):
    def run(records, *options):
        trace = np.array(list(records), RECORD)
        write_csv(TINY, trace, tmp_path / "trace.csv")
        status = main(["check-trace", str(tmp_path / "trace.csv"), *options])
        captured = capsys.readouterr()
        return status, captured.out.splitlines(), captured.err

    return run


REQUEST = record(0, ACCEPT, kind=0, bank=1, row=5, tag=3)
ACT = record(10, Command.ACT, bank=1, row=5)
LEGAL = [REQUEST, ACT, record(24, Command.RD, bank=1), record(44, Command.PRE, bank=1)]


def test_legal_trace(check, tmp_path):
    status, out, err = check(LEGAL)
    assert (status, err) == (0, "")
    assert out == [
        f"{tmp_path}/trace.csv: 3 commands, 1 acceptance, 0 violations of tiny with 2 row buffers"
    ]


def test_violations_are_printed_one_a_line(check):
    trace = [REQUEST, ACT, record(23, Command.RD, bank=1), record(40, Command.PRE, bank=1)]
    status, out, err = check(trace)
    assert (status, err) == (1, "")
    place = "rank=0 bank_group=0 bank=1"
    opening = f"after ACT {place} row=5 in cycle 10"
    rules = ("rule 1 (same bank, nRCD = 14 cycles)", "rule 1 (same bank, nRAS = 34 cycles)")
    assert out[:2] == [
        f"cycle 23, channel 0: {rules[0]}: RD {place} column=0, {opening}: 1 cycle missing",
        f"cycle 40, channel 0: {rules[1]}: PRE {place}, {opening}: 4 cycles missing",
    ]
    assert out[2].endswith("3 commands, 1 acceptance, 2 violations of tiny with 2 row buffers")


def test_trace_that_a_run_writes_is_accepted(tmp_path, capsys):
    records = _Records(TINY)
    records.add(np.array(LEGAL[:2], RECORD))
    records.add(np.array(LEGAL[2:], RECORD))
    assert records.check() == len(LEGAL)
    path = write_file(tmp_path / "trace.csv", records.write)
    assert [entry.name for entry in tmp_path.iterdir()] == ["trace.csv"]
    assert main(["check-trace", str(path), "--config", "tiny"]) == 0
    assert "3 commands, 1 acceptance, 0 violations" in capsys.readouterr().out


def test_missing_acceptances_are_said(check):
    status, out, _err = check(LEGAL[1:])
    assert status == 0
    assert out[0].endswith("rules 3 and 7 not checked: the trace has no ACCEPT lines")


def test_missing_refresh_is_found_at_the_end(check):
    last = 9 * TINY.memory.timing.nREFI + 7
    status, out, _err = check([*LEGAL, record(last, Command.PREA)])
    assert status == 1
    assert out[0] == (
        f"cycle {last}, channel 0: rule 5 (refresh of rank 0 is late): end of the trace: "
        "7 cycles missing"
    )


def test_row_buffers_of_the_baseline(check):
    trace = [
        record(0, Command.ACT, bank=1, row=5),
        record(40, Command.PIM_ACTIVATION, row=6),
        record(100, Command.PIM_PRECHARGE),
    ]
    assert check(trace)[0] == 0
    assert check(trace, "--row-buffers", "2")[0] == 0
    status, out, _err = check(trace, "--row-buffers", "1")
    assert status == 1
    assert "rule 2 (a row must not be open in both row buffers)" in "".join(out)
    assert "of tiny with 1 row buffer;" in out[-1]


def test_configuration_of_a_file(check, tmp_path):
    path = tmp_path / "blocked.toml"
    path.write_text('preset = "tiny"\n[pim]\nrow_buffers = 1\n[memory.timing]\nnRCD = 15\n')
    status, out, _err = check(LEGAL, "--config", str(path))
    assert status == 1
    assert "nRCD = 15 cycles" in out[0]
    assert out[-1].endswith("of blocked with 1 row buffer")


@pytest.fixture
def fails(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(lines, *options):
        header = ",".join(COLUMNS)
        (tmp_path / "trace.csv").write_text("\n".join([header, *lines]) + "\n")
        assert main(["check-trace", "trace.csv", *options]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.count("\n") == 1
        return captured.err

    return run


def test_line_that_cannot_be_parsed(fails):
    assert fails(["5,0,ACT,,,0,0,1,x,,,,,,,,,"]) == (
        "neupims: trace.csv: line 2: row of ACT must be a whole number from 0 to 1023, not 'x' "
        "(configuration tiny)\n"
    )


def test_lines_out_of_order(fails):
    lines = ["5,0,PREA,,,0,,,,,,,,,,,,", "4,0,PREA,,,0,,,,,,,,,,,,"]
    assert fails(lines) == (
        "neupims: trace.csv: line 3: cycle of channel 0 must be at least 5, that of its line "
        "before, not 4 (configuration tiny)\n"
    )


def test_operands_of_another_device(fails):
    line = "5,0,PIM_GEMV,,,,,,,0,0,0,0,0,7,2,8,1"
    assert "must end within the 8 slots, not at 9 (configuration tiny)" in fails([line])


def test_unknown_configuration(fails):
    assert "--config must be" in fails([], "--config", "huge")


def test_unknown_number_of_row_buffers(fails):
    assert "--row-buffers" in fails([], "--row-buffers", "3")


def test_missing_file(tmp_path, capsys):
    assert main(["check-trace", str(tmp_path / "none.csv")]) == 2
    message = f"FILE must be a readable file, not '{tmp_path}/none.csv'"
    assert capsys.readouterr().err == f"neupims: {message} (No such file or directory)\n"


def test_file_that_is_no_text(tmp_path, capsys):
    (tmp_path / "binary").write_bytes(bytes(range(256)) * 10)
    assert main(["check-trace", str(tmp_path / "binary")]) == 2
    assert "line 1: the columns must be cycle,channel" in capsys.readouterr().err


def test_help_says_what_and_how(capsys):
    with pytest.raises(SystemExit):
        main(["check-trace", "--help"])
    text = capsys.readouterr().out
    for words in ("--row-buffers", "--config", "exit status: 0", "docs/command-trace.md"):
        assert words in text


def test_header_alone_is_nothing_to_check(fails):
    assert fails([]) == (
        "neupims: trace.csv: there is nothing to check: a header, but no records\n"
    )
    assert "nothing to check" in fails(["", ""])


ROW_OF_ACT = "row of ACT must be a whole number from 0 to 1023, not"


@pytest.mark.parametrize(
    ("cell", "shown"), [("7.0", "'7.0'"), ('"x,y"', "'x,y'"), ("0x7", "'0x7'")]
)
def test_cell_that_is_no_whole_number(fails, cell, shown):
    message = fails(["", f"5,0,ACT,,,0,0,1,{cell},,,,,,,,,", "nonsense"])
    assert message == f"neupims: trace.csv: line 3: {ROW_OF_ACT} {shown} (configuration tiny)\n"


def test_trace_of_a_spreadsheet(check, tmp_path, capsys):
    check(LEGAL)
    lines = (tmp_path / "trace.csv").read_text().splitlines()
    quoted = [",".join(f'"{cell}"' for cell in line.split(",")) for line in lines]
    blank = "," * lines[0].count(",")
    text = "\ufeff" + "\r\n".join([*lines[:2], *quoted[2:], blank, "", ""])
    text = text.replace("\r\n", f"\r\n{blank}\r\n", 1)
    path = tmp_path / "sheet.csv"
    path.write_bytes(text.encode())
    packed = tmp_path / "sheet.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    for file in (path, packed):
        assert main(["check-trace", str(file)]) == 0
        assert "3 commands, 1 acceptance, 0 violations" in capsys.readouterr().out


def test_trace_from_a_pipe(check, tmp_path, capsys):
    check(LEGAL)
    content = (tmp_path / "trace.csv").read_bytes()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=[content])
    writer.start()
    assert main(["check-trace", str(pipe)]) == 0
    writer.join()
    assert "3 commands, 1 acceptance, 0 violations" in capsys.readouterr().out


def test_compressed_trace_that_is_cut(tmp_path, capsys):
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(b"cycle")[:-4])
    assert main(["check-trace", str(path)]) == 2
    assert capsys.readouterr().err.startswith(
        f"neupims: {path}: the compressed data must be whole: "
    )


def test_folder_is_no_trace(tmp_path, capsys):
    assert main(["check-trace", str(tmp_path)]) == 2
    message = f"FILE must be a readable file, not '{tmp_path}' (Is a directory)"
    assert capsys.readouterr().err == f"neupims: {message}\n"


LATE = 40 * TINY.memory.timing.nREFI


def test_trace_without_refresh(check):
    trace = [*LEGAL, record(LATE, Command.PREA)]
    assert check(trace)[0] == 1
    status, out, _err = check(trace, "--no-refresh")
    assert status == 0
    assert out[-1].endswith("; rule 5 not checked, but for REF inside a tile: there is no refresh")
    assert check([*LEGAL[:2], record(23, Command.RD, bank=1)], "--no-refresh")[0] == 1


def test_window_of_a_run(check):
    window = [record(LATE, Command.RD, bank=1), record(LATE + 20, Command.PRE, bank=1)]
    status, out, _err = check(window)
    assert (status, len(out)) == (1, 3)
    status, out, _err = check(window, "--window")
    assert status == 0
    assert "rules 3 and 7 not checked: what was accepted before the trace is unknown" in out[-1]
    assert "states of rows and PIM not checked before their first commands" in out[-1]
    window[1]["cycle"] = LATE + 5
    status, out, _err = check(window, "--window")
    assert (status, len(out)) == (1, 2)
    assert "nRTPL = 6 cycles" in out[0]


def test_trace_that_ends_too_early(check):
    trace = [*LEGAL, record(50, ACCEPT, kind=0, bank=2, row=9, tag=4, column=2)]
    status, out, _err = check(trace)
    assert status == 1
    assert out[0] == (
        "cycle 50, channel 0: rule 7 (an accepted read must be served): end of the trace, after "
        "ACCEPT tag=4 kind=read rank=0 bank_group=0 bank=2 row=9 column=2 in cycle 50"
    )
    status, out, _err = check(trace, "--cut-end")
    assert status == 0
    assert out[0].endswith("; what is never served not checked: the trace is cut")


def test_separate_buses(check):
    trace = [ACT, record(60, Command.ACT, bank=2, row=6), record(60, Command.RD, bank=1)]
    assert check(trace)[0] == 1
    assert check(trace, "--separate-buses")[0] == 0


def test_acceptances_without_columns_are_said(check):
    trace = [record(0, ACCEPT, kind=0, bank=1, row=5, tag=3, column=NO_COLUMN), *LEGAL[1:]]
    status, out, _err = check(trace)
    assert status == 0
    assert out[0].endswith("; columns of bursts not checked: there are ACCEPT lines without one")


def test_stack_of_three_ranks(tmp_path, capsys):
    path, config = tmp_path / "trace.csv", tmp_path / "twelve.toml"
    config.write_text('preset = "hbm3"\n[memory]\nranks = 3\n')
    rest = ",,,,,,,,"
    lines = [
        f"20,0,ACT,,,2,8,32,7,{rest}",
        f"51,0,RD,,,2,8,32,,2{rest}",
        f"54,0,PREA,,,0,,,,{rest}",
        f"61,0,PREA,,,2,,,,{rest}",
        "70,0,PIM_PRECHARGE" + "," * 15,
    ]
    path.write_text("\n".join([",".join(COLUMNS), *lines, ""]))
    assert main(["check-trace", str(path), "--config", str(config)]) == 1
    *found, _summary = capsys.readouterr().out.splitlines()
    place = "rank=2 bank_group=8 bank=32"
    assert found == [
        (
            "cycle 61, channel 0: rule 1 (same bank, nRAS = 45 cycles): PREA rank=2, "
            f"after ACT {place} row=7 in cycle 20: 4 cycles missing"
        ),
        "cycle 70, channel 0: rule 1 (PIM_PRECHARGE needs an open PIM row buffer): PIM_PRECHARGE",
    ]
    path.write_text("\n".join([",".join(COLUMNS), lines[0].replace("2,8,32", "3,12,48"), ""]))
    assert main(["check-trace", str(path), "--config", str(config)]) == 2
    assert "rank of ACT must be from 0 to 2, not '3'" in capsys.readouterr().err
