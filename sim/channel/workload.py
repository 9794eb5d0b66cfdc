"""Streams of requests and PIM operations for one memory channel, as arrays."""

from dataclasses import dataclass

import numpy as np

from hw.config import Config
from hw.protocol.commands import PimOperation, Request
from hw.protocol.tile_length import tile_cycles_on_grid
from sim.channel.compiled_channel import pim_dtype, request_dtype

__all__ = [
    "TileShape",
    "random_requests",
    "random_runs",
    "sequential_requests",
    "tiles",
    "with_vector_bursts",
]


def sequential_requests(config: Config, count: int, writes: float = 0.0) -> np.ndarray:
    """Return requests for bursts one behind the other: along a row, then bank after bank.

    Parameters
    ----------
    config
        Of the channel.
    count
        How many.
    writes
        Share of writes, spread evenly.
    """
    requests = np.zeros(count, request_dtype(config))
    row_of_bank, burst = np.divmod(np.arange(count), config.memory.bursts)
    row, bank = np.divmod(row_of_bank, config.memory.banks)
    requests["bank"], requests["row"], requests["column"] = (
        bank,
        row % config.memory.rows,
        2 * burst,
    )
    _mix(requests, writes)
    return requests


def random_requests(
    config: Config, count: int, rng: np.random.Generator, writes: float = 0.0
) -> np.ndarray:
    """Return requests for single bursts anywhere in the lower half of all rows."""
    requests = np.zeros(count, request_dtype(config))
    requests["bank"] = rng.integers(config.memory.banks, size=count)
    requests["row"] = rng.integers(config.memory.rows // 2, size=count)
    requests["column"] = 2 * rng.integers(config.memory.bursts, size=count)
    _mix(requests, writes)
    return requests


def random_runs(config: Config, count: int, length: int, rng: np.random.Generator) -> np.ndarray:
    """Return reads in runs of ``length`` bursts one behind the other, each of a random row."""
    requests = np.zeros(count, request_dtype(config))
    run, burst = np.divmod(np.arange(count), length)
    runs = int(run[-1]) + 1
    requests["bank"] = rng.integers(config.memory.banks, size=runs)[run]
    requests["row"] = rng.integers(config.memory.rows // 2, size=runs)[run]
    first = rng.integers(config.memory.bursts // length, size=runs)[run] * length
    requests["column"] = 2 * (first + burst)
    requests["kind"] = Request.READ.value
    return requests


def _mix(requests: np.ndarray, writes: float) -> None:
    """Make an even share of the requests writes."""
    due = np.floor((np.arange(len(requests)) + 1) * writes + 1e-9).astype(np.int64)
    is_write = np.diff(due, prepend=0) > 0
    requests["kind"] = np.where(is_write, Request.WRITE.value, Request.READ.value)


@dataclass(frozen=True, kw_only=True, slots=True)
class TileShape:
    """What a tile does between the activations of its row and their precharge.

    Attributes
    ----------
    gemvs, slots, k
        PIM_GEMV commands, slots of each, columns of each slot.
    column_step, offset_step
        From slot to slot, in the row and in the vector.
    read
        Whether results are read.
    """

    gemvs: int
    slots: int
    k: int
    column_step: int
    offset_step: int
    read: bool

    @classmethod
    def logit(cls, config: Config, d_head: int, group: int = 1) -> "TileShape":
        """Return the tile of a row of keys: every head of the row times its query heads.

        Parameters
        ----------
        config
            Of the channel.
        d_head
            Elements of a head.
        group
            Query heads that share a key head, grouped-query attention's g.
        """
        k = -(-d_head // config.mac_lanes)
        heads = config.memory.columns // k
        if group == 1:
            return cls(gemvs=1, slots=heads, k=k, column_step=k, offset_step=k, read=True)
        return cls(gemvs=heads, slots=group, k=k, column_step=0, offset_step=k, read=True)

    @classmethod
    def attend(cls, config: Config, d_head: int) -> "TileShape":
        """Return the tile of a row of values but the last: no results.

        A row holds as many tokens as a burst has elements, of every group of as many elements as
        there are banks of as many heads as fit.
        """
        groups = d_head // config.memory.banks
        k = config.memory.burst_bytes // 2 // config.mac_lanes
        heads = config.memory.columns // (groups * k)
        return cls(gemvs=heads, slots=groups, k=k, column_step=k, offset_step=0, read=False)

    @property
    def columns(self) -> int:
        """Column products of a tile."""
        return self.gemvs * self.slots * self.k

    @property
    def results(self) -> int:
        """Results that a tile reads."""
        return self.gemvs * self.slots if self.read else 0


def tiles(
    config: Config, count: int, shape: TileShape, *, header: bool = True, together: int = 0
) -> np.ndarray:
    """Return PIM operations of tiles one behind the other, on rows of the upper half of a bank.

    Parameters
    ----------
    config
        Of the channel.
    count
        How many.
    shape
        Of each.
    header
        Whether a HEADER announces them.
    together
        Tiles that a HEADER announces, those of one GEMV instruction; 0 is all of them.
    """
    groups = sorted(
        range(config.memory.groups), key=lambda group: group % config.memory.bank_groups
    )
    size = config.memory.groups + shape.gemvs + 1
    each = np.zeros((count, size), pim_dtype(config))
    opens, gemvs, closes = each[:, : len(groups)], each[:, len(groups) : -1], each[:, -1]
    opens["operation"] = PimOperation.ACTIVATION.value
    opens["group"] = groups
    rows = config.memory.rows // 2
    opens["row"] = (rows + np.arange(count) % rows)[:, None]
    gemvs["operation"] = PimOperation.GEMV.value
    for name in ("slots", "k", "column_step", "offset_step", "read"):
        gemvs[name] = getattr(shape, name)
    column, offset, slot = _starts(config, shape)
    gemvs["column"], gemvs["offset"], gemvs["slot"] = column, offset, slot
    gemvs["half"] = (np.arange(count) % 2)[:, None]
    closes["operation"] = PimOperation.PRECHARGE.value
    operations = each.reshape(-1)
    if not header:
        return operations
    starts = np.arange(0, count, together or count)
    headers = np.zeros(len(starts), pim_dtype(config))
    headers["operation"] = PimOperation.HEADER.value
    headers["tiles"] = np.diff(np.append(starts, count))
    headers["length"] = tile_cycles_on_grid(config, shape.columns)
    return np.insert(operations, starts * size, headers)


def with_vector_bursts(
    config: Config, pim: np.ndarray, requests: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return PIM operations with two vector bursts before each tile.

    One is from the data bus, one from a row that ordinary requests use.
    """
    is_open = pim["operation"] == PimOperation.ACTIVATION.value
    starts = np.flatnonzero(is_open & ~np.roll(is_open, 1))
    bursts = np.zeros((len(starts), 2), pim_dtype(config))
    bursts["operation"] = PimOperation.GWRITE.value, PimOperation.GWRITE_ROW.value
    bursts["half"] = rng.integers(2, size=bursts.shape)
    chosen = rng.choice(requests, len(starts))
    for name in ("bank", "row"):
        bursts[name][:, 1] = chosen[name]
    return np.insert(pim, np.repeat(starts, 2), bursts.reshape(-1))


def _starts(config: Config, shape: TileShape) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return first column, first offset and first slot of each PIM_GEMV of a tile."""
    gemv = np.arange(shape.gemvs)
    column = gemv * max(shape.k, shape.slots * shape.column_step) % config.memory.columns
    offset = gemv * max(shape.k, shape.slots * shape.offset_step) % config.vector_columns
    # Sums that are not read stay in slots of their own; read ones leave theirs free.
    slot = gemv * shape.slots % config.pim.slots if not shape.read else np.zeros_like(gemv)
    return column, offset, slot
