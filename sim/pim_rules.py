"""Rules of PIM and of the data bus, and the order of acceptance, for the protocol monitor."""

from collections import defaultdict

import numpy as np

from hw.memory.commands import Command
from hw.memory.constraints import Scope
from hw.pim.results import result_schedule
from sim.channel_trace import ChannelTrace
from sim.command_trace import ACCEPT

__all__ = ["check_acceptance", "check_data_bus", "check_pim", "check_vector_buffer"]

Array = np.ndarray

_PRODUCTS = (Command.PIM_GEMV, Command.PIM_DOTPRODUCT)
_READS = (Command.RD, Command.RDA)
_WRITES = (Command.WR, Command.WRA)
_OUTSIDE = -1  # who drives write data; all other drivers are ranks


def check_pim(channel: ChannelTrace) -> None:
    """Check that products find one row open in all bank groups, and that tiles open and close."""
    config = channel.config
    activations = channel.any_of([Command.PIM_ACTIVATION])
    closes = channel.any_of([Command.PIM_PRECHARGE])
    opened = np.cumsum(activations)
    tile = np.cumsum(closes)
    starts = np.concatenate([[0], opened[closes]])  # activations before each tile
    groups = opened - starts[tile - closes]
    wrong = channel.any_of(_PRODUCTS) & (groups != config.groups)
    for later in np.flatnonzero(wrong).tolist():
        channel.add("a product needs the PIM row buffers of all bank groups open", later)
    for later in np.flatnonzero(closes & (groups == 0)).tolist():
        channel.add("PIM_PRECHARGE needs an open PIM row buffer", later)
    index = np.flatnonzero(activations)
    a, b = index[:-1], index[1:]
    other = (tile[a] == tile[b]) & (channel.row[a] != channel.row[b])
    for first, later in zip(a[other], b[other], strict=True):
        channel.add("a tile has one row", later, first)


