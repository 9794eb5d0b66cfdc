"""When the MAC units' results are on the data bus: a function of the configuration alone."""

from hw.arith.adder import Adder
from hw.arith.dot import Dot
from hw.config import DieConfig

__all__ = ["result_backlog", "result_beats", "result_cycles", "result_latency", "result_schedule"]


def result_latency(config: DieConfig) -> int:
    """Return the cycles from a slot's last column product to its result on the data bus.

    A column multiplied in cycle c (PIM_GEMV issues in the cycle of its first one) is read from the
    row buffer in c + 1, enters the multipliers in c + 3, is in its partial sum after the dot
    product, an adder and a memory, is folded with the others after log2(partial sums) adders, and
    is on the bus after the result buffer and the bus register::

        7 + dot product + adder × (1 + log2(partial sums))

    PIM_RDRESULT has the same latency, counted from its own cycle.
    """
    folds = config.pim.partial_sums.bit_length() - 1
    latency: int = 7 + Dot.latency_of(config.mac_lanes) + Adder.latency * (1 + folds)
    return latency


def result_beats(config: DieConfig) -> int:
    """Return the columns in which a rank drives a slot's result, 4 bytes a bank."""
    return -(-4 * config.memory.banks_per_rank // config.memory.column_bytes)


def result_cycles(config: DieConfig) -> int:
    """Return the cycles that one slot's result takes on the data bus, rank after rank.

    The turn-arounds between its ranks are in it, the one after it is not.
    """
    return (
        config.memory.ranks * result_beats(config)
        + (config.memory.ranks - 1) * config.memory.timing.nTURN
    )


def result_schedule(config: DieConfig, slots: int, k: int) -> list[tuple[int, int]]:
    """Return when a PIM_GEMV that reads drives the data bus, slot after slot.

    The product of column n executes in cycle n × nCCDL after issue. A slot's result starts
    :func:`result_latency` cycles after its last column, or when the result before it has left the
    bus (with several ranks the bus then turns around, too), whichever is later.

    PIM_RDRESULT drives the bus like a PIM_GEMV of one slot and one column.

    Parameters
    ----------
    slots, k
        Of the command: accumulators, and columns of each.

    Returns
    -------
    list
        A pair a slot: first cycle on the bus, and first cycle after it, both counted from issue.
    """
    latency, length = result_latency(config), result_cycles(config)
    turn = config.memory.timing.nTURN if config.memory.ranks > 1 else 0
    windows: list[tuple[int, int]] = []
    free = 0
    for slot in range(slots):
        last = ((slot + 1) * k - 1) * config.memory.timing.nCCDL
        start = max(last + latency, free)
        windows.append((start, start + length))
        free = start + length + turn
    return windows


def result_backlog(config: DieConfig) -> int:
    """Return how many results a bank must hold at once: folded, but not yet on the bus.

    The most pile up when every column ends a slot. A place is free again in the cycle after its
    result was taken for the bus.
    """
    latency = result_latency(config)
    folded = [n * config.memory.timing.nCCDL + latency for n in range(config.pim.slots)]
    taken = [start for start, _end in result_schedule(config, config.pim.slots, 1)]
    return max(sum(start >= now for start in taken[: n + 1]) for n, now in enumerate(folded))
