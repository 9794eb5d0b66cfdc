"""The longest waits that adversarial mixes cause, beside the bound that nothing may exceed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from hw.config import Config
from hw.controller.response_bound import (
    oldest_request_cycles,
    oldest_tile_cycles,
    oldest_vector_cycles,
)
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
from sim.trace.command_trace import ACCEPT, KINDS

__all__ = [
    "HEADINGS",
    "MIXES",
    "Line",
    "Mix",
    "Waits",
    "all_waits",
    "bound_of",
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
    """A mix of traffic: its streams, the columns of its tiles, and how often these read results."""

    name: str
    requests: Callable[[Config], _Stream]
    columns: int
    results: int = 0
    header: bool = True
    same_row: bool = False
    vector_bursts: bool = False


@dataclass(frozen=True, slots=True)
class Waits:
    """Cycles, of a request of each kind, a tile, and the PIM_GWRITE of a row; 0: there is none."""

    read: int
    write: int
    tile: int
    vector: int

    def within(self, bound: "Waits") -> bool:
        """Return whether none is longer than its bound."""
        return (
            self.read <= bound.read
            and self.write <= bound.write
            and self.tile <= bound.tile
            and self.vector <= bound.vector
        )


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
    Mix("row conflicts in one bank", _row_conflicts, 32, results=1),
    Mix("row conflicts in one bank, shortest tiles", _row_conflicts, 1),
    Mix("random rows, shortest tiles", _anywhere, 1),
    Mix("random rows, shortest tiles without header", _anywhere, 1, header=False),
    Mix("row hits against a row miss", _hits_against_one_miss, 1),
    Mix("writes at the watermark", _writes_at_the_watermark, 1),
    Mix("rarely a write", _few_writes, 1),
    Mix("row hits, results of short tiles", _hits_against_one_miss, 8, results=8),
    Mix("writes at the watermark, results of short tiles", _writes_at_the_watermark, 8, results=8),
    Mix("rows in use by PIM", _rows_in_use, 32, results=1, same_row=True),
    Mix("rows in use by PIM, shortest tiles", _rows_in_use, 1, same_row=True),
    Mix("row conflicts in one bank, vector bursts", _row_conflicts, 1, vector_bursts=True),
    Mix("random rows, vector bursts", _anywhere, 1, vector_bursts=True),
    Mix("writes at the watermark, vector bursts", _writes_at_the_watermark, 1, vector_bursts=True),
)


def _of_kind(trace: NDArray[np.void], kind: str) -> NDArray[np.void]:
    """Return the records that accept something of a kind."""
    return trace[(trace["command"] == ACCEPT) & (trace["kind"] == KINDS.index(kind))]


def longest_waits(config: Config, requests: _Stream, log: ChannelLog) -> tuple[Waits, Waits]:
    """Return the longest waits in a log of a run that is over.

    Those from acceptance, and those from the cycle on in which a request is the oldest of its kind,
    or nothing that was accepted before a tile, or a GWRITE, has still to be served before it. They
    end with the command: RD, WR, PIM_PRECHARGE, PIM_GWRITE of a row.
    """
    reads = requests["kind"] == Request.READ.value
    # From the command to the answer (hw.controller.controller: o_reads, o_writes).
    served = log.answered - np.where(reads, config.memory.timing.nCL + 3, 0)
    trace = log.trace

    def of_kind(chosen: NDArray[np.bool_]) -> tuple[int, int]:
        entered, ends = log.entered[chosen], served[chosen]
        before = np.maximum.accumulate(np.concatenate([[0], ends[:-1]])) if len(ends) else ends
        oldest = ends - np.maximum(entered, before)
        return int((ends - entered).max(initial=0)), int(oldest.max(initial=0))

    def cycles_of(command: Command) -> NDArray[np.int64]:
        return trace["cycle"][trace["command"] == command.value].astype(np.int64)

    def accepted(kind: str) -> NDArray[np.int64]:
        return _of_kind(trace, kind)["cycle"].astype(np.int64)

    accepts, ends = accepted("tile"), cycles_of(Command.PIM_PRECHARGE)
    rows = _of_kind(trace, "tile")["row"]
    starts = cycles_of(Command.PIM_ACTIVATION)[:: config.memory.groups]
    since = accepts.copy()
    for i, (accept, start, row) in enumerate(zip(accepts, starts, rows, strict=True)):
        first = (log.entered < accept) & (served > accept) & (served < start)
        if config.pim.row_buffers == 2:
            first &= requests["row"] == row
        since[i] = max(accept, int(served[first].max(initial=0)))
    vectors, moves = _of_kind(trace, "gwrite"), cycles_of(Command.PIM_GWRITE)
    ready = accepted("gwrite")
    vector = int((moves - ready).max(initial=0))
    for i, (accept, moved) in enumerate(zip(vectors, moves, strict=True)):
        here = ~reads & (requests["bank"] == accept["bank"]) & (requests["row"] == accept["row"])
        first = here & (log.entered < accept["cycle"]) & (served < moved)
        ready[i] = max(ready[i], int(served[first].max(initial=0)))
    oldest_vector = int((moves - ready).max(initial=0))
    (read, oldest_read), (write, oldest_write) = of_kind(reads), of_kind(~reads)
    tile, oldest_tile = (int((ends - times).max(initial=0)) for times in (accepts, since))
    return (
        Waits(read, write, tile, vector),
        Waits(oldest_read, oldest_write, oldest_tile, oldest_vector),
    )


def bound_of(config: Config, mix: Mix) -> Waits:
    """Return the bound of each wait of a mix, once the request or tile is the oldest."""
    length = tile_cycles_on_grid(config, mix.columns)
    results = mix.results
    request = oldest_request_cycles(
        config, length, results=results, vector_bursts=mix.vector_bursts
    )
    return Waits(
        read=request,
        write=request,
        tile=oldest_tile_cycles(config, length, results=results),
        vector=oldest_vector_cycles(config, length, results=results),
    )


def run_mix(channel: CompiledChannel, mix: Mix) -> tuple[Waits, Waits]:
    """Run a mix to its end; return the longest waits as :func:`longest_waits` does.

    Raises
    ------
    RuntimeError
        If a rule is broken.
    """
    config = channel.config
    channel.reset()
    gemvs = max(1, mix.results)
    k = max(1, mix.columns // gemvs // 4)
    shape = TileShape(
        gemvs=gemvs,
        slots=mix.columns // gemvs // k,
        k=k,
        column_step=k,
        offset_step=k,
        read=mix.results > 0,
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
    return longest_waits(config, requests, log)


@dataclass(frozen=True, slots=True)
class Line:
    """What one mix did to a channel with so many row buffers, in cycles.

    Attributes
    ----------
    waits, oldest, bound
        The longest waits, from acceptance and once the oldest, and what the latter may be.
    """

    mix: str
    row_buffers: int
    waits: Waits
    oldest: Waits
    bound: Waits

    @property
    def kept(self) -> bool:
        """Whether no wait was longer than its bound."""
        return self.oldest.within(self.bound)

    @property
    def cells(self) -> tuple[str, ...]:
        """The line as text, cell by cell: those of :data:`HEADINGS`."""
        cells = [self.mix, str(self.row_buffers)]
        for kind in ("read", "write", "tile", "vector"):
            wait = getattr(self.waits, kind)
            words = f"{wait:,}; {getattr(self.oldest, kind):,} of {getattr(self.bound, kind):,}"
            cells.append(words if wait else "–")
        return tuple(cells)


#: What the cells of a line are.
HEADINGS = ("mix", "row buffers", "read", "write", "tile", "vector burst")


def all_waits(announce: Callable[[str], None], config: Config = PAPER) -> Iterator[Line]:
    """Run all mixes with two row buffers and with one."""
    for row_buffers in (2, 1):
        channel = CompiledChannel(config.replace(row_buffers=row_buffers), announce)
        for mix in MIXES:
            waits, oldest = run_mix(channel, mix)
            line = Line(mix.name, row_buffers, waits, oldest, bound_of(channel.config, mix))
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
