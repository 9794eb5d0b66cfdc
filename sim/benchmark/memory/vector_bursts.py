"""What vector bursts cost a channel: behind the tiles before them, and within those."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from hw.config import Config
from hw.presets import PAPER
from hw.protocol.commands import Command
from sim.channel.compiled_channel import CompiledChannel
from sim.channel.workload import attention_layer, sequential_requests

__all__ = ["VectorCost", "markdown", "print_costs", "vector_costs"]

#: Reads beside PIM: more than the channel serves meanwhile (chosen).
_READS = 60_000

#: Requests of a channel, and their context: GPT3-7B, four devices, batch 256 of ShareGPT (mean).
REQUESTS, CONTEXT = 8, 357

#: Heads of a device, and their dimension.
HEADS, D_HEAD = 8, 128


@dataclass(frozen=True, slots=True)
class VectorCost:
    """Attention of a layer in one channel.

    Attributes
    ----------
    where
        Where its vector bursts go.
    reads
        Whether sequential reads fill the data bus beside it.
    cycles
        From the first operation to the end of the last tile.
    bus
        Share of them in which the bus carries data of reads.
    """

    where: str
    reads: bool
    cycles: int
    bus: float


def vector_costs(
    config: Config = PAPER, announce: Callable[[str], None] | None = None
) -> list[VectorCost]:
    """Measure a layer, with and without reads, in the three orders."""
    channel = CompiledChannel(config, announce)
    found = []
    for where, turns, ahead in (
        ("behind tiles, rank after rank", False, False),
        ("behind tiles, ranks in turn", True, False),
        ("within tiles, ranks in turn", True, True),
    ):
        pim = attention_layer(
            config, REQUESTS, CONTEXT, HEADS, D_HEAD, ranks_in_turn=turns, ahead=ahead
        )
        for reads in (False, True):
            channel.reset()
            requests = sequential_requests(config, _READS if reads else 0)
            trace = channel.run(requests, pim).trace
            cycles = trace["cycle"].astype(np.int64)
            begin = cycles[0] if not reads else 0
            end = cycles[trace["command"] == Command.PIM_PRECHARGE.value][-1]
            read = np.isin(trace["command"], [Command.RD.value, Command.RDA.value])
            busy = int((read & (cycles <= end)).sum()) * config.memory.timing.nBL
            found.append(VectorCost(where, reads, int(end - begin), busy / int(end - begin)))
    return found


def print_costs(console: Console, costs: list[VectorCost]) -> None:
    """Print the table."""
    table = Table(title="attention of a layer, one channel of paper, compiled RTL")
    for name in ("vector bursts", "reads beside it", "cycles", "bus, reads"):
        table.add_column(name)
    for cost in costs:
        table.add_row(*_cells(cost))
    console.print(table)


def markdown(costs: list[VectorCost]) -> str:
    """Return the page."""
    lines = [
        "# What vector bursts cost",
        "",
        "By `python -m sim.benchmark vectors --markdown docs/vector-bursts.md`: the compiled RTL",
        "of a channel of `paper`, and the PIM operations of attention of one layer:",
        f"{REQUESTS} requests of {CONTEXT} tokens, {HEADS} heads of {D_HEAD} (GPT3-7B on four",
        "devices, 256 requests on 32 channels). Every GEMV has a VECTOR before it, into the half",
        "of the vector buffer that the GEMV before that does not read. Its bursts go behind all",
        "tiles of that GEMV, or within them, between the activations of bank groups",
        "(`hw.protocol.tile_length.bursts_ahead`), as the PIM unit sends them. The first two",
        "lines open all bank groups of a rank before those of the next one: eight activation",
        "windows in a row instead of four.",
        "",
        "| vector bursts | reads beside it | cycles | bus, reads |",
        "|---|---|--:|--:|",
    ]
    return "\n".join([*lines, *(f"| {' | '.join(_cells(cost))} |" for cost in costs)])


def _cells(cost: VectorCost) -> tuple[str, ...]:
    beside = "sequential" if cost.reads else "none"
    return cost.where, beside, f"{cost.cycles:,}", f"{cost.bus:.1%}" if cost.reads else "–"