def _results(channel: ChannelTrace) -> tuple[Array, Array, Array, Array]:
    """Return start, end, driver and command of every piece of a result on the data bus."""
    config, commands = channel.config, channel.commands
    gemv = channel.any_of([Command.PIM_GEMV]) & (commands["read"] == 1)
    single = channel.any_of([Command.PIM_RDRESULT])
    slots = np.where(gemv, commands["slots"], 1).astype(np.int64)
    k = np.where(gemv, commands["k"], 1).astype(np.int64)
    beats = -(-4 * config.banks_per_rank // config.column_bytes)
    parts: list[tuple[Array, Array, Array, Array]] = []
    index = np.flatnonzero(gemv | single)
    shapes = slots[index] << 16 | k[index]
    for shape in np.unique(shapes):
        who = index[shapes == shape]
        windows = result_schedule(config, int(shape) >> 16, int(shape) & 0xFFFF)
        for offset, _end in windows:
            for rank in range(config.ranks):
                begin = channel.cycle[who] + offset + rank * (beats + config.timing.nTURN)
                parts.append((begin, begin + beats, np.full(len(who), rank), who))
    if not parts:
        nothing = np.zeros(0, np.int64)
        return nothing, nothing, nothing, nothing
    start, end, driver, command = (np.concatenate(x) for x in zip(*parts, strict=True))
    return start, end, driver, command


def check_data_bus(channel: ChannelTrace) -> None:
    """Check that one driver has the data bus at a time, with turn-arounds between drivers."""
    timing = channel.config.timing
    reads = np.flatnonzero(channel.any_of(_READS))
    writes = np.flatnonzero(channel.any_of([*_WRITES, Command.PIM_GWRITE_DATA]))
    start, end, driver, command = _results(channel)
    starts = (channel.cycle[reads] + timing.nCL, channel.cycle[writes] + timing.nCWL, start)
    ends = (starts[0] + timing.nBL, starts[1] + timing.nBL, end)
    ranks = channel.bank[reads] >> channel.shift(Scope.RANK)
    drivers = (ranks, np.full(len(writes), _OUTSIDE), driver)
    start, end, driver = np.concatenate(starts), np.concatenate(ends), np.concatenate(drivers)
    command = np.concatenate((reads, writes, command))
    order = np.argsort(start, kind="stable")
    start, end, driver, command = start[order], end[order], driver[order], command[order]
    turn = np.where(driver[1:] != driver[:-1], timing.nTURN, 0)
    missing = end[:-1] + turn - start[1:]
    for i in np.flatnonzero(missing > 0).tolist():
        first, later = sorted((int(command[i]), int(command[i + 1])))
        channel.add("one driver on the data bus, turn-arounds kept", later, first, missing[i])


def check_vector_buffer(channel: ChannelTrace) -> None:
    """Check that no entry of the vector buffer changes while an issued GEMV still reads it."""
    config, commands = channel.config, channel.commands
    timing = config.timing
    writes = np.flatnonzero(channel.any_of([Command.PIM_GWRITE, Command.PIM_GWRITE_DATA]))
    gemvs = np.flatnonzero(channel.any_of(_PRODUCTS))
    if not len(writes) or not len(gemvs):
        return
    # A burst from a row may be written at any time within nCL.
    from_row = commands["command"][writes] == Command.PIM_GWRITE.value
    time = channel.cycle[writes] + np.where(from_row, 0, timing.nCWL)
    issued = np.searchsorted(channel.cycle[gemvs], channel.cycle[writes]) - 1
    for write, written, last in zip(*(x.tolist() for x in (writes, time, issued)), strict=True):
        if last < 0:
            continue
        gemv = gemvs[last]
        if written > channel.cycle[gemv] + channel.extent[gemv]:
            continue
        first, entry = commands[gemv], int(commands[write]["offset"])
        if first["half"] != commands[write]["half"]:
            continue
        is_gemv = first["command"] == Command.PIM_GEMV.value
        slots, k = (int(first["slots"]), int(first["k"])) if is_gemv else (1, 1)
        for slot in range(slots):
            start = int(first["offset"]) + slot * int(first["offset_step"])
            if start < entry + 2 and entry < start + k:
                end = int(channel.cycle[gemv]) + ((slot + 1) * k - 1) * timing.nCCDL
                if written <= end:
                    rule = "a vector must not be overwritten while a GEMV reads it"
                    channel.add(rule, write, gemv, end - written + 1)
                    break


def check_acceptance(channel: ChannelTrace, rows: Array) -> None:
    """Check that on one row, ordinary requests and tiles are served in the order of acceptance.

    Parameters
    ----------
    channel
        The trace; requests whose acceptance it does not hold are not checked.
    rows
        The row that each command uses.
    """
    records = channel.records
    accepted: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))  # row, bank: count
    earlier: dict[int, int] = {}  # of the tile: requests to its row that come before it, by bank
    tile_row, started = -1, False
    serves = channel.any_of([*_READS, *_WRITES]).tolist()
    fields = (records[name].tolist() for name in ("command", "kind", "bank", "row"))
    rows_used = rows.tolist()
    nop, opens, closes = (
        command.value for command in (Command.NOP, Command.PIM_ACTIVATION, Command.PIM_PRECHARGE)
    )
    command = -1
    for code, kind, bank, row in zip(*fields, strict=True):
        if code == ACCEPT:
            if kind == 2:
                tile_row, started = row, False
                earlier = {b: n for b, n in accepted[row].items() if n}
            else:
                accepted[row][bank] += 1
            continue
        if code == nop:
            continue
        command += 1
        if serves[command]:
            used = rows_used[command]
            accepted[used][bank] -= 1
            if used == tile_row:
                left = earlier.get(bank, 0)
                if left == 0:
                    channel.add("a request must not overtake a tile of its row", command)
                earlier[bank] = max(0, left - 1)
        elif code == opens and not started:
            started = True
            if row != tile_row:
                channel.add("a tile must be accepted before it starts", command)
            elif any(earlier.values()):
                channel.add("a tile must not overtake earlier requests to its row", command)
        elif code == closes and started:
            # Otherwise the next tile was accepted in this very cycle.
            tile_row, started = -1, False
