"""Write docs/timing-table.md: every line of the timing table, with its cycles in every preset.

``python build/timing_page.py`` writes the page, from :data:`hw.protocol.constraints.CONSTRAINTS`.
"""

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

from hw.config import Config
from hw.presets import AIM, HBM3, PAPER
from hw.protocol.commands import Command
from hw.protocol.constraints import CONSTRAINTS, Scope

PAGE = Path(__file__).resolve().parent.parent / "docs" / "timing-table.md"
PRESETS = (PAPER, HBM3, AIM)

_NEAR = {
    Scope.ROW: "row (or subarray)",
    Scope.BANK: "bank",
    Scope.BANK_GROUP: "bank group",
    Scope.RANK: "rank",
    Scope.CHANNEL: "channel",
    Scope.OTHER_RANK: "another rank",
}

_INTRODUCTION = """\
# The timing table

Written by `python build/timing_page.py` from `hw/protocol/constraints.py`. The guards of the
controller and the protocol monitor are made from this table alone;
`tests/hw/protocol/test_constraints.py` compares every gap of `paper` with a list written by hand.

A line says: between a *first* and a *later* command that are as near to each other as *same*, at
least so many cycles pass. 1 means that nothing but the C/A bus keeps them apart, and a number below
1 that the line asks nothing. "From the last column" counts from the last column of the first
command (PIM_GEMV, PIM_GWRITE of several bursts) instead of its issue. "Row buffers" says in which
devices a line holds. Windows of the data bus that results of PIM take are in
`hw/protocol/results.py`; rules that are no intervals (states, order, refresh) are in
[command-trace.md](command-trace.md).
"""

_PARAMETERS = """\
The parameters, in cycles (1 ns in `paper` and `aim`, 0.625 ns in `hbm3`); – stands for nRAS + nRP
(nRC) or nRCD (nRCDWR, nRCDMAC). Where each value is from stands in `hw/protocol/timing.py` and
`hw/presets.py`.
"""


def _names(commands: Iterable[Command]) -> str:
    return ", ".join(c.name for c in sorted(commands, key=lambda c: c.value))


def _table(header: list[str], rows: Iterable[list[str]], numbers: int) -> str:
    """Return a table whose last ``numbers`` columns are numbers."""
    ruler = ["---"] * (len(header) - numbers) + ["--:"] * numbers
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ruler, *rows)) + "\n"


def _constraints(presets: Iterable[Config]) -> Iterable[list[str]]:
    for line in CONSTRAINTS:
        what = line.formula
        if line.window > 1:
            what += f", from an opening to the {line.window}th after it"
        if line.after_last:
            what += ", from the last column"
        buffers = " or ".join(map(str, line.row_buffers))
        cycles = [str(line.gap(preset.memory.timing)) for preset in presets]
        yield [_NEAR[line.scope], _names(line.first), _names(line.later), what, buffers, *cycles]


def page() -> str:
    """Return the page."""
    names = [f"`{preset.name}`" for preset in PRESETS]
    parameters = [
        [
            item.name,
            *(
                "–" if (v := getattr(p.memory.timing, item.name)) is None else str(v)
                for p in PRESETS
            ),
        ]
        for item in fields(PAPER.memory.timing)
    ]
    header = ["same", "first", "later", "at least", "row buffers"]
    return "\n".join(
        [
            _INTRODUCTION,
            _table([*header, *names], _constraints(PRESETS), len(names)),
            _PARAMETERS,
            _table(["parameter", *names], parameters, len(names)),
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
