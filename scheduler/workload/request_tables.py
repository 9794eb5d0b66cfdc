"""Tables of requests, as public traces and simulators write them: a line a request, by lengths."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["LONGEST", "RequestLengths", "looks_like_a_table", "read_requests"]

#: Tokens of a prompt or an answer, at most (chosen: ten times the longest context of any model).
LONGEST = 10_000_000

#: Names of the columns of prompt and answer lengths, by who writes them: Vidur's traces, Azure's
#: public LLM traces (2023 and 2024), Mooncake's JSON lines, BurstGPT, LLMServingSim.
COLUMNS = (
    ("num_prefill_tokens", "num_decode_tokens"),
    ("ContextTokens", "GeneratedTokens"),
    ("input_length", "output_length"),
    ("Request tokens", "Response tokens"),
    ("input_toks", "output_toks"),
)


@dataclass(frozen=True, slots=True)
class RequestLengths:
    """Tokens of a request's prompt and of its answer; both at least 1."""

    prompt: int
    answer: int


def looks_like_a_table(line: str) -> bool:
    """Return whether a line is the header, or the first record, of a table of requests.

    >>> looks_like_a_table("arrived_at,num_prefill_tokens,num_decode_tokens")
    True
    >>> looks_like_a_table("Hello, world")
    False
    """
    if line.lstrip().startswith("{"):
        try:
            names = json.loads(line)
        except ValueError:
            return False
    else:
        names = next(csv.reader([line]), [])
    return any(prompt in names and answer in names for prompt, answer in COLUMNS)


def read_requests(text: str) -> list[RequestLengths]:
    """Return the requests of a table, CSV with a header or JSON lines; blank lines are skipped.

    Columns are found by their names, in any order. Whole numbers may be written ``7.0``.

    Raises
    ------
    ValueError
        Naming the line, its value, and what it must be.
    """
    lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise ValueError("it must hold at least one request, but is empty")
    first = lines[0][1]
    records = _objects(lines) if first.lstrip().startswith("{") else _cells(lines)
    requests = []
    for number, record in records:
        prompt, answer = _columns(record, number)
        requests.append(
            RequestLengths(
                _length(record, prompt, number),
                _length(record, answer, number),
            )
        )
    if not requests:
        raise ValueError("it must hold at least one request, but has only a header")
    return requests


def _objects(lines: Sequence[tuple[int, str]]) -> Iterator[tuple[int, Mapping[str, object]]]:
    for number, line in lines:
        try:
            record = json.loads(line)
        except ValueError as error:
            raise ValueError(f"line {number}: it must be JSON: {error}") from None
        if not isinstance(record, dict):
            raise ValueError(f"line {number}: it must be an object of JSON, not {line[:40]!r}")
        yield number, record


def _cells(lines: Sequence[tuple[int, str]]) -> Iterator[tuple[int, Mapping[str, object]]]:
    header = [name.strip() for name in next(csv.reader([lines[0][1]]))]
    _columns(dict.fromkeys(header), lines[0][0])
    for number, line in lines[1:]:
        cells = next(csv.reader([line]))
        if len(cells) != len(header):
            raise ValueError(f"line {number}: it must have {len(header)} cells, not {len(cells)}")
        yield number, dict(zip(header, cells, strict=True))


def _columns(record: Mapping[str, object], number: int) -> tuple[str, str]:
    for pair in COLUMNS:
        if all(name in record for name in pair):
            return pair
    known = "; ".join(" and ".join(pair) for pair in COLUMNS)
    raise ValueError(f"line {number}: the columns must name lengths, as {known} do")


def _length(record: Mapping[str, object], name: str, number: int) -> int:
    value = record[name]
    text = value.strip() if isinstance(value, str) else json.dumps(value)
    try:
        length = int(text) if text.lstrip("+-").isdigit() else float(text)
    except ValueError:
        length = -1
    if not 1 <= length <= LONGEST or length != int(length):
        raise ValueError(
            f"line {number}: {name} must be a whole number from 1 to {LONGEST:,}, not {text!r}"
        )
    return int(length)
