"""How long a PIM tile lasts: what its header tells the controller."""

from hw.config import Config
from hw.protocol.results import result_schedule

__all__ = ["tile_cycles"]


def tile_cycles(config: Config, gemvs: int, slots: int, k: int, read: bool) -> int:
    """Return the cycles of a PIM tile, from its first activation to its end, at most.

    All bank groups are activated, each filling its rank's four-activate window; the columns of all
    commands follow, then precharge. Ranks share the command bus. A command whose results would
    meet those of the one before waits for them.
    """
    t = config.memory.timing
    opened = (config.memory.bank_groups - 1) * t.nFAW + config.memory.ranks + t.product_delay
    issue = 0
    free = 0
    for _ in range(gemvs):
        if read:
            schedule = result_schedule(config, slots, k)
            issue = max(issue, free - schedule[0][0])
            free = issue + schedule[-1][1] + t.nTURN
        issue += slots * k * t.nCCDL
    slot_grid = 2 * (gemvs + config.memory.groups + 1)  # row and column commands take turns
    return max(t.nRAS, opened + issue + t.nRTPL) + t.nRP + slot_grid
