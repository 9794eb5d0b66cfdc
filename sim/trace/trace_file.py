"""Command traces as text, a line a record; docs/command-trace.md describes the format."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from hw.config import Config
from hw.protocol.commands import Command
from sim.trace.command_trace import ACCEPT, COLUMNS, KINDS, RECORD, fields_of

__all__ = ["read_csv", "write_csv"]

Array = np.ndarray

_WRITE_RECORDS = 1 << 16  # at a time
_READ_BYTES = 1 << 24  # at a time
_HEADER = ",".join(COLUMNS)
_CODES = ACCEPT + len(KINDS)  # commands, then ACCEPT by its kind
_TEXT = ("command", "kind")
_BURSTS = (Command.RD, Command.RDA, Command.WR, Command.WRA, Command.PIM_GWRITE)
_VECTORS = (Command.PIM_GWRITE, Command.PIM_GWRITE_DATA)
_DIGITS = 18  # that a number may have
_ANY = 10**_DIGITS - 1


def _used() -> dict[str, Array]:
    """Return, for each column, which codes use it."""
    used = {name: np.zeros(_CODES, bool) for name in COLUMNS}
    for code in range(_CODES):
        fields = fields_of(code) if code < ACCEPT else fields_of(ACCEPT, code - ACCEPT)
        for name in (*COLUMNS[:3], *fields):
            used[name][code] = True
    return used


_USED = _used()


def _names() -> tuple[list[str], list[str]]:
    """Return what stands in the cells ``command`` and ``kind`` of each code."""
    commands = [Command(code).name for code in range(ACCEPT)] + ["ACCEPT"] * len(KINDS)
    kinds = [""] * ACCEPT + list(KINDS)
    commands[Command.PIM_GWRITE_DATA.value] = "PIM_GWRITE"
    kinds[Command.PIM_GWRITE.value], kinds[Command.PIM_GWRITE_DATA.value] = "row", "data"
    return commands, kinds


_COMMANDS, _KINDS = _names()


def write_csv(config: Config, trace: Array, path: Path) -> None:
    """Write a trace: a header, then a line a record, cells blank where a field means nothing."""
    with path.open("w", newline="") as file:
        file.write(_HEADER + "\n")
        for start in range(0, len(trace), _WRITE_RECORDS):
            columns = _texts(config, trace[start : start + _WRITE_RECORDS])
            file.writelines(f"{line}\n" for line in map(",".join, zip(*columns, strict=True)))


def _texts(config: Config, trace: Array) -> Iterator[list[str]]:
    """Return the cells of each column."""
    is_accept = trace["command"] == ACCEPT
    code = trace["command"] + np.where(is_accept, trace["kind"], 0)
    bank = trace["bank"].astype(np.int64)
    values = {
        "rank": bank // config.memory.banks_per_rank,
        "bank_group": bank // 4,
        "k": np.where(code == Command.PIM_GWRITE.value, np.maximum(trace["k"], 1), trace["k"]),
    }
    for name in COLUMNS:
        if name in _TEXT:
            table = _COMMANDS if name == "command" else _KINDS
            yield [table[i] for i in code.tolist()]
            continue
        column = (values[name] if name in values else trace[name]).tolist()
        used = _USED[name][code]
        if used.all():
            yield list(map(str, column))
        else:
            yield [str(v) if u else "" for v, u in zip(column, used.tolist(), strict=True)]


def read_csv(config: Config, path: Path) -> Array:
    """Read a trace from text.

    Returns
    -------
    ndarray
        Records, ``RECORD[lines]``.

    Raises
    ------
    ValueError
        If a line is no record of this device, or out of order. The message names the line, the
        value, and what it must be.
    """
    parts = [np.zeros(0, RECORD)]
    with path.open("rb") as file:
        header = file.readline().rstrip(b"\r\n").decode(errors="replace")
        if header != _HEADER:
            raise ValueError(f"line 1: the columns must be {_HEADER}, not {header[:200]!r}")
        line, rest = 2, b""
        while block := file.read(_READ_BYTES):
            block = rest + block
            end = block.rfind(b"\n") + 1
            block, rest = block[:end], block[end:]
            if block:
                parts.append(_Block(config, block, line).records())
                line += len(parts[-1])
        if rest:
            parts.append(_Block(config, rest + b"\n", line).records())
    trace = np.concatenate(parts)
    _check_order(trace)
    return trace


class _Block:
    """Some whole lines, read column by column. Of what is wrong, the first line is reported."""

    def __init__(self, config: Config, block: bytes, first_line: int):
        self._config = config
        self._first_line = first_line
        self._wrong: tuple[int, str] | None = None
        self._text = np.frombuffer(block.replace(b"\r\n", b"\n"), np.uint8)
        is_end = self._text == ord("\n")
        ends = np.flatnonzero(is_end)
        separators = np.flatnonzero(is_end | (self._text == ord(",")))
        count = np.diff(np.searchsorted(separators, ends, "right"), prepend=0)
        self._refuse(
            count != len(COLUMNS), lambda i: f"must have {len(COLUMNS)} cells, not {count[i]}"
        )
        self._check()
        stops = separators.reshape(len(ends), len(COLUMNS))
        self._starts = np.concatenate([[0], separators[:-1] + 1]).reshape(stops.shape)
        self._widths = stops - self._starts

    def _refuse(self, wrong: Array, message: Callable[[int], str]) -> None:
        """Note the first line of a mask, if no earlier one was."""
        line = int(wrong.argmax()) if len(wrong) else 0
        if len(wrong) and wrong[line] and (self._wrong is None or line < self._wrong[0]):
            self._wrong = line, message(line)

    def _check(self) -> None:
        """Raise ValueError for what was noted."""
        if self._wrong is not None:
            raise ValueError(f"line {self._first_line + self._wrong[0]}: {self._wrong[1]}")

    def _cell(self, line: int, column: int) -> str:
        start = self._starts[line, column]
        text = self._text[start : start + self._widths[line, column]].tobytes()
        return repr(text.decode(errors="replace"))

    def records(self) -> Array:
        """Return the records.

        Raises
        ------
        ValueError
            If a line is no record of this device.
        """
        code = self._codes()
        self._check()
        records = np.zeros(len(code), RECORD)
        records["command"] = np.minimum(code, ACCEPT)
        records["kind"] = np.maximum(code - ACCEPT, 0)
        values = {name: self._numbers(name, code) for name in COLUMNS if name not in _TEXT}
        self._check_places(code, values)
        self._check_operands(code, values)
        self._check()
        for name in (*COLUMNS[:2], "tag", *COLUMNS[COLUMNS.index("bank") :]):
            records[name] = values[name]
        first = values["bank_group"] * 4 + values["rank"] * self._config.memory.banks_per_rank
        wide = ~_USED["bank"][code]
        group = _USED["bank_group"][code]
        records["bank"] = np.where(
            wide, np.where(group, values["bank_group"] * 4, first), values["bank"]
        )
        return records

    def _codes(self) -> Array:
        """Return the code of each line from its cells ``command`` and ``kind``."""
        commands, kinds = self._words("command"), self._words("kind")
        code = np.full(len(commands), -1)
        known = np.zeros(len(commands), bool)
        for number, (command, kind) in enumerate(zip(_COMMANDS, _KINDS, strict=True)):
            if number != Command.NOP.value:
                same = commands == command.encode()
                known |= same
                code[same & (kinds == kind.encode())] = number
        names = ", ".join(dict.fromkeys(_COMMANDS[1:]))
        at, kind_at = COLUMNS.index("command"), COLUMNS.index("kind")
        self._refuse(~known, lambda i: f"command must be one of {names}, not {self._cell(i, at)}")

        def kind_message(line: int) -> str:
            command = commands[line].decode()
            allowed = [k or "blank" for c, k in zip(_COMMANDS, _KINDS, strict=True) if c == command]
            text = f"kind of {command} must be {' or '.join(allowed)}"
            return f"{text}, not {self._cell(line, kind_at)}"

        self._refuse(known & (code < 0), kind_message)
        return code

    def _words(self, name: str) -> Array:
        """Return the cells of a column as bytes; what is too long is cut, and equals no name."""
        column = COLUMNS.index(name)
        size = max(map(len, (*_COMMANDS, *_KINDS))) + 1
        place = np.arange(size)
        padded = np.concatenate([self._text, np.zeros(size, np.uint8)])
        letters = padded[self._starts[:, column, None] + place]
        letters[place >= self._widths[:, column, None]] = 0
        words: Array = np.ascontiguousarray(letters).view(f"S{size}")[:, 0]
        return words

    def _numbers(self, name: str, code: Array) -> Array:
        """Return the numbers of a column, 0 where it is blank."""
        column = COLUMNS.index(name)
        starts, widths = self._starts[:, column], self._widths[:, column]
        used = _USED[name][code]
        values = np.zeros(len(code), np.int64)
        is_number = np.ones(len(code), bool)
        for place in range(min(_DIGITS, int(widths.max(initial=0)))):
            here = np.flatnonzero(place < widths)
            digit = self._text[starts[here] + place].astype(np.int64) - ord("0")
            is_number[here] &= (digit >= 0) & (digit <= 9)
            values[here] = values[here] * 10 + digit
        least, most = self._range(name)

        def owner(line: int) -> str:
            return f"of {_COMMANDS[code[line]]} " if name not in COLUMNS[:2] else ""

        def message(line: int) -> str:
            limit = f"from {least} to {most}" if most < _ANY else "a number of at most 18 digits"
            return f"{name} {owner(line)}must be {limit}, not {self._cell(line, column)}"

        wrong = ~is_number | (widths == 0) | (widths > _DIGITS) | (values < least) | (values > most)
        self._refuse(used & wrong, message)
        self._refuse(
            ~used & (widths != 0),
            lambda i: f"{name} {owner(i)}must be blank, not {self._cell(i, column)}",
        )
        return values

    def _range(self, name: str) -> tuple[int, int]:
        """Return the least and the largest number that a column may hold."""
        config = self._config
        most = {
            "channel": config.memory.channels - 1,
            "tag": (1 << 32) - 1,
            "rank": config.memory.ranks - 1,
            "bank_group": config.memory.groups - 1,
            "bank": config.memory.banks - 1,
            "row": config.memory.rows - 1,
            "column": config.memory.columns - 1,
            "column_step": config.memory.columns - 1,
            "half": 1,
            "offset": config.vector_columns - 1,
            "offset_step": config.vector_columns - 1,
            "slot": config.pim.slots - 1,
            "slots": config.pim.slots,
            "k": config.memory.columns,
            "read": 1,
        }
        return int(name in ("slots", "k")), most.get(name, _ANY)

    def _check_places(self, code: Array, values: dict[str, Array]) -> None:
        """Check that rank, bank group and bank, all counted in the channel, agree."""
        banks = {"rank": self._config.memory.banks_per_rank, "bank_group": 4, "bank": 1}
        for outer, inner in (("rank", "bank_group"), ("bank_group", "bank")):
            expected = values[inner] // (banks[outer] // banks[inner])
            wrong = _USED[inner][code] & (values[outer] != expected)
            self._refuse(
                wrong,
                lambda i, o=outer, n=inner, e=expected: (  # type: ignore[misc]
                    f"{o} must be {e[i]}, which {n} {values[n][i]} lies in, not {values[o][i]}"
                ),
            )

    def _check_operands(self, code: Array, values: dict[str, Array]) -> None:
        """Check that bursts and PIM operands lie within row, vector buffer and slots."""
        config = self._config

        def is_any(commands: Iterable[Command]) -> Array:
            return np.isin(code, [command.value for command in commands])

        for name, commands in (("column", _BURSTS), ("offset", _VECTORS)):
            self._refuse(
                is_any(commands) & (values[name] % 2 == 1),
                lambda i, n=name: (  # type: ignore[misc]
                    f"{n} of {_COMMANDS[code[i]]} must be even, a burst's first, not {values[n][i]}"
                ),
            )
        gwrite, gemv = is_any([Command.PIM_GWRITE]), is_any([Command.PIM_GEMV])
        slots = np.where(gemv, values["slots"], 1)
        k = np.select([gwrite, gemv], [2 * values["k"], values["k"]], 1)
        ends = {
            "column": values["column"] + (slots - 1) * values["column_step"] + k,
            "offset": values["offset"] + (slots - 1) * values["offset_step"] + k,
            "slot": values["slot"] + slots,
        }
        limits = {
            "column": (config.memory.columns, "columns of a row"),
            "offset": (config.vector_columns, "columns of a half of the vector buffer"),
            "slot": (config.pim.slots, "slots"),
        }
        for name, (limit, what) in limits.items():
            self._refuse(
                (gwrite | gemv) & (ends[name] > limit),
                lambda i, n=name, m=limit, w=what: (  # type: ignore[misc]
                    f"the operand of {_COMMANDS[code[i]]} must end within the {m} {w}, "
                    f"not at {ends[n][i]}"
                ),
            )


def _check_order(trace: Array) -> None:
    """Check that a channel's lines are in order; in a cycle, ACCEPT stands before the command."""
    first: tuple[int, str] | None = None
    for channel in np.unique(trace["channel"]).tolist():
        index = np.flatnonzero(trace["channel"] == channel)
        cycle = trace["cycle"][index].astype(np.int64)
        is_accept = trace["command"][index] == ACCEPT
        step = np.diff(cycle)
        back = np.flatnonzero(step < 0)
        late = np.flatnonzero((step == 0) & is_accept[1:] & ~is_accept[:-1])
        for places, text in (
            (back, "cycle of channel {} must be at least {}, that of its line before, not {}"),
            (late, "ACCEPT of channel {} must stand before the command of its cycle {}"),
        ):
            if len(places):
                at = int(places[0])
                line = int(index[at + 1]) + 2
                if first is None or line < first[0]:
                    first = line, text.format(channel, cycle[at], cycle[at + 1])
    if first is not None:
        raise ValueError(f"line {first[0]}: {first[1]}")
