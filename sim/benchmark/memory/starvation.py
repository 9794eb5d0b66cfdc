"""The longest waits that adversarial mixes cause, beside the bound that nothing may exceed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from hw.config import Config
from hw.controller.response_bound import response_bound
from hw.presets import PAPER
from hw.protocol.commands import Command, Request
from hw.protocol.tile_length import tile_cycles_on_grid
from sim.channel.compiled_channel import ChannelLog, CompiledChannel
from sim.channel.workload import (
    TileShape,
    random_requests,
    sequential_requests,
    tiles,
    with_vector_bursts,
)
from sim.monitor.monitor import Monitor
from sim.trace.command_trace import ACCEPT

__all__ = [
    "HEADINGS",
    "MIXES",
    "Line",
    "Mix",
    "Waits",
    "all_waits",
    "longest_waits",
    "print_waits",
    "run_mix",
]

#: Requests of a mix, and tiles (chosen: some twenty refresh intervals).
REQUESTS = 6000
TILES = 600

_Stream = NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Mix:
    """A mix of traffic: its streams, and the columns of its tiles."""

    name: str
    requests: Callable[[Config], _Stream]
    columns: int
    header: bool = True
    same_row: bool = False
    vector_bursts: bool = False


@dataclass(frozen=True, slots=True)
class Waits:
    """Longest waits, in cycles from acceptance.

    To the answer, to the end of the tile, to the PIM_GWRITE of a row (0: there is none).
    """

    read: int
    write: int
    tile: int
    vector: int


def _row_conflicts(config: Config) -> _Stream:
    """Return requests each of which wants another row of the same bank."""
    requests = random_requests(config, REQUESTS // 2, np.random.default_rng(1), 1 / 3)
    requests["bank"] = 0
    return requests


def _anywhere(config: Config) -> _Stream:
    """Return requests for single bursts anywhere."""
    return random_requests(config, REQUESTS, np.random.default_rng(2), 1 / 3)


def _hits_against_one_miss(config: Config) -> _Stream:
    """Return reads that hit an open row, a few of which want another row of its bank."""
    requests = sequential_requests(config, REQUESTS)
    requests["bank"], requests["row"] = 0, 0
    requests["row"][::40] = 1 + np.arange(len(requests[::40])) % (config.memory.rows // 2 - 1)
    return requests


def _writes_at_the_watermark(config: Config) -> _Stream:
    """Return writes that keep their queue full, and rarely a read."""
    requests = random_requests(config, REQUESTS, np.random.default_rng(3), 1.0)
    requests["kind"][::50] = Request.READ.value
    return requests


def _few_writes(config: Config) -> _Stream:
    """Return reads that keep their queue full, and rarely a write, far from the watermark."""
    requests = sequential_requests(config, REQUESTS)
    requests["kind"][::500] = Request.WRITE.value
    return requests


def _rows_in_use(config: Config) -> _Stream:
    """Return requests half of which, writes among them, want the very row that PIM uses."""
    requests = random_requests(config, REQUESTS, np.random.default_rng(4), 1 / 2)
    requests["row"][::2] = config.memory.rows - 1
    return requests


#: The mixes; tiles of one column leave no time for ordinary activations between those of PIM.
MIXES = (
    Mix("row conflicts in one bank", _row_conflicts, 32),
    Mix("row conflicts in one bank, shortest tiles", _row_conflicts, 1),
    Mix("random rows, shortest tiles", _anywhere, 1),
    Mix("random rows, shortest tiles without header", _anywhere, 1, header=False),
    Mix("row hits against a row miss", _hits_against_one_miss, 1),
    Mix("writes at the watermark", _writes_at_the_watermark, 1),
    Mix("rarely a write", _few_writes, 1),
    Mix("rows in use by PIM", _rows_in_use, 32, same_row=True),
    Mix("rows in use by PIM, shortest tiles", _rows_in_use, 1, same_row=True),
    Mix("row conflicts in one bank, vector bursts", _row_conflicts, 1, vector_bursts=True),
    Mix("random rows, vector bursts", _anywhere, 1, vector_bursts=True),
    Mix("writes at the watermark, vector bursts", _writes_at_the_watermark, 1, vector_bursts=True),
)


def longest_waits(requests: _Stream, log: ChannelLog) -> Waits:
    """Return the longest waits in a log of a run that is over."""
    times = log.answered - log.entered
    reads = requests["kind"] == Request.READ.value
    trace = log.trace

    def from_acceptance(kind: int, command: Command) -> int:
        is_accepted = (trace["command"] == ACCEPT) & (trace["kind"] == kind)
        accepts = trace["cycle"][is_accepted].astype(np.int64)
        ends = trace["cycle"][trace["command"] == command.value].astype(np.int64)
        return int((ends - accepts).max(initial=0))

    return Waits(
        read=int(times[reads].max(initial=0)),
        write=int(times[~reads].max(initial=0)),
        tile=from_acceptance(2, Command.PIM_PRECHARGE),
        vector=from_acceptance(3, Command.PIM_GWRITE),
    )


def run_mix(channel: CompiledChannel, mix: Mix) -> tuple[Waits, int]:
    """Run a mix to its end; return the longest waits and their bound.

    Raises
    ------
    RuntimeError
        If a rule is broken.
    """
    config = channel.config
    channel.reset()
    k = max(1, mix.columns // 4)
    shape = TileShape(
        gemvs=1,
        slots=mix.columns // k,
        k=k,
        column_step=k,
        offset_step=k,
        read=mix.columns > 1,
    )
    pim = tiles(config, TILES, shape, header=mix.header)
    if mix.same_row:
        pim["row"] = config.memory.rows - 1
    requests = mix.requests(config)
    if mix.vector_bursts:
        pim = with_vector_bursts(config, pim, requests, np.random.default_rng(5))
    log = channel.run(requests, pim)
    violations = Monitor(config).check(log.trace, end=log.cycles)
    if violations:
        raise RuntimeError(f"{len(violations)} violations; the first: {violations[0]}")
    answer = config.memory.timing.nCL + 4  # from RD to the answer to the read
    length = tile_cycles_on_grid(config, mix.columns)
    bound = response_bound(config, length, vector_bursts=mix.vector_bursts)
    return longest_waits(requests, log), bound + answer


@dataclass(frozen=True, slots=True)
class Line:
    """What one mix did to a channel with so many row buffers; waits and bound in cycles."""

    mix: str
    row_buffers: int
    waits: Waits
    bound: int

    @property
    def kept(self) -> bool:
        """Whether no wait was longer than the bound."""
        return max(self._cycles) <= self.bound

    @property
    def _cycles(self) -> tuple[int, ...]:
        return (self.waits.read, self.waits.write, self.waits.tile, self.waits.vector)

    @property
    def cells(self) -> tuple[str, ...]:
        """The line as text, cell by cell: those of :data:`HEADINGS`."""
        times = (f"{cycles:,}" if cycles else "–" for cycles in (*self._cycles, self.bound))
        return (self.mix, str(self.row_buffers), *times)


#: What the cells of a line are.
HEADINGS = ("mix", "row buffers", "read", "write", "tile", "vector burst", "bound")


def all_waits(announce: Callable[[str], None], config: Config = PAPER) -> Iterator[Line]:
    """Run all mixes with two row buffers and with one."""
    for row_buffers in (2, 1):
        channel = CompiledChannel(config.replace(row_buffers=row_buffers), announce)
        for mix in MIXES:
            line = Line(mix.name, row_buffers, *run_mix(channel, mix))
            announce(f"  {mix.name}, row buffers {row_buffers}: {line.waits}")
            yield line


def print_waits(console: Console, lines: list[Line], title: str) -> None:
    """Print a table."""
    table = Table(title=title)
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "mix" else "right")
    for line in lines:
        table.add_row(*line.cells, style=None if line.kept else "red")
    console.print(table)
