"""DRAM rows for the keys and values of requests: which rows of a channel belong to whom.

A *row* is the same row of all banks of a channel: a page of keys (B tokens) or of values (T tokens)
takes one for every group of heads that fits (:class:`KvGeometry`), and V's tail as many as its
bytes fill. Every layer has a plane of as many rows, and a page is one row in each of them, so that
one list of pages serves all layers. No two pages need to follow one another: programs name each.
All pages that a request may ever need are allocated when it is admitted, so a resident request
never waits for memory.
"""

import numpy as np

from hw.config import Config
from scheduler.compiler.attention.kv_geometry import KvGeometry
from scheduler.compiler.attention.kv_rows import KvRows
from scheduler.models.shape import ModelShape

__all__ = ["KvPages", "KvRows"]


class KvPages:
    """Allocates pages: rows of every layer's plane, which divide the rows from ``first_row`` on.

    Pages of keys and values take the lowest free numbers, tails the highest.

    Parameters
    ----------
    config, shape
        The device, and the model (of one device, where several share it).
    first_row
        The first row that does not belong to weights, inputs or outputs; the same in all channels.

    Attributes
    ----------
    plane
        Rows of a layer, which are the pages of a channel.

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
        self.plane = (config.memory.rows - first_row) // shape.layers
        self.geometry = KvGeometry.of(config, shape)
        self._free = np.ones((config.memory.channels, self.plane), dtype=bool)
        self._rows: dict[int, KvRows] = {}

    def pages(self, context: int) -> tuple[int, int]:
        """Return the pages of keys and the complete pages of values of ``context`` tokens."""
        return -(-context // self.config.memory.banks), context // self.geometry.v_tokens

    def pages_needed(self, context: int) -> int:
        """Return the pages that a request with ``context`` tokens takes of its channel."""
        k_pages, v_pages = self.pages(context)
        geometry = self.geometry
        return geometry.k_parts * k_pages + geometry.v_parts * v_pages + geometry.tail_rows

    def free_pages(self, channel: int) -> int:
        """Return the pages of a channel that belong to nobody."""
        return int(self._free[channel].sum())

    def fits(self, channel: int, context: int) -> bool:
        """Return whether a request with ``context`` tokens can be allocated now."""
        return self.pages_needed(context) <= self.free_pages(channel)

    def ever_fits(self, context: int) -> bool:
        """Return whether such a request could be allocated in a channel without others."""
        return self.pages_needed(context) <= self.plane

    def allocate(self, request: int, channel: int, context: int) -> KvRows:
        """Give a request all pages for ``context`` tokens, its longest.

        Raises
        ------
        ValueError
            If the request has pages already, or the channel has too few.
        """
        if request in self._rows:
            raise ValueError(f"request {request} must not be allocated twice")
        if not self.fits(channel, context):
            raise ValueError(
                f"channel {channel} must have {self.pages_needed(context)} free pages for request "
                f"{request}, not {self.free_pages(channel)}"
            )
        free = np.flatnonzero(self._free[channel])
        geometry = self.geometry
        k_pages, v_pages = self.pages(context)
        keys, values = geometry.k_parts * k_pages, geometry.v_parts * v_pages
        rows = self._rows[request] = KvRows(
            channel=channel,
            first_row=self.first_row,
            plane=self.plane,
            k_pages=free[:keys].reshape(geometry.k_parts, k_pages),
            v_pages=free[keys : keys + values].reshape(geometry.v_parts, v_pages),
            tail_pages=free[len(free) - geometry.tail_rows :],
        )
        for part in (rows.k_pages, rows.v_pages, rows.tail_pages):
            self._free[channel, part] = False
        return rows

    def free(self, request: int) -> None:
        """Take the pages of a request back.

        Raises
        ------
        ValueError
            If it has none.
        """
        rows = self._rows.pop(request, None)
        if rows is None:
            raise ValueError(f"request {request} must have pages to be freed")
        for part in (rows.k_pages, rows.v_pages, rows.tail_pages):
            self._free[rows.channel, part] = True
