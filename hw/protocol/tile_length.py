"""How long a tile is: the formula of its timing constraints, and the same on the slot grid."""

from hw.config import DieConfig

__all__ = [
    "bursts_ahead",
    "bursts_ahead_cycles",
    "refresh_stretch",
    "tile_cycles",
    "tile_cycles_on_grid",
]


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


def bursts_ahead(config: DieConfig) -> int:
    """Return how many vector bursts may go out between the activations of two bank groups.

    The window of four activations keeps the next group of a rank closed for nFAW cycles. In them
    the data bus can turn from reads, and column commands take every second cycle: as many bursts as
    then issue delay no activation. At least one may go, where the bus turns slowly. A channel of
    one bank group has no such place.

    >>> from hw.presets import PAPER
    >>> bursts_ahead(PAPER)
    8
    """
    if config.memory.bank_groups == 1:
        return 0
    timing = config.memory.timing
    return max(1, (timing.nFAW - timing.read_to_write) // 2)


def bursts_ahead_cycles(config: DieConfig) -> int:
    """Return the cycles by which vector bursts may lengthen a tile, at most.

    Each of them may yield to one burst of an aged read: the data bus turns to it and back. The
    longest tile that the controller reckons with has a result of every product and no vector
    bursts. The tiles of programs read every slot once, and stay below it with their bursts.
    """
    t = config.memory.timing
    turns = t.read_to_write + t.nCWL + t.nBL + t.nWTRL
    return (config.memory.bank_groups - 1) * bursts_ahead(config) * (turns + 2 * t.nBL)


def refresh_stretch(config: DieConfig) -> float:
    """Return by what refresh multiplies the time of everything else.

    >>> from hw.presets import PAPER
    >>> round(tile_cycles(PAPER, 32) * refresh_stretch(PAPER), 1)
    200.4
    """
    return config.memory.timing.nREFI / (config.memory.timing.nREFI - config.memory.timing.nRFC)
