"""What a program asks of each unit: the least cycles that the unit needs, whatever else happens.

The formulas are those that stand beside the RTL. A unit's bound is the time for which the program's
work holds it if it never waits: for operands, for other units, for refresh or for a row to open. So
no program is faster than its largest bound, and the unit with that bound *binds*.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import zip_longest

import numpy as np

from hw.config import Config
from hw.npu.matrix.accumulator import Accumulator
from hw.npu.matrix.unit import MatrixUnit
from hw.npu.vector.cycles import cycles as vector_cycles
from hw.npu.vector.cycles import issue_cycles
from hw.program.instruction_set import Opcode, Queue
from hw.program.program import Program
from hw.protocol.results import result_beats
from hw.protocol.tile_length import tile_cycles_on_grid
from sim.trace.command_trace import ACCEPT, KINDS

__all__ = ["Bound", "Piece", "Unit", "binding_unit", "counted_work", "unit_bounds"]

#: Cycles of the data bus that a burst takes: two columns.
_BURST_CYCLES = 2


class Unit(StrEnum):
    """Units that can bind. Of those that every channel has, the busiest one counts."""

    ARRAYS = "systolic arrays"
    VECTOR_UNITS = "vector units"
    PIM = "PIM"
    DATA_BUS = "data bus"
    COMMAND_BUS = "C/A bus"


@dataclass(frozen=True, slots=True)
class Piece:
    """Work of one kind: what it is, how often, and for how many cycles each time.

    Attributes
    ----------
    what
        What is counted, in words, in the plural.
    count, cycles
        How many there are, and for how long each one holds the unit.
    reason
        Why so long, in words; empty if the name says it.
    """

    what: str
    count: int
    cycles: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Bound:
    """What a program asks of one unit.

    Attributes
    ----------
    cycles
        Cycles for which the unit is held, at least.
    pieces
        What they are the sum of.
    """

    cycles: int
    pieces: tuple[Piece, ...]

    @classmethod
    def of(cls, pieces: list[Piece]) -> "Bound":
        """Return the bound that pieces sum up to; those without work are left out."""
        kept = tuple(piece for piece in pieces if piece.count and piece.cycles)
        return cls(sum(piece.count * piece.cycles for piece in kept), kept)


def unit_bounds(config: Config, program: Program) -> dict[Unit, Bound]:
    """Return what a program asks of each unit.

    - Systolic arrays: a GEMM holds them for :meth:`hw.npu.matrix.unit.MatrixUnit.period_of`.
    - Vector units: an instruction holds them until it is done
      (:func:`hw.npu.vector.cycles.cycles`), or, if the next one of its queue may overlap with it,
      until it has issued (:func:`hw.npu.vector.cycles.issue_cycles`).
    - PIM: a tile takes :func:`hw.protocol.tile_length.tile_cycles_on_grid`.
    - Data bus: a burst takes two cycles, a result as many as its columns.
    - C/A bus: a command of a column has every second cycle, and so has one of a row; the larger
      number counts. ACT and PRE, which the controller decides, are not among them.
    """
    channels = [_channel_bounds(config, program, c) for c in range(program.channels)]
    bounds = {
        Unit.ARRAYS: Bound.of(_gemms(config, program)),
        Unit.VECTOR_UNITS: Bound.of(_vectors(config, program)),
    }
    for unit in (Unit.PIM, Unit.DATA_BUS, Unit.COMMAND_BUS):
        bounds[unit] = max((bound[unit] for bound in channels), key=lambda bound: bound.cycles)
    return bounds


def binding_unit(bounds: Mapping[Unit, Bound]) -> Unit:
    """Return the unit with the largest bound; of equal ones the first."""
    return max(bounds, key=lambda unit: bounds[unit].cycles)


def counted_work(
    config: Config, program: Program, trace: np.ndarray | None = None
) -> dict[str, int]:
    """Return what the device's counters of work must say after a program, whatever its timing.

    Parameters
    ----------
    config, program
        The device, and what it ran.
    trace
        Records of its DRAM commands: a read that a pending write answered moves nothing. Without
        them, there was none.

    Returns
    -------
    ``matrix_busy``, ``pim_columns`` and ``bus_busy`` of :func:`hw.counters.counters_layout`.
    """
    forwarded = 0
    if trace is not None:
        accepted = trace["kind"][trace["command"] == ACCEPT]
        forwarded = int((accepted == KINDS.index("forward")).sum())
    matrix = program.streams[Queue.MATRIX]
    gemms = matrix[matrix["opcode"] == Opcode.GEMM]
    columns, beats = 0, -forwarded * _BURST_CYCLES
    for channel in range(program.channels):
        gemvs = _gemvs(program, channel)
        columns += int((_times(gemvs, "tiles", "gemvs") * _times(gemvs, "slots", "k")).sum())
        beats += sum(piece.count * piece.cycles for piece in _transfers(config, program, channel))
    return {
        "matrix_busy": int(gemms["rows"].sum()),
        "pim_columns": columns * config.memory.banks,
        "bus_busy": beats,
    }


def _times(records: np.ndarray, *names: str) -> np.ndarray:
    """Return the products of fields, in 64 bits."""
    product: np.ndarray = np.prod([records[name].astype(np.int64) for name in names], axis=0)
    return product


def _gemms(config: Config, program: Program) -> list[Piece]:
    stream = program.streams[Queue.MATRIX]
    rows = stream["rows"][stream["opcode"] == Opcode.GEMM].tolist()
    weights = MatrixUnit.weight_cycles_of(config)
    pieces = []
    for height, count in sorted(Counter(rows).items()):
        period = MatrixUnit.period_of(config, height)
        reason = ""
        if period > height:
            reason = f"as {period} rows would, since " + (
                f"the loading of its weights takes {weights}"
                if period == weights
                else f"the accumulators take the same row again only after {Accumulator.interval}"
            )
        pieces.append(Piece(f"weight tiles for {height} rows", count, period, reason))
    return pieces


def _vectors(config: Config, program: Program) -> list[Piece]:
    @cache
    def lengths(opcode: int, *fields: int) -> tuple[int, int]:
        function, rows, n, m = fields
        kind = Opcode(opcode)
        issue = issue_cycles(config, kind, function=function, rows=rows, n=n, m=m)
        return issue, vector_cycles(config, kind, function=function, rows=rows, n=n, m=m)

    held: Counter[tuple[Opcode, int]] = Counter()
    for queue in (Queue.EPILOGUE, Queue.ATTENTION):
        stream = program.streams[queue]
        stream = stream[stream["opcode"] != Opcode.END]
        names = ("opcode", "function", "rows", "n", "m", "overlap")
        records = list(zip(*(stream[name].tolist() for name in names), strict=True))
        for record, follower in zip_longest(records, records[1:]):
            issue, whole = lengths(*record[:-1])
            # Only what is of the same operation and variant overlaps, and of TRANSPOSE nothing.
            alike = follower is not None and record[:2] == follower[:2]
            joined = alike and follower[-1] and record[0] != Opcode.TRANSPOSE
            held[Opcode(record[0]), issue if joined else whole] += 1
    return [Piece(kind.name, count, cycles) for (kind, cycles), count in sorted(held.items())]


def _gemvs(program: Program, channel: int) -> np.ndarray:
    stream = program.streams[Queue.PIM + channel]
    gemvs: np.ndarray = stream[stream["opcode"] == Opcode.GEMV]
    return gemvs


def _results(gemvs: np.ndarray) -> np.ndarray:
    """Return how many slots each GEMV reads."""
    tiles = gemvs["tiles"].astype(np.int64)
    times = np.select([gemvs["read"] == 1, gemvs["read"] == 2], [tiles, np.ones_like(tiles)], 0)
    slots: np.ndarray = times * _times(gemvs, "gemvs", "slots")
    return slots


def _bursts(program: Program, channel: int) -> Iterator[tuple[str, int]]:
    """Yield what bursts of a channel carry, and how many they are."""
    for queue, what in (
        (Queue.LOAD, "bursts of weights"),
        (Queue.TAIL, "bursts of other loads"),
        (Queue.STORE, "bursts of stores"),
        (Queue.PIM + channel, "bursts of vectors"),
    ):
        stream = program.streams[queue]
        moves = np.isin(stream["opcode"], _MOVES)
        if queue in (Queue.TAIL, Queue.STORE):
            moves &= (stream["lanes"] >> channel & 1).astype(bool)
        counts = _times(stream, "bursts", "rows")
        if queue == Queue.TAIL:
            counts *= np.where(stream["opcode"] == Opcode.LOAD_PAGES, stream["pages"], 1)
        yield what, int(counts[moves].sum())


_MOVES = [Opcode.LOAD, Opcode.LOAD_PAGES, Opcode.STORE, Opcode.VECTOR]


def _transfers(config: Config, program: Program, channel: int) -> list[Piece]:
    """Return what moves over a channel's data bus."""
    bursts = [Piece(what, count, _BURST_CYCLES) for what, count in _bursts(program, channel)]
    results = int(_results(_gemvs(program, channel)).sum())
    return [*bursts, Piece("results", results, config.memory.ranks * result_beats(config))]


def _channel_bounds(config: Config, program: Program, channel: int) -> dict[Unit, Bound]:
    gemvs = _gemvs(program, channel)
    tiles: Counter[int] = Counter()
    for count, columns in zip(gemvs["tiles"], _times(gemvs, "gemvs", "slots", "k"), strict=True):
        tiles[tile_cycles_on_grid(config, int(columns))] += int(count)
    commands = _times(gemvs, "tiles", "gemvs")
    if config.controller.pim_commands == "separate":
        commands = commands * _times(gemvs, "slots", "k") + _results(gemvs)
    column_commands = [
        *(Piece(what, count, 2) for what, count in _bursts(program, channel)),
        Piece("commands of GEMVs", int(commands.sum()), 2),
    ]
    row_commands = [Piece("tiles", sum(tiles.values()), 2 * (config.memory.groups + 1))]
    by_kind = (Bound.of(column_commands), Bound.of(row_commands))
    return {
        Unit.PIM: Bound.of([Piece("tiles", n, cycles) for cycles, n in sorted(tiles.items())]),
        Unit.DATA_BUS: Bound.of(_transfers(config, program, channel)),
        Unit.COMMAND_BUS: max(by_kind, key=lambda bound: bound.cycles),
    }
