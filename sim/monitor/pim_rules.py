"""Rules of PIM and of the data bus, for the protocol monitor."""

import numpy as np

from hw.protocol.commands import Command
from hw.protocol.results import result_schedule
from sim.trace.channel_trace import ChannelTrace

__all__ = ["check_data_bus", "check_pim", "check_vector_buffer"]

Array = np.ndarray

_PRODUCTS = (Command.PIM_GEMV, Command.PIM_DOTPRODUCT)
_READS = (Command.RD, Command.RDA)
_WRITES = (Command.WR, Command.WRA)
_OUTSIDE = -1  # who drives write data; all other drivers are ranks


def check_pim(channel: ChannelTrace, from_reset: bool = True) -> None:
    """Check that products find one row open in all bank groups, and that tiles open and close.

    Of a trace that does not begin at reset, the first tile may have begun before: until the first
    PIM_PRECHARGE or REF, more bank groups may be open than are seen to open.
    """
    config = channel.config
    activations = channel.any_of([Command.PIM_ACTIVATION])
    closes = channel.any_of([Command.PIM_PRECHARGE])
    products, refreshes = channel.any_of(_PRODUCTS), channel.any_of([Command.REF])
    opened = np.cumsum(activations)
    tile = np.cumsum(closes)
    starts = np.concatenate([[0], opened[closes]])  # activations before each tile
    begun = starts[tile - closes]
    groups = opened - begun
    index = np.flatnonzero(activations)
    known = np.ones(len(tile), bool)
    if not from_reset:
        known = (tile - closes > 0) | (np.cumsum(refreshes) - refreshes > 0)
    wrong = known & products & (groups != config.memory.groups)
    changes = np.flatnonzero(activations | closes)
    for later in np.flatnonzero(wrong).tolist():
        before = int(np.searchsorted(changes, later)) - 1
        last = int(changes[before]) if before >= 0 else None
        channel.add(1, "a product needs the PIM row buffers of all bank groups open", later, last)
    for later in np.flatnonzero(known & closes & (groups == 0)).tolist():
        channel.add(1, "PIM_PRECHARGE needs an open PIM row buffer", later)
    inside = "REF must not fall inside a tile"
    for later in np.flatnonzero(refreshes & (groups > 0)).tolist():
        channel.add(5, inside, later, int(index[begun[later]]))
    first = int(np.append(np.flatnonzero(~known & products), len(tile))[0])
    after = ~known & (np.arange(len(tile)) > first)  # a product has shown that all are open
    for later in np.flatnonzero(after & activations).tolist():
        channel.add(1, "PIM_ACTIVATION needs a closed PIM row buffer", later, first)
    for later in np.flatnonzero(after & refreshes & (groups == 0)).tolist():
        channel.add(5, inside, later, first)
    a, b = index[:-1], index[1:]
    other = (tile[a] == tile[b]) & (channel.row[a] != channel.row[b])
    for first, later in zip(a[other].tolist(), b[other].tolist(), strict=True):
        channel.add(1, "a tile has one row", later, first)


def _results(channel: ChannelTrace) -> tuple[Array, Array, Array, Array]:
    """Return start, end, driver and command of every piece of a result on the data bus."""
    config, commands = channel.config, channel.commands
    gemv = channel.any_of([Command.PIM_GEMV]) & (commands["read"] == 1)
    single = channel.any_of([Command.PIM_RDRESULT])
    slots = np.where(gemv, commands["slots"], 1).astype(np.int64)
    k = np.where(gemv, commands["k"], 1).astype(np.int64)
    beats = -(-4 * config.memory.banks_per_rank // config.memory.column_bytes)
    parts: list[tuple[Array, Array, Array, Array]] = []
    index = np.flatnonzero(gemv | single)
    shapes = slots[index] << 16 | k[index]
    for shape in np.unique(shapes):
        who = index[shapes == shape]
        windows = result_schedule(config, int(shape) >> 16, int(shape) & 0xFFFF)
        for offset, _end in windows:
            for rank in range(config.memory.ranks):
                begin = channel.cycle[who] + offset + rank * (beats + config.memory.timing.nTURN)
                parts.append((begin, begin + beats, np.full(len(who), rank), who))
    if not parts:
        nothing = np.zeros(0, np.int64)
        return nothing, nothing, nothing, nothing
    start, end, driver, command = (np.concatenate(x) for x in zip(*parts, strict=True))
    return start, end, driver, command


def check_data_bus(channel: ChannelTrace) -> None:
    """Check that one driver has the data bus at a time, with turn-arounds between drivers."""
    timing = channel.config.memory.timing
    reads = np.flatnonzero(channel.any_of(_READS))
    writes = np.flatnonzero(channel.any_of([*_WRITES, Command.PIM_GWRITE_DATA]))
    start, end, driver, command = _results(channel)
    starts = (channel.cycle[reads] + timing.nCL, channel.cycle[writes] + timing.nCWL, start)
    ends = (starts[0] + timing.nBL, starts[1] + timing.nBL, end)
    drivers = (channel.rank[reads], np.full(len(writes), _OUTSIDE), driver)
    start, end, driver = np.concatenate(starts), np.concatenate(ends), np.concatenate(drivers)
    command = np.concatenate((reads, writes, command))
    order = np.argsort(start, kind="stable")
    start, end, driver, command = start[order], end[order], driver[order], command[order]
    turn = np.where(driver[1:] != driver[:-1], timing.nTURN, 0)
    missing = end[:-1] + turn - start[1:]
    for i in np.flatnonzero(missing > 0).tolist():
        first, later = sorted((int(command[i]), int(command[i + 1])))
        channel.add(8, "one driver on the data bus, turn-arounds kept", later, first, missing[i])


def check_vector_buffer(channel: ChannelTrace) -> None:
    """Check that no entry of the vector buffer changes while an issued product still reads it."""
    commands, timing = channel.commands, channel.config.memory.timing
    writes = np.flatnonzero(channel.any_of([Command.PIM_GWRITE, Command.PIM_GWRITE_DATA]))
    products = np.flatnonzero(channel.any_of(_PRODUCTS))
    if not len(writes) or not len(products):
        return
    # A burst from a row may be written at any time from its command on.
    from_row = channel.code[writes] == Command.PIM_GWRITE.value
    time = channel.cycle[writes] + np.where(from_row, 0, timing.nCWL)
    last = np.searchsorted(products, writes) - 1
    reader = products[np.maximum(last, 0)]
    reads = (last >= 0) & (time <= channel.cycle[reader] + channel.extent[reader])
    reads &= commands["half"][writes] == commands["half"][reader]
    for write, product, written in zip(
        writes[reads].tolist(), reader[reads].tolist(), time[reads].tolist(), strict=True
    ):
        entry, reading = int(commands[write]["offset"]), commands[product]
        is_row = channel.code[write] == Command.PIM_GWRITE.value
        bursts = max(1, int(commands[write]["k"])) if is_row else 1
        is_gemv = channel.code[product] == Command.PIM_GEMV.value
        slots, k = (int(reading["slots"]), int(reading["k"])) if is_gemv else (1, 1)
        ends = [
            int(channel.cycle[product]) + ((slot + 1) * k - 1) * timing.nCCDL
            for slot in range(slots)
            for start in [int(reading["offset"]) + slot * int(reading["offset_step"])]
            if start < entry + 2 * bursts and entry < start + k
        ]
        if ends and written <= max(ends):
            what = "a vector must not be overwritten while a product reads it"
            channel.add(4, what, write, product, max(ends) - written + 1)
