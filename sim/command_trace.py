"""Command traces: what crossed the C/A buses, and which requests and tiles were accepted when."""

import csv
from pathlib import Path

import numpy as np

from hw.config import Config
from hw.memory.commands import Command
from hw.memory.constraints import TARGETS, Scope

__all__ = ["ACCEPT", "COLUMNS", "KINDS", "RECORD", "describe", "read_csv", "record", "write_csv"]

#: Code of an ACCEPT record, beside those of :class:`hw.memory.commands.Command`.
ACCEPT = 16

#: What an ACCEPT record's ``kind`` means. A tile's has only a row.
KINDS = ("read", "write", "tile")

#: One record of a trace. ``bank`` counts the banks of the channel, as on the bus; ``tag`` and
#: ``kind`` are those of ACCEPT records.
RECORD = np.dtype(
    [
        ("cycle", np.uint64),
        ("channel", np.uint16),
        ("command", np.uint8),
        ("tag", np.uint32),
        ("kind", np.uint8),
        ("bank", np.uint16),
        ("row", np.uint32),
        ("column", np.uint16),
        ("column_step", np.uint16),
        ("half", np.uint8),
        ("offset", np.uint16),
        ("offset_step", np.uint16),
        ("slot", np.uint16),
        ("slots", np.uint16),
        ("k", np.uint16),
        ("read", np.uint8),
    ]
)

#: Columns of a trace as text.
COLUMNS = (
    *("cycle", "channel", "command", "tag", "kind", "rank", "bank_group", "bank", "row", "column"),
    *("column_step", "half", "offset", "offset_step", "slot", "slots", "k", "read"),
)

# Fields of each command beyond its bank.
_FIELDS = {
    Command.ACT: ("row",),
    **dict.fromkeys((Command.RD, Command.RDA, Command.WR, Command.WRA), ("column",)),
    Command.PIM_GWRITE: ("column", "half", "offset"),
    Command.PIM_GWRITE_DATA: ("half", "offset"),
    Command.PIM_ACTIVATION: ("row",),
    Command.PIM_DOTPRODUCT: ("column", "slot", "half", "offset"),
    Command.PIM_RDRESULT: ("slot",),
    Command.PIM_GEMV: (
        *("column", "column_step", "half", "offset", "offset_step", "slot", "slots", "k", "read"),
    ),
}


def record(cycle: int, command: Command | int, **fields: int) -> np.void:
    """Return one record; fields that are not given are 0."""
    row = np.zeros(1, RECORD)
    row["cycle"] = cycle
    row["command"] = command if isinstance(command, int) else command.value
    for name, value in fields.items():
        row[name] = value
    entry: np.void = row[0]
    return entry


def _cells(config: Config, entry: np.void) -> dict[str, str]:
    """Return the cells of a record's line that are not empty."""
    cells = {"cycle": str(entry["cycle"]), "channel": str(entry["channel"])}
    code, bank = int(entry["command"]), int(entry["bank"])
    rank, group = bank // config.banks_per_rank, bank % config.banks_per_rank // 4
    place = {"rank": rank, "bank_group": group, "bank": bank % 4}
    if code == ACCEPT:
        kind = int(entry["kind"])
        cells |= {"command": "ACCEPT", "kind": KINDS[kind], "row": str(entry["row"])}
        if kind < 2:
            cells |= {"tag": str(entry["tag"])} | {n: str(v) for n, v in place.items()}
        return cells
    command = Command(code)
    depth = {Scope.BANK: 3, Scope.BANK_GROUP: 2, Scope.RANK: 1}.get(TARGETS[command], 0)
    cells |= {n: str(v) for n, v in list(place.items())[:depth]}
    cells |= {name: str(entry[name]) for name in _FIELDS.get(command, ())}
    cells["command"] = command.name
    if command in (Command.PIM_GWRITE, Command.PIM_GWRITE_DATA):
        cells["command"] = "PIM_GWRITE"
        cells["kind"] = "row" if command is Command.PIM_GWRITE else "data"
    return cells


def describe(config: Config, entry: np.void) -> str:
    """Return a record in words.

    >>> from hw.presets import TINY
    >>> describe(TINY, record(7, Command.ACT, bank=2, row=5))
    'ACT rank=0 bank_group=0 bank=2 row=5'
    """
    cells = _cells(config, entry)
    rest = [f"{n}={cells[n]}" for n in COLUMNS if n in cells and n not in _COMMON]
    return " ".join([cells["command"], *rest])


_COMMON = ("cycle", "channel", "command")


def write_csv(config: Config, trace: np.ndarray, path: Path) -> None:
    """Write a trace as text: one line a record, empty cells where a field means nothing."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(_cells(config, entry) for entry in trace)


def read_csv(config: Config, path: Path) -> np.ndarray:
    """Read what :func:`write_csv` wrote.

    Raises
    ------
    ValueError
        If the header or a command is unknown.
    """
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ValueError(f"columns must be {','.join(COLUMNS)}, not {reader.fieldnames!r}")
        lines = list(reader)
    trace = np.zeros(len(lines), RECORD)
    for entry, cells in zip(trace, lines, strict=True):
        name, kind = cells["command"], cells["kind"]
        if name == "ACCEPT":
            entry["command"], entry["kind"] = ACCEPT, KINDS.index(kind)
        elif name == "PIM_GWRITE" and kind == "data":
            entry["command"] = Command.PIM_GWRITE_DATA.value
        elif name in Command.__members__:
            entry["command"] = Command[name].value
        else:
            raise ValueError(f"command must be one of the command set, not {name!r}")
        rank, group, bank = (int(cells[n] or 0) for n in ("rank", "bank_group", "bank"))
        entry["bank"] = rank * config.banks_per_rank + group * 4 + bank
        for column in RECORD.names or ():
            if column not in ("command", "kind", "bank") and cells[column]:
                entry[column] = int(cells[column])
    return trace
