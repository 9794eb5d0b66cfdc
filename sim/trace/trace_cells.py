"""Cells of a comma-separated text, column by column, with the line that each stands in."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
import pyarrow
import pyarrow.compute
import pyarrow.csv

__all__ = ["Cells", "read_cells"]

Array = np.ndarray

_BLOCK_BYTES = 1 << 22  # parsed at a time; no line is longer
_HEADER_BYTES = 1 << 16
_NUMBER = "^-?[0-9]{1,18}$"


@dataclass(slots=True)
class Cells:
    """Cells of some lines that follow each other; lines without any text are left out.

    Attributes
    ----------
    lines
        Number of each line in the text, the header's being 1.
    uneven
        First line that has too few or too many cells, and how many; None if there is none.
    """

    batch: pyarrow.RecordBatch
    first_line: int
    uneven: tuple[int, int] | None
    careful: bool  #: there may be numbers that are not decimal
    lines: Array = field(init=False)

    def __post_init__(self) -> None:
        self.lines = self.first_line + np.arange(len(self.batch))
        if all(column.null_count for column in self.batch.columns):
            blank = np.logical_and.reduce([_blank(column) for column in self.batch.columns])
            self.lines = self.lines[~blank]
            self.batch = self.batch.filter(pyarrow.array(~blank))

    def text(self, name: str, index: int) -> str:
        """Return one cell, as Python writes it."""
        value = self.batch.column(name)[index].cast(pyarrow.binary()).as_py()
        return repr((value or b"").decode(errors="replace"))

    def words(self, name: str) -> tuple[Array, list[str]]:
        """Return a column as numbers, and the words that they stand for."""
        column = self.batch.column(name).cast(pyarrow.binary()).fill_null(b"").dictionary_encode()
        words = [word.decode(errors="replace") for word in column.dictionary.to_pylist()]
        return column.indices.to_numpy(), words

    def numbers(self, name: str) -> tuple[Array, Array, Array]:
        """Return a column as whole numbers (0 if none), which cells are blank, and which no number.

        A number has decimal digits, 18 at most, and maybe a minus sign.
        """
        column = self.batch.column(name)
        blank, no_number = _blank(column), np.zeros(len(column), bool)
        if blank.all():
            return np.zeros(len(blank), np.int64), blank, no_number
        careful = self.careful
        try:
            values = pyarrow.compute.cast(column, pyarrow.int64())
        except pyarrow.ArrowInvalid:
            careful = True
        if careful:
            bytes_ = column.cast(pyarrow.binary())
            is_number = pyarrow.compute.match_substring_regex(bytes_, _NUMBER)
            no_number = ~_filled(is_number, True)
            values = pyarrow.compute.if_else(is_number, column, None).cast(pyarrow.int64())
        return _filled(values, 0), blank, no_number


def _blank(column: pyarrow.Array) -> Array:
    if not column.null_count:
        return np.zeros(len(column), bool)
    valid: Array = column.is_valid().to_numpy(zero_copy_only=False)
    return ~valid


def _filled(column: pyarrow.Array, value: object) -> Array:
    filled: Array = column.fill_null(value).to_numpy(zero_copy_only=False)
    return filled


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    """Yield whole lines of a text, many at a time."""
    rest = b""
    while block := stream.read(_BLOCK_BYTES):
        end = block.rfind(b"\n") + 1
        if end:
            yield rest + block[:end]
            rest = block[end:]
        else:
            rest += block
    if rest:
        yield rest


def read_cells(stream: BinaryIO, columns: Sequence[str]) -> Iterator[Cells]:
    """Yield the cells of a text block by block, the header checked.

    Cells may be quoted, lines may end in CRLF.

    Raises
    ------
    ValueError
        If the header does not name the columns.
    """
    header = stream.readline(_HEADER_BYTES).rstrip(b"\r\n").decode(errors="replace")
    if next(csv.reader([header]), []) != list(columns):
        raise ValueError(f"line 1: the columns must be {','.join(columns)}, not {header[:80]!r}")
    line = 2
    for block in _blocks(stream):
        uneven: list[tuple[int, int]] = []

        def note(
            row: pyarrow.csv.InvalidRow, first: int = line, found: list[tuple[int, int]] = uneven
        ) -> str:
            found.append((first + row.number - 1, row.actual_columns))
            return "skip"

        # In this thread alone: a reader of streams has threads that may outlive the interpreter.
        table = pyarrow.csv.read_csv(
            pyarrow.BufferReader(block),
            pyarrow.csv.ReadOptions(
                column_names=columns, block_size=len(block) + 1, use_threads=False
            ),
            pyarrow.csv.ParseOptions(ignore_empty_lines=False, invalid_row_handler=note),
            pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pyarrow.string()),
                null_values=[""],
                strings_can_be_null=True,
                check_utf8=False,
            ),
        )
        has_x = b"x" in block or b"X" in block  # as of 0x10, which pyarrow takes for 16
        batches = table.combine_chunks().to_batches()
        batch = batches[0] if batches else pyarrow.RecordBatch.from_pylist([], table.schema)
        yield Cells(batch, line, uneven[0] if uneven else None, has_x)
        line += len(batch) + len(uneven)
