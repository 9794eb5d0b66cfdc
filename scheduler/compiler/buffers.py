"""Buffers in the memories of the tile, and the regions by which accesses to them are ordered."""

from bisect import bisect_right
from dataclasses import dataclass

from scheduler.compiler.builder import Region

__all__ = ["Buffer", "SpaceAllocator", "round_up"]


def round_up(value: int, unit: int) -> int:
    """Return the least multiple of ``unit`` that is not below ``value``."""
    return -(-value // unit) * unit


@dataclass(frozen=True, slots=True)
class Buffer:
    """A named piece of a tile memory: its tile address, its size, and its regions.

    A buffer whose columns (elements, heads: what its user counts in) are made and used part by part
    has one region a part; ``ends`` says where the parts end. Every other has a single region.
    """

    address: int
    nbytes: int
    regions: tuple[Region, ...]
    ends: tuple[int, ...] = ()

    @property
    def region(self) -> Region:
        """The single region of a buffer that has no parts."""
        (region,) = self.regions
        return region

    @property
    def offset(self) -> int:
        """The offset in its lane buffer, for a buffer that lies in one."""
        return self.address & 0xFFFFF

    def part(self, first: int, count: int) -> tuple[Region, ...]:
        """Return the regions that hold ``count`` columns from ``first`` on.

        >>> regions = tuple(Region(name) for name in "abc")
        >>> Buffer(0, 64, regions, ends=(4, 8, 12)).part(3, 2)
        (Region('a'), Region('b'))
        """
        if not self.ends:
            return self.regions
        last = bisect_right(self.ends, first + count - 1)
        return self.regions[bisect_right(self.ends, first) : last + 1]


class SpaceAllocator:
    """Hands out pieces of one memory, one after the other, aligned for every user of it.

    Pieces past the end are handed out too, so that :meth:`limit` can say what all of them take.
    """

    def __init__(self, name: str, base: int, capacity_bytes: int, alignment: int) -> None:
        self.name = name
        self.base = base
        self.capacity_bytes = capacity_bytes
        self.alignment = alignment
        self.used_bytes = 0

    def take(self, what: str, nbytes: int, ends: tuple[int, ...] = ()) -> Buffer:
        """Return a fresh buffer, with one region for each part that ends at ``ends``."""
        start = self.used_bytes
        self.used_bytes += round_up(nbytes, self.alignment)
        regions = tuple(Region(f"{self.name}: {what}[{part}]") for part in range(max(1, len(ends))))
        return Buffer(self.base + start, nbytes, regions, ends)

    def limit(self) -> str:
        """Return what is wrong if the pieces do not fit, with the bytes that would do."""
        if self.used_bytes <= self.capacity_bytes:
            return ""
        return f"{self.name} must hold at least {self.used_bytes} bytes, not {self.capacity_bytes}"
