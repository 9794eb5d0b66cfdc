import pytest

from hw.presets import TINY
from hw.protocol.commands import Request


def read(bank, row, column, tag):
    return {"kind": Request.READ, "bank": bank, "row": row, "column": column, "tag": tag}


def write(bank, row, column, data, tag):
    return {**read(bank, row, column, tag), "kind": Request.WRITE, "data": data}


def test_write_that_continues_a_run_does_not_overtake_one_to_its_address(drive):
    columns = (10, 14, 12, 14)
    outcome = drive(TINY, [write(0, 5, column, n, n) for n, column in enumerate(columns)])
    assert outcome.cells[0, 5, 14] == 3


@pytest.mark.parametrize("delay", [8, 14])
def test_write_does_not_overtake_one_that_waits_for_a_run_of_reads(drive, delay):
    requests = [read(0, 5, 2 * n, n) for n in range(8)]
    requests += [write(0, 5, 0, 1, 20), delay, write(0, 5, 0, 2, 21)]
    # At the high watermark writes come before the reads are done.
    requests += [
        write(1 + i % 3, 7 + i, 0, 3, 22 + i) for i in range(TINY.controller.write_high - 2)
    ]
    outcome = drive(TINY, requests)
    assert outcome.cells[0, 5, 0] == 2
    assert outcome.answers[0] == 0
