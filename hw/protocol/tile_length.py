"""How long a tile is: the formula of its timing constraints, and the same on the slot grid."""

from hw.config import DieConfig

__all__ = ["refresh_stretch", "tile_cycles", "tile_cycles_on_grid"]


def tile_cycles(config: DieConfig, columns: int) -> int:
    """Return the cycles from one tile to the next, as the timing constraints alone allow.

    The groups of a rank open nFAW cycles after each other, those of the ranks side by side in
    consecutive cycles; columns follow the last one, each nCCDL after the other; the row buffers
    close and rest.

    Parameters
    ----------
    columns
        Column products of the tile, over all its PIM_GEMVs, none of which waits for results.

    >>> from hw.presets import PAPER
    >>> tile_cycles(PAPER, 32)
    187
    """
    t = config.memory.timing
    opened = (config.memory.bank_groups - 1) * t.nFAW + config.memory.ranks - 1
    used = max(t.nRAS, t.product_delay + (columns - 1) * t.nCCDL + t.nRTPL)
    return opened + used + t.nRP


def tile_cycles_on_grid(config: DieConfig, columns: int) -> int:
    """Return the same where row commands take even cycles and column commands odd ones.

    >>> from hw.presets import PAPER
    >>> tile_cycles_on_grid(PAPER, 32)
    190
    """
    t = config.memory.timing

    def row_slot(cycle: int) -> int:
        return cycle + cycle % 2

    opened = (config.memory.bank_groups - 1) * row_slot(t.nFAW) + 2 * (config.memory.ranks - 1)
    first = (opened + t.product_delay) | 1
    last = first + (columns - 1) * t.nCCDL
    closes = row_slot(max(opened + t.nRAS, last + t.nRTPL))
    return row_slot(closes + t.nRP)


def refresh_stretch(config: DieConfig) -> float:
    """Return by what refresh multiplies the time of everything else.

    >>> from hw.presets import PAPER
    >>> round(tile_cycles(PAPER, 32) * refresh_stretch(PAPER), 1)
    200.4
    """
    return config.memory.timing.nREFI / (config.memory.timing.nREFI - config.memory.timing.nRFC)
