"""Rules on the order of acceptance, for the protocol monitor: whole traces by array operations."""

from dataclasses import dataclass

import numpy as np

from hw.protocol.commands import Command
from sim.trace.channel_trace import ChannelTrace
from sim.trace.command_trace import ACCEPT, KINDS, lacks_columns

__all__ = ["check_acceptance"]

Array = np.ndarray

_READS = (Command.RD, Command.RDA)
_WRITES = (Command.WR, Command.WRA)


@dataclass(slots=True)
class _Events:
    """Events at rows of banks, by row, then in the order of the trace.

    Attributes
    ----------
    mixed
        Number of the row × records of the trace + position of the event in it.
    command
        Index of the event's command, if it has one.
    records
        Of the trace.
    """

    mixed: Array
    command: Array
    records: int

    @classmethod
    def of(cls, row: Array, position: Array, command: Array, records: int) -> "_Events":
        mixed = row * records + position
        order = np.argsort(mixed, kind="stable")
        return cls(mixed[order], command[order], records)

    @property
    def row(self) -> Array:
        """Row of each event."""
        return self.mixed // self.records

    @property
    def position(self) -> Array:
        """Position of each event in the trace."""
        return self.mixed % self.records

    def first(self, row: Array) -> Array:
        """Return where the events of rows begin."""
        found: Array = np.searchsorted(self.mixed, row * self.records)
        return found

    def count(self, row: Array, position: Array) -> Array:
        """Return how many events of rows stand before positions."""
        found: Array = np.searchsorted(self.mixed, row * self.records + position) - self.first(row)
        return found

    def position_of(self, row: int, number: int) -> int:
        """Return the position in the trace of an event of a row, counted from 0."""
        return int(self.position[int(self.first(np.array([row]))[0]) + number])


def check_acceptance(channel: ChannelTrace, rows: Array, end: int | None) -> None:
    """Check what is served when, against what was accepted when.

    On one row, ordinary requests, tiles, and vectors that PIM_GWRITE takes from it are served in
    the order of acceptance, and none is served that nobody asked for: the burst, too, is that of a
    request, unless some ACCEPT does not say its column.

    Parameters
    ----------
    channel
        The trace, with its ACCEPT records.
    rows
        The row that each command uses: for column commands that open in the bank, or -1.
    end
        Cycle by which all must have been served; None if requests may be left.
    """
    config, records = channel.config, channel.records
    is_accept = records["command"] == ACCEPT
    everything = np.arange(len(records))
    nowhere = np.full(len(records), -1)
    place = records["bank"].astype(np.int64) * config.memory.rows + records["row"]
    bursts = 1 if lacks_columns(records) else config.memory.bursts  # of a row that are told apart
    burst = place * bursts + records["column"].astype(np.int64) // 2 % bursts
    column = channel.commands["column"].astype(np.int64)

    def accepted(*kinds: str, at: Array = place) -> _Events:
        index = everything[is_accept & np.isin(records["kind"], [KINDS.index(k) for k in kinds])]
        return _Events.of(at[index], index, nowhere[index], len(records))

    def served(*commands: Command, by_burst: bool = False) -> _Events:
        index = np.flatnonzero(channel.any_of(commands) & (rows >= 0))
        used = channel.bank[index] * config.memory.rows + rows[index]
        if by_burst:
            used = used * bursts + column[index] // 2 % bursts
        return _Events.of(used, channel.position[index], index, len(records))

    writes, write_commands = accepted("write"), served(*_WRITES)
    vectors, vector_commands = accepted("gwrite"), served(Command.PIM_GWRITE)
    for kind, commands in (("read", _READS), ("write", _WRITES), ("gwrite", (Command.PIM_GWRITE,))):
        accepts, serves = accepted(kind, at=burst), served(*commands, by_burst=True)
        if kind != "gwrite" or len(vectors.mixed):
            _check_asked(channel, accepts, serves, kind)
        if end is not None:
            _check_served(channel, accepts, serves, kind, end)
    _check_forwards(channel, accepted("forward"), writes, write_commands)
    to_bursts = accepted("forward", at=burst)
    written = accepted("write", at=burst).count(to_bursts.row, to_bursts.position) > 0
    for position in to_bursts.position[~written].tolist():
        channel.add_acceptance(7, "a forwarded read must follow a write to its burst", position)
    _check_tiles(channel, accepted("read", "write"), served(*_READS, *_WRITES), end)
    _check_vectors(channel, writes, write_commands, vectors, vector_commands)


def _check_asked(channel: ChannelTrace, accepts: _Events, serves: _Events, kind: str) -> None:
    """Check that commands serve accepted requests; one too many is reported once."""
    row = serves.row
    number = np.arange(len(row)) - serves.first(row) + 1
    excess = number - accepts.count(row, serves.position)
    worst: dict[int, int] = {}
    for event in np.flatnonzero(excess > 0).tolist():
        key, value = int(row[event]), int(excess[event])
        if value > worst.get(key, 0):
            worst[key] = value
            channel.add(7, f"a command must serve an accepted {kind}", int(serves.command[event]))


def _check_served(
    channel: ChannelTrace, accepts: _Events, serves: _Events, kind: str, end: int
) -> None:
    """Check that nothing accepted is left; requests to one burst are served in their order."""
    number = np.arange(len(accepts.mixed)) - accepts.first(accepts.row)
    done = serves.count(accepts.row, np.full(len(number), accepts.records))
    for event in np.flatnonzero(number >= done).tolist():
        words = channel.accepted_in_words(int(accepts.position[event]))
        channel.add_at_end(7, f"an accepted {kind} must be served", end, words)


