"""DRAM rows for the keys and values of requests: which rows of a channel belong to whom.

A *row* is the same row of all banks of a channel: a page of keys (B tokens) or of values (T tokens)
takes one for every group of heads that fits (:class:`KvGeometry`), and V's tail as many as its
bytes fill. No two rows need to follow one another: programs name each. All rows that a request may
ever need are allocated when it is admitted, so a resident request never waits for memory.
"""

from dataclasses import dataclass

import numpy as np

from hw.config import Config
from scheduler.compiler.attention.kv_geometry import KvGeometry
from scheduler.models.shape import ModelShape

__all__ = ["KvPages", "KvRows"]


@dataclass(frozen=True, slots=True, eq=False)
class KvRows:
    """The rows of one request.

    Attributes
    ----------
    channel
        The channel that all of them are in.
    k_rows, v_rows
        ``[layer, part, page]``: pages of B tokens of keys, of T tokens of values.
    tail_rows
        ``[layer, row]``: the rows of V's tail, in the order of its bytes.
    """

    channel: int
    k_rows: np.ndarray
    v_rows: np.ndarray
    tail_rows: np.ndarray


class KvPages:
    """Allocates rows from ``first_row`` on.

    Pages take the lowest free rows, tails the highest.

    Parameters
    ----------
    config, shape
        The device, and the model (of one device, where several share it).
    first_row
        The first row that does not belong to weights, inputs or outputs; the same in all channels.

    Raises
    ------
    ValueError
        If no row is left.
    """

    def __init__(self, config: Config, shape: ModelShape, first_row: int) -> None:
        if not 0 <= first_row < config.memory.rows:
            raise ValueError(f"first_row must be a row of {config.memory.rows}, not {first_row!r}")
        self.config = config
        self.shape = shape
        self.first_row = first_row
        self.geometry = KvGeometry.of(config, shape)
        self._free = np.zeros((config.memory.channels, config.memory.rows), dtype=bool)
        self._free[:, first_row:] = True
        self._rows: dict[int, KvRows] = {}

    def pages(self, context: int) -> tuple[int, int]:
        """Return the pages of keys and the complete pages of values of ``context`` tokens."""
        return -(-context // self.config.memory.banks), context // self.geometry.v_tokens

    def rows_needed(self, context: int) -> int:
        """Return the rows that a request with ``context`` tokens takes of its channel."""
        k_pages, v_pages = self.pages(context)
        geometry = self.geometry
        parts = geometry.k_parts * k_pages + geometry.v_parts * v_pages + geometry.tail_rows
        return self.shape.layers * parts

    def free_rows(self, channel: int) -> int:
        """Return the rows of a channel that belong to nobody."""
        return int(self._free[channel].sum())

    def fits(self, channel: int, context: int) -> bool:
        """Return whether a request with ``context`` tokens can be allocated now."""
        return self._choose(self._free[channel], context) is not None

    def ever_fits(self, context: int) -> bool:
        """Return whether such a request could be allocated in a channel without others."""
        empty = np.arange(self.config.memory.rows) >= self.first_row
        return self._choose(empty, context) is not None

    def allocate(self, request: int, channel: int, context: int) -> KvRows:
        """Give a request all rows for ``context`` tokens, its longest.

        Raises
        ------
        ValueError
            If the request has rows already, or the channel has too few.
        """
        if request in self._rows:
            raise ValueError(f"request {request} must not be allocated twice")
        chosen = self._choose(self._free[channel], context)
        if chosen is None:
            raise ValueError(
                f"channel {channel} must have {self.rows_needed(context)} free rows for request "
                f"{request}, not {self.free_rows(channel)}"
            )
        pages, tails = chosen
        shape, geometry = self.shape, self.geometry
        k_pages, v_pages = self.pages(context)
        k_rows = pages[: shape.layers * geometry.k_parts * k_pages]
        v_rows = pages[len(k_rows) :]
        self._free[channel, pages] = False
        self._free[channel, tails] = False
        rows = self._rows[request] = KvRows(
            channel=channel,
            k_rows=k_rows.reshape(shape.layers, geometry.k_parts, k_pages),
            v_rows=v_rows.reshape(shape.layers, geometry.v_parts, v_pages),
            tail_rows=tails,
        )
        return rows

    def free(self, request: int) -> None:
        """Take the rows of a request back.

        Raises
        ------
        ValueError
            If it has none.
        """
        rows = self._rows.pop(request, None)
        if rows is None:
            raise ValueError(f"request {request} must have rows to be freed")
        for part in (rows.k_rows, rows.v_rows, rows.tail_rows):
            self._free[rows.channel, part] = True

    def _choose(self, free: np.ndarray, context: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Return rows for pages, and those of tails by layer, or nothing if there are too few."""
        layers, size = self.shape.layers, self.geometry.tail_rows
        rows = np.flatnonzero(free)
        needed = self.rows_needed(context)
        if len(rows) < needed:
            return None
        tails = rows[len(rows) - layers * size :].reshape(layers, size)[::-1]
        return rows[: needed - layers * size], tails
