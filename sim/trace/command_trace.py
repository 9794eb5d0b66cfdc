"""Command traces: what crossed the C/A buses, and which requests and tiles were accepted when."""

import numpy as np

from hw.config import Config
from hw.protocol.commands import Command
from hw.protocol.constraints import TARGETS, Scope

__all__ = [
    "ACCEPT",
    "COLUMNS",
    "KINDS",
    "NO_COLUMN",
    "RECORD",
    "cells",
    "describe",
    "fields_of",
    "lacks_columns",
    "record",
]

#: Code of an ACCEPT record, beside those of :class:`hw.protocol.commands.Command`.
ACCEPT = 16

#: What an ACCEPT record's ``kind`` means. A tile's has only a row; ``gwrite`` is a PIM_GWRITE that
#: reads a row, ``forward`` a read that a pending write answers, without a RD.
KINDS = ("read", "write", "tile", "gwrite", "forward")

#: The ``column`` of an ACCEPT that does not say which burst it asks for.
NO_COLUMN = 0xFFFF

#: One record of a trace. ``bank`` counts the banks of the channel, as on the bus; ``tag`` and
#: ``kind`` are those of ACCEPT records. ``k`` of PIM_GWRITE from a row is the bursts that it moves,
#: where 0 stands for one.
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

# Fields of each command beyond its place.
_FIELDS = {
    Command.ACT: ("row",),
    **dict.fromkeys((Command.RD, Command.RDA, Command.WR, Command.WRA), ("column",)),
    Command.PIM_GWRITE: ("kind", "column", "half", "offset", "k"),
    Command.PIM_GWRITE_DATA: ("kind", "half", "offset"),
    Command.PIM_ACTIVATION: ("row",),
    Command.PIM_DOTPRODUCT: ("column", "slot", "half", "offset"),
    Command.PIM_RDRESULT: ("slot",),
    Command.PIM_GEMV: (
        *("column", "column_step", "half", "offset", "offset_step", "slot", "slots", "k", "read"),
    ),
}

# Those of an ACCEPT record, by its kind.
_ACCEPT_FIELDS = (
    *[("tag", "kind", "rank", "bank_group", "bank", "row", "column")] * 2,
    ("kind", "row"),
    ("kind", "rank", "bank_group", "bank", "row", "column"),
    ("tag", "kind", "rank", "bank_group", "bank", "row", "column"),
)


def fields_of(code: int, kind: int = 0) -> tuple[str, ...]:
    """Return the columns that a record uses beside cycle, channel and command.

    >>> fields_of(Command.PRE.value)
    ('rank', 'bank_group', 'bank')
    >>> fields_of(ACCEPT, KINDS.index("tile"))
    ('kind', 'row')
    """
    if code == ACCEPT:
        return _ACCEPT_FIELDS[kind]
    command = Command(code)
    if command is Command.NOP:
        return ()
    depth = {Scope.BANK: 3, Scope.BANK_GROUP: 2, Scope.RANK: 1}.get(TARGETS[command], 0)
    return ("rank", "bank_group", "bank")[:depth] + _FIELDS.get(command, ())


def lacks_columns(trace: np.ndarray) -> bool:
    """Return whether some ACCEPT of a burst does not say which one it asks for."""
    is_burst = (trace["command"] == ACCEPT) & (trace["kind"] != KINDS.index("tile"))
    return bool((trace["column"][is_burst] == NO_COLUMN).any())


def record(cycle: int, command: Command | int, **fields: int) -> np.void:
    """Return one record; fields that are not given are 0."""
    row = np.zeros(1, RECORD)
    row["cycle"] = cycle
    row["command"] = command if isinstance(command, int) else command.value
    for name, value in fields.items():
        row[name] = value
    entry: np.void = row[0]
    return entry


def cells(config: Config, entry: np.void) -> dict[str, str]:
    """Return the cells of a record's line that are not blank, by column."""
    code, kind, bank = int(entry["command"]), int(entry["kind"]), int(entry["bank"])
    place = {"rank": bank // config.memory.banks_per_rank, "bank_group": bank // 4, "bank": bank}
    found = {"cycle": str(entry["cycle"]), "channel": str(entry["channel"])}
    found["command"] = "ACCEPT" if code == ACCEPT else Command(code).name
    for name in fields_of(code, kind):
        if name in place:
            found[name] = str(place[name])
        elif name != "kind":
            found[name] = str(entry[name])
    if code == ACCEPT:
        found["kind"] = KINDS[kind]
        if int(entry["column"]) == NO_COLUMN:
            found.pop("column", None)
    elif code == Command.PIM_GWRITE.value:
        found["kind"] = "row"
        found["k"] = str(max(1, int(entry["k"])))
    elif code == Command.PIM_GWRITE_DATA.value:
        found |= {"command": "PIM_GWRITE", "kind": "data"}
    return found


def describe(config: Config, entry: np.void) -> str:
    """Return a record in words.

    >>> from hw.presets import PAPER
    >>> describe(PAPER, record(7, Command.ACT, bank=22, row=5))
    'ACT rank=1 bank_group=5 bank=22 row=5'
    """
    found = cells(config, entry)
    rest = [f"{n}={found[n]}" for n in COLUMNS if n in found and n not in COLUMNS[:3]]
    return " ".join([found["command"], *rest])
