"""Sequencer of the MAC units: turns a PIM command into column products and results."""

from hw.config import Config

__all__ = ["result_cycles", "result_latency", "result_schedule"]

#: Cycles of the units that a column passes: product of two bfloat16, sum of two binary32.
PRODUCT_LATENCY = 2
ADDER_LATENCY = 3


def result_latency(config: Config) -> int:
    """Return the cycles from a slot's last column product to its result on the data bus.

    A column multiplied in cycle c (PIM_GEMV issues in the cycle of its first one) is read from the
    row buffer in c + 1, enters the multipliers in c + 3, is a dot product after the multiplier and
    log2(lanes) adders, is in its partial sum an adder and a memory later, folded with the others
    after log2(partial sums) adders, and on the bus after the result buffer and the bus register::

        10 + product + adder × (log2(lanes) + log2(partial sums))

    PIM_RDRESULT has the same latency, counted from its own cycle.
    """
    levels = (config.mac_lanes.bit_length() - 1) + (config.partial_sums.bit_length() - 1)
    return 10 + PRODUCT_LATENCY + ADDER_LATENCY * levels


def result_cycles(config: Config) -> int:
    """Return the cycles that one slot's result takes on the data bus, turn-arounds inside it too.

    Rank after rank drives 4 bytes a bank, in whole columns.
    """
    beats = -(-4 * config.banks_per_rank // config.column_bytes)
    return config.ranks * beats + (config.ranks - 1) * config.timing.nTURN


def result_schedule(config: Config, slots: int, k: int) -> list[tuple[int, int]]:
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
    turn = config.timing.nTURN if config.ranks > 1 else 0
    windows: list[tuple[int, int]] = []
    free = 0
    for slot in range(slots):
        last = ((slot + 1) * k - 1) * config.timing.nCCDL
        start = max(last + latency, free)
        windows.append((start, start + length))
        free = start + length + turn
    return windows
