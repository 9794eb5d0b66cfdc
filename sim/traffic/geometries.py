"""The channels that random traffic is run on: ``paper``, and small ones of every kind."""

from dataclasses import replace

from hw.config import Config
from hw.presets import AIM, HBM3, PAPER, TINY

__all__ = ["GEOMETRIES"]

#: Refreshes every few tiles, so that they meet everything.
_BUSY = replace(TINY.memory.timing, nREFI=900, nRFC=60)

#: Geometries by name. Their variety is chosen: ranks, bank groups, columns of 4 to 32 bytes,
#: results of one beat and of several, one row buffer, in each order, and two, subarrays, other
#: timing, other orders of addresses; vectors from bursts of rows and from whole rows, no headers,
#: GEMVs as single commands.
GEOMETRIES: dict[str, Config] = {
    config.name: config
    for config in (
        PAPER,
        TINY.replace(name="tiny", timing=_BUSY),
        TINY.replace(name="blocked", timing=_BUSY, row_buffers=1, gwrite="row"),
        TINY.replace(name="accepted", timing=_BUSY, row_buffers=1, blocked_order="accepted"),
        TINY.replace(name="subarrays", timing=_BUSY, subarrays=4, rows=64, pim_header=False),
        TINY.replace(
            name="two-ranks",
            ranks=2,
            bank_groups=2,
            row_bytes=64,
            column_bytes=4,
            gwrite="row",
            timing=replace(_BUSY, nTURN=2),
            address_order=("row", "column", "rank", "bank_group", "bank"),
        ),
        TINY.replace(name="four-ranks", ranks=4, row_bytes=256, column_bytes=16, slots=4),
        TINY.replace(
            name="hbm3-timing",
            bank_groups=2,
            row_bytes=256,
            column_bytes=32,
            timing=HBM3.memory.timing,
            partial_sums=4,
            pim_commands="separate",
            address_order=("rank", "bank_group", "bank", "row", "column"),
        ),
        TINY.replace(
            name="aim-timing",
            row_buffers=1,
            blocked_order="memory_first",
            row_bytes=256,
            column_bytes=32,
            timing=AIM.memory.timing,
            partial_sums=4,
        ),
    )
}
