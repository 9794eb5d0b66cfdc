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
## Parameters

In cycles (1 ns in `paper` and `aim`, 0.625 ns in `hbm3`); – stands for nRAS + nRP (nRC), nRCD
(nRCDWR, nRCDMAC) or nCL + nBL + nTURN - nCWL (nRTW). Where each value is from stands in
`hw/protocol/timing.py` and `hw/presets.py`.
"""

_NOTES = """\
A configuration file gives parameters in cycles, in nanoseconds (with the clock's tCK), or both:

```toml
preset = "paper"

[memory.timing]
tCK = 0.8
tRCD = 14.0    # 17.5 cycles, rounded up to 18
tRRD_S = 4.0
nRRDS = 4      # at least 4 cycles and 4 ns: both hold, so 5 cycles
tREFI = 3900   # a longest time, the only one that is rounded down
```

Parameters that the file does not give keep the preset's cycles. nRC may be one cycle under
nRAS + nRP, since each is rounded up by itself: the sum is used, and a line says so. nRC further
below, or nRFC that reaches nREFI, is refused.

## What was decided

- **RD to WR** is nRTW. In `paper` it is 14 cycles, nCL + nBL + 2 - nCWL, as in NeuPIMs' simulator
  (extern/NewtonSim/src/timing.cc, read_to_write; tRTRS is 2 by default, src/configuration.cc) and
  in Ramulator 2 (python/ramulator/dram/hbm2.py). The data bus itself would need a cycle less. In
  `aim` it is what the bus needs.
- **Between ranks** the data bus rests nTURN cycles when one rank sends after another. Write data
  have one driver, the controller, whatever their rank: from WR to WR of another rank nothing is
  added, as in NeuPIMs' simulator (write_to_write_o). Of Ramulator 2, which has nCCDR there, `hbm3`
  takes it from RD to RD only.
- **PIM_GWRITE from the data bus within tRFC** is allowed: a refresh takes the cells of a rank, and
  the global vector buffer is none of them. PIM_GWRITE from a row needs an open row, so it is not.

## How `paper` differs from HBM2

The cycles of `paper` are those of the NeuPIMs evaluation, not of a data sheet. In HBM2 of 2 Gb/s as
in Ramulator 2 (HBM2_2000Mbps), tCCD_L is 4 cycles: a MAC unit takes a column every tCCD_L, so it
would work at half of the rate here (2). tFAW is 15 ns there, half of the 30 here: the eight groups
of a tile would open in about half the time. nCWL is 5 (4 here), nRCDWR 12 (14), tRRD_L 4 (6), and
tRTP 5 (6).
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
            _NOTES,
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
