"""Command traces as text, a line a record; docs/command-trace.md describes the format."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hw.config import Config
from hw.protocol.commands import Command
from sim.text_input import open_text
from sim.trace.command_trace import ACCEPT, COLUMNS, KINDS, NO_COLUMN, RECORD, fields_of

if TYPE_CHECKING:
    from sim.trace.trace_cells import Cells

__all__ = ["read_csv", "write_csv"]

Array = np.ndarray

_WRITE_RECORDS = 1 << 16  # at a time
_HEADER = ",".join(COLUMNS)
_CODES = ACCEPT + len(KINDS)  # commands, then ACCEPT by its kind
_TEXT = ("command", "kind")
_OPTIONAL = "column"  # of an ACCEPT
_BURSTS = (Command.RD, Command.RDA, Command.WR, Command.WRA, Command.PIM_GWRITE)
_VECTORS = (Command.PIM_GWRITE, Command.PIM_GWRITE_DATA)
_ANY = 10**18 - 1


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
        if name == _OPTIONAL:
            used = used & ~(is_accept & (trace[name] == NO_COLUMN))
        if used.all():
            yield list(map(str, column))
        else:
            yield [str(v) if u else "" for v, u in zip(column, used.tolist(), strict=True)]


def read_csv(config: Config, path: Path) -> Array:
    """Read a trace from text, which is read once: a pipe will do, and gzip, too.

    Returns
    -------
    ndarray
        Records, ``RECORD[lines]``.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If a line is no record of this device, or out of order. The message names the line, the
        value, and what it must be.
    """
    from sim.trace.trace_cells import read_cells  # its library takes long to import

    parts, lines = [np.zeros(0, RECORD)], [np.zeros(0, np.int64)]
    with open_text(path) as stream:
        for cells in read_cells(stream, COLUMNS):
            parts.append(_Block(config, cells).records())
            lines.append(cells.lines)
    trace = np.concatenate(parts)
    _check_order(trace, np.concatenate(lines))
    return trace


class _Block:
    """Some whole lines, read column by column. Of what is wrong, the first line is reported."""

    def __init__(self, config: Config, cells: "Cells"):
        self._config = config
        self._cells = cells
        self._wrong: tuple[int, str] | None = None
        if cells.uneven and not (len(cells.lines) and cells.uneven[0] > cells.lines[-1] + 1):
            line, count = cells.uneven
            self._wrong = line, f"must have {len(COLUMNS)} cells, not {count}"

    def _refuse(self, wrong: Array, message: Callable[[int], str]) -> None:
        """Note the first line of a mask, if no earlier one was."""
        index = int(wrong.argmax()) if len(wrong) else 0
        if len(wrong) and wrong[index]:
            line = int(self._cells.lines[index])
            if self._wrong is None or line < self._wrong[0]:
                self._wrong = line, message(index)

    def _check(self) -> None:
        """Raise ValueError for what was noted."""
        if self._wrong is not None:
            raise ValueError(f"line {self._wrong[0]}: {self._wrong[1]}")

    def records(self) -> Array:
        """Return the records.

        Raises
        ------
        ValueError
            If a line is no record of this device.
        """
        code = self._codes()
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
        (command, commands), (kind, kinds) = map(self._cells.words, _TEXT)
        table = np.full((len(commands), len(kinds)), -1)
        for code, (name, its_kind) in enumerate(zip(_COMMANDS, _KINDS, strict=True)):
            if code != Command.NOP.value and name in commands and its_kind in kinds:
                table[commands.index(name), kinds.index(its_kind)] = code
        codes: Array = table[command, kind] if len(command) else np.zeros(0, np.int64)
        known = np.isin(commands, _COMMANDS[1:])[command]
        names = ", ".join(dict.fromkeys(_COMMANDS[1:]))
        self._refuse(
            ~known,
            lambda i: f"command must be one of {names}, not {self._cells.text('command', i)}",
        )

        def kind_message(index: int) -> str:
            name = commands[command[index]]
            allowed = [k or "blank" for c, k in zip(_COMMANDS, _KINDS, strict=True) if c == name]
            text = f"kind of {name} must be {' or '.join(allowed)}"
            return f"{text}, not {self._cells.text('kind', index)}"

        self._refuse(known & (codes < 0), kind_message)
        return codes

    def _numbers(self, name: str, code: Array) -> Array:
        """Return the numbers of a column, 0 where it is blank."""
        values, blank, no_number = self._cells.numbers(name)
        used = _USED[name][code]
        least, most = self._range(name)
        optional = (code >= ACCEPT) & (name == _OPTIONAL)

        def message(index: int, what: str = "") -> str:
            owner = f"of {_COMMANDS[code[index]]} " if name not in COLUMNS[:2] else ""
            limit = f"from {least} to {most}" if most < _ANY else "of at most 18 digits"
            limit = limit if what or most < _ANY else f"a number {limit}"
            return f"{name} {owner}must be {what}{limit}, not {self._cells.text(name, index)}"

        self._refuse(
            used & (no_number | blank & ~optional), lambda i: message(i, "a whole number ")
        )
        self._refuse(used & ~blank & ((values < least) | (values > most)), message)
        self._refuse(
            ~used & ~blank,
            lambda i: (
                f"{name} of {_COMMANDS[code[i]]} must be blank, not {self._cells.text(name, i)}"
            ),
        )
        return np.where(used & blank & optional, NO_COLUMN, values)

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
            at_burst = is_any(commands)
            if name == _OPTIONAL:  # of an ACCEPT, too
                at_burst |= (code >= ACCEPT) & _USED[name][code] & (values[name] != NO_COLUMN)
            self._refuse(
                at_burst & (values[name] % 2 == 1),
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


def _check_order(trace: Array, lines: Array) -> None:
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
                line = int(lines[index[at + 1]])
                if first is None or line < first[0]:
                    first = line, text.format(channel, cycle[at], cycle[at + 1])
    if first is not None:
        raise ValueError(f"line {first[0]}: {first[1]}")
