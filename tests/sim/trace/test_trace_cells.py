import io

import numpy as np
import pytest

from sim.trace.trace_cells import read_cells

COLUMNS = ("cycle", "row", "word")


def cells(text, header="cycle,row,word\n"):
    return list(read_cells(io.BytesIO((header + text).encode("utf-8", "surrogateescape")), COLUMNS))


def only(text):
    (block,) = cells(text)
    return block


@pytest.mark.parametrize("header", ["cycle,row,word", '"cycle","row","word"'])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_columns_by_name(header, end):
    (block,) = cells(f'7,8,a{end}9,,"b"{end}', header + end)
    assert block.lines.tolist() == [2, 3]
    assert [x.tolist() for x in block.numbers("cycle")] == [[7, 9], [False] * 2, [False] * 2]
    assert [x.tolist() for x in block.numbers("row")] == [[8, 0], [False, True], [False] * 2]
    codes, words = block.words("word")
    assert [words[code] for code in codes] == ["a", "b"]


@pytest.mark.parametrize("header", ["", "cycle,row", "row,cycle,word", "cycle;row;word"])
def test_header_must_name_the_columns(header):
    with pytest.raises(ValueError, match=r"^line 1: the columns must be cycle,row,word, not '"):
        cells("1,2,a\n", header + "\n")


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("7", 7),
        ('"7"', 7),
        ("007", 7),
        ("-3", -3),
        ("999999999999999999", 10**18 - 1),
        ("7.0", None),
        ("0x10", None),
        ("0X10", None),
        ("-0x10", None),
        ("1e3", None),
        ("+7", None),
        (" 7", None),
        ("7 ", None),
        ("1_000", None),
        ('"1,000"', None),
        ("\u0667", None),
        ("9999999999999999999999", None),
        ("nan", None),
        ("\udcff", None),
    ],
)
def test_numbers_are_decimal_digits(cell, value):
    block = only(f"1,{cell},a\n2,5,b\n")
    values, blank, no_number = block.numbers("row")
    assert no_number.tolist() == [value is None, False]
    assert values.tolist() == [value or 0, 5]
    assert not blank.any()


def test_text_of_a_cell_is_what_stands_there():
    block = only('1,7.0,"a,b"\n2,\udcff,\n')
    assert block.text("row", 0) == "'7.0'"
    assert block.text("word", 0) == "'a,b'"
    assert block.text("row", 1) == "'\ufffd'"
    assert block.text("word", 1) == "''"


def test_lines_without_text_are_left_out_and_counted():
    block = only("\n1,2,a\n\n,,\n3,4,b\n\n\n")
    assert block.lines.tolist() == [3, 6]
    assert block.numbers("row")[0].tolist() == [2, 4]


def test_text_without_lines():
    assert cells("") == []
    assert [len(block.lines) for block in cells("\n\n")] == [0]


@pytest.mark.parametrize(("line", "count"), [("1,2", 2), ("1", 1), ("1,2,a,", 4), ("x" * 99, 1)])
def test_uneven_line_is_named_by_its_number(line, count):
    blocks = cells(f"1,2,a\n\n{line}\n3,4,b\n5\n")
    assert blocks[0].lines.tolist()[:1] == [2]
    assert blocks[0].uneven == (4, count)
    assert cells(f"{line}\n")[-1].uneven == (2, count)


def test_blocks_go_on_counting(monkeypatch):
    monkeypatch.setattr("sim.trace.trace_cells._BLOCK_BYTES", 100)
    text = "".join(f"{n},{n},w\n" + "\n" * (n % 3 == 0) for n in range(200))
    blocks = cells(text)
    assert len(blocks) > 5
    values = np.concatenate([block.numbers("row")[0] for block in blocks]).tolist()
    found = list(zip(values, np.concatenate([b.lines for b in blocks]).tolist(), strict=True))
    lines = text.split("\n")
    assert len(found) == 200
    assert all(lines[line - 2].startswith(f"{value},") for value, line in found)