def _check_forwards(
    channel: ChannelTrace, forwards: _Events, writes: _Events, write_commands: _Events
) -> None:
    """Check that a write to its row was pending whenever a read was answered without a RD."""
    row, position = forwards.row, forwards.position
    pending = writes.count(row, position) > write_commands.count(row, position)
    for event in np.flatnonzero(~pending).tolist():
        what = "a forwarded read must find a pending write to its row"
        channel.add_acceptance(7, what, int(position[event]))


def _tiles(channel: ChannelTrace) -> tuple[Array, Array]:
    """Return the first activation of every tile, and the command that closes it or -1."""
    opens = channel.any_of([Command.PIM_ACTIVATION])
    closes = channel.any_of([Command.PIM_PRECHARGE])
    events = np.flatnonzero(opens | closes)
    is_open = opens[events]
    first = is_open & ~np.concatenate([[False], is_open[:-1]])
    close_at = np.flatnonzero(~is_open)
    starts = np.flatnonzero(first)
    after = np.searchsorted(close_at, starts)
    ends = np.append(events[close_at], -1)[after]
    return events[starts], ends


def _check_tiles(channel: ChannelTrace, accepts: _Events, serves: _Events, end: int | None) -> None:
    """Check tiles against ordinary requests to their rows."""
    config, records = channel.config, channel.records
    is_tile = (records["command"] == ACCEPT) & (records["kind"] == KINDS.index("tile"))
    accepted = np.flatnonzero(is_tile)
    starts, ends = _tiles(channel)
    which = np.searchsorted(accepted, channel.position[starts]) - 1
    again = np.concatenate([[False], which[1:] == which[:-1]])
    row = channel.row[starts]
    asked = (which >= 0) & ~again
    asked[asked] = records["row"][accepted[which[asked]]] == row[asked]
    if end is not None:
        started = np.isin(np.arange(len(accepted)), which[asked])
        for position in accepted[~started].tolist():
            words = channel.accepted_in_words(position)
            channel.add_at_end(7, "an accepted tile must be served", end, words)
    for start in starts[~asked].tolist():
        channel.add(3, "a tile must be accepted before it starts", start)

    # Every bank of the tiles that were accepted, by tile.
    starts, ends, row, which = starts[asked], ends[asked], row[asked], which[asked]
    if not len(starts):
        return
    begin = channel.position[starts]
    close = np.where(ends < 0, len(records), channel.position[ends])
    keys = (np.arange(config.memory.banks) * config.memory.rows + row[:, None]).reshape(-1)
    tile = np.repeat(np.arange(len(starts)), config.memory.banks)
    acceptance = accepted[which][tile]
    earlier = accepts.count(keys, acceptance)
    done = serves.count(keys, begin[tile])
    overtakes = np.flatnonzero(done < earlier)
    for case in overtakes[np.unique(tile[overtakes], return_index=True)[1]].tolist():
        request = accepts.position_of(int(keys[case]), int(done[case]))
        what = "a tile must not overtake earlier requests to its row"
        channel.add(3, what, int(starts[tile[case]]), channel.accepted_in_words(request))
    fair = np.maximum(earlier, serves.count(keys, acceptance))
    last = serves.count(keys, close[tile])
    for case in np.flatnonzero(last > fair).tolist():
        base = int(serves.first(keys[case : case + 1])[0])
        words = channel.in_words(int(starts[tile[case]]))
        for event in range(base + int(fair[case]), base + int(last[case])):
            what = "a request must not overtake a tile of its row"
            channel.add(3, what, int(serves.command[event]), words)


def _check_vectors(
    channel: ChannelTrace,
    writes: _Events,
    write_commands: _Events,
    vectors: _Events,
    vector_commands: _Events,
) -> None:
    """Check every PIM_GWRITE from a row against the writes to that row.

    In a trace without any ACCEPT of a gwrite, each counts as accepted in the cycle before it is on
    the bus.
    """
    if not len(vectors.mixed):
        cycle = channel.cycle[vector_commands.command]
        position = np.searchsorted(channel.records["cycle"].astype(np.int64), cycle)
        vectors = _Events.of(
            vector_commands.row, position, vector_commands.command, len(channel.records)
        )
    row = vector_commands.row
    number = np.arange(len(row)) - vector_commands.first(row)
    known = number < vectors.count(row, vector_commands.position + 1)
    for event in np.flatnonzero(known).tolist():
        key = row[event : event + 1]
        accept = vectors.position[vectors.first(key) + number[event]]
        earlier = int(writes.count(key, accept)[0])
        done = int(write_commands.count(key, vector_commands.position[event : event + 1])[0])
        command = int(vector_commands.command[event])
        if done < earlier:
            write = writes.position_of(int(key[0]), done)
            what = "a PIM_GWRITE must not overtake earlier writes to its row"
            channel.add(3, what, command, channel.accepted_in_words(write))
        base = int(write_commands.first(key)[0])
        for position in range(base + earlier, base + done):
            what = "a write must not overtake a PIM_GWRITE of its row"
            channel.add(3, what, int(write_commands.command[position]), channel.in_words(command))
