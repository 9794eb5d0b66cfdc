"""The page on the memory side, whole: figures, longest waits, sweeps, as Markdown."""

from collections.abc import Iterable, Sequence

from sim.benchmark.memory.rates import Figure
from sim.benchmark.memory.starvation import HEADINGS, Line

__all__ = ["page"]

_INTRODUCTION = """\
# The memory side, measured

Made by `python -m sim.benchmark memory --markdown docs/memory-benchmark.md`. Everything on this
page runs one whole channel as RTL under the compiled engine: the controller and, behind the DRAM
pins, the PIM channel with all its banks and cells (`hw/memory_channel.py`,
`sim/channel/compiled_channel.py`). The protocol monitor checks every run.

## Rates

`paper`: 32 banks in 2 ranks, rows of 1 KiB, 32768 rows a bank. Bounds are computed from the
configuration. What refresh and results leave of the data bus counts six cycles a result,
turn-arounds included; what of that fits is what reads of one rank after the other find free, cycle
by cycle, between the results and the commands of the tiles (`sim/benchmark/memory/read_bound.py`):
the data of the rank that results end with need a turn-around before the next result, which costs a
slot of two cycles. A logit tile has four heads of 128 elements (GPT3-7B); g is the query heads
that share a key head."""

_TRADE_OFF = """\
The trade-off begins where a tile leaves less than (groups a rank + 1) × tFAW + 4 × tRRD_L cycles
(174): the column "bound" counts the cycles beyond that.

## Sweeps

`python -m sim.benchmark sweeps -o docs`: `paper` with one parameter changed. Above, cycles of a
tile that multiplies a whole row of every bank, beside sequential reads; below, shares of the data
bus.

![Cycles a tile and shares of the data bus over banks, bytes of a row and tFAW](memory-sweeps.png)

## Longest waits

Also by `python -m sim.benchmark starvation`: adversarial mixes. Before the semicolon, cycles from
acceptance to RD, WR, the end of the tile, or the PIM_GWRITE of a vector burst from a row. Behind
it, those for which a request was the oldest of its kind, or nothing accepted before a tile or a
vector burst was still to be served before it; "of", what these may be at most by
`hw/controller/response_bound.py`, which derives it. Tiles of one column leave no time between PIM's
activations for ordinary ones. With one row buffer tiles go first, so that requests wait for a
header. Tests remove ageing, waivers and others, and see a bound exceeded.
"""

_TRAFFIC = """\
## Random traffic

[random-traffic.md](random-traffic.md): millions of random commands on many geometries, everything
checked."""


def _table(head: Sequence[str], numbers: bool, rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table; columns of numbers stand to the right."""
    rule = "|---" + ("|--:" if numbers else "|---") * (len(head) - 1) + "|"
    return [f"| {' | '.join(head)} |", rule, *(f"| {' | '.join(row)} |" for row in rows)]


def page(figures: Sequence[Figure], waits: Sequence[Line]) -> str:
    """Return the page."""
    met = {None: "", True: "yes", False: "**no**"}
    rates = [(f.name, f.measured, f.bound, f.required, met[f.met]) for f in figures]
    head = ("figure", "measured", "bound", "must be", "met")
    return "\n".join(
        [
            *(_INTRODUCTION, "", *_table(head, False, rates), "", _TRADE_OFF),
            *(*_table(HEADINGS, True, [line.cells for line in waits]), "", _TRAFFIC),
        ]
    )
