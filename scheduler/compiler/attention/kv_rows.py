"""The rows of one request's cache: page numbers that all layers share, and a plane of rows each."""

from dataclasses import dataclass

import numpy as np

__all__ = ["KvRows"]


@dataclass(frozen=True, slots=True, eq=False)
class KvRows:
    """Which rows of its channel a request has.

    A layer has a *plane* of rows, and all planes are divided alike: page p of layer l is row
    first_row + l × plane + p. So one list of pages names the rows of every layer.

    Attributes
    ----------
    channel
        The channel that all of them are in.
    first_row, plane
        The first row of the first layer's plane, and rows of a plane.
    k_pages, v_pages
        ``[part, page]``: pages of B tokens of keys, of T tokens of values.
    tail_pages
        The pages of V's tail, in the order of its bytes.
    """

    channel: int
    first_row: int
    plane: int
    k_pages: np.ndarray
    v_pages: np.ndarray
    tail_pages: np.ndarray

    def start(self, layer: int) -> int:
        """Return the first row of a layer's plane, which is added to the number of a page."""
        return self.first_row + layer * self.plane

    def row(self, layer: int, page: int) -> int:
        """Return the row of a page in a layer."""
        return self.start(layer) + int(page)
