"""Protocol monitor: checks command traces against the rules of a channel, by absolute times.

It shares the table of timing constraints with the controller and nothing else: no counters and no
state machines. Whole traces are checked by array operations. docs/command-trace.md lists the rules.
"""

import numpy as np

from hw.config import Config
from hw.protocol.commands import Command
from hw.protocol.constraints import OPENINGS, Constraint, Scope, constraints
from sim.monitor.acceptance_rules import check_acceptance
from sim.monitor.pim_rules import check_data_bus, check_pim, check_vector_buffer
from sim.monitor.premises import Premises
from sim.monitor.refresh_rules import check_refresh
from sim.trace.channel_trace import ChannelTrace, Spread, Violation, is_any

__all__ = ["Monitor", "Violation"]

Array = np.ndarray

_USES = (Command.RD, Command.RDA, Command.WR, Command.WRA, Command.PIM_GWRITE)
_ON_ROW_BUS = (
    *(Command.ACT, Command.PRE, Command.PREA, Command.REF),
    *(Command.PIM_ACTIVATION, Command.PIM_PRECHARGE),
)
_CLOSES = (Command.PRE, Command.PREA, Command.RDA, Command.WRA)
_NEAR = {
    Scope.BANK: "same bank",
    Scope.BANK_GROUP: "same bank group",
    Scope.RANK: "same rank",
    Scope.CHANNEL: "same channel",
    Scope.OTHER_RANK: "another rank",
}


class Monitor:
    """Checks command traces of a device.

    Parameters
    ----------
    config
        Of the device.
    premises
        What may be taken for granted of the traces.
    """

    def __init__(self, config: Config, premises: Premises = Premises()):  # noqa: B008
        self._config = config
        self._premises = premises
        self._lines = constraints(config, 0 if premises.separate_buses else 1)

    def check(self, trace: Array, end: int) -> list[Violation]:
        """Return what is wrong with a trace, in the order of cycles.

        Parameters
        ----------
        trace
            Records of type :data:`sim.trace.command_trace.RECORD`, those of a channel in the order
            of time; in one cycle, ACCEPT stands before the command.
        end
            Cycle in which the trace ends: what is missing by then is found, too.

        Raises
        ------
        ValueError
            If the records of a channel are not in the order of time, or after the end.
        """
        premises = self._premises
        if len(trace) and end < int(trace["cycle"].max()):
            raise ValueError(f"end must be at least {int(trace['cycle'].max())}, not {end}")
        found: list[Violation] = []
        for number in np.unique(trace["channel"]):
            records = trace[trace["channel"] == number]
            if (np.diff(records["cycle"].astype(np.int64)) < 0).any():
                raise ValueError(f"records of channel {number} must be in the order of time")
            channel = ChannelTrace(self._config, int(number), records)
            self._check_command_bus(channel)
            banks, event_rows, rows = self._check_rows(channel)
            self._check_timing(channel, banks, event_rows)
            if premises.refreshed:
                check_refresh(channel, end, premises.from_reset)
            check_pim(channel, premises.from_reset)
            check_data_bus(channel)
            check_vector_buffer(channel)
            if premises.from_reset and not channel.is_command.all():
                check_acceptance(channel, rows, end if premises.to_end else None)
            found += channel.violations
        # With one row buffer, two lines of the table may say the same of a pair.
        unique = dict.fromkeys(found)
        return sorted(unique, key=lambda v: (v.cycle, v.channel, v.rule, v.what))

    def _check_command_bus(self, channel: ChannelTrace) -> None:
        """Check that a C/A bus has one command a cycle."""
        if not self._premises.separate_buses:
            buses = {"the C/A bus": np.ones(len(channel.cycle), bool)}
        else:
            is_row = channel.any_of(_ON_ROW_BUS)
            buses = {"the row C/A bus": is_row, "the column C/A bus": ~is_row}
        for bus, commands in buses.items():
            index = np.flatnonzero(commands)
            for place in np.flatnonzero(np.diff(channel.cycle[index]) < 1).tolist():
                first, later = int(index[place]), int(index[place + 1])
                channel.add(8, f"one command a cycle on {bus}", later, first, 1)

    def _check_rows(self, channel: ChannelTrace) -> tuple[Spread, Array, Array]:
        """Check the states of both row buffers.

        Returns
        -------
        Commands by bank; the row that each of these events opens or closes, or -1; and the row
        that each command uses: for column commands that open in the bank, or -1.
        """
        config = self._config
        banks = channel.spread(
            Scope.BANK,
            (
                *(Command.ACT, *_USES, Command.PRE, Command.PREA, Command.REF),
                *(Command.PIM_ACTIVATION, Command.PIM_PRECHARGE),
            ),
        )
        index = banks.index
        code, row = channel.code[index], channel.row[index]

        acts, pim_acts = is_any(code, [Command.ACT]), is_any(code, [Command.PIM_ACTIVATION])
        refreshes, uses = is_any(code, [Command.REF]), is_any(code, _USES)
        pim_closes = is_any(code, [Command.PIM_PRECHARGE])
        changes = acts | is_any(code, _CLOSES)
        if not self._premises.from_reset:
            changes |= refreshes  # after which a bank is known to be closed
        mem = banks.last(changes)
        mem_open = (mem >= 0) & acts[mem]
        # Before that, a bank may be open; a column command shows that it is.
        unknown = (mem < 0) & (not self._premises.from_reset)
        used = np.where(unknown, banks.last(uses), -1)
        shown = used >= 0
        opener = np.where(shown, used, mem)
        pim = banks.last(pim_acts | pim_closes)
        pim_open = (pim >= 0) & pim_acts[pim]
        if config.pim.row_buffers == 1:
            mem_conflict, pim_conflict = mem_open | shown, pim_open
        else:
            size = config.memory.rows // config.memory.subarrays if config.memory.subarrays else 1
            mem_conflict = mem_open & (row[mem] // size == row // size)
            pim_conflict = pim_open & (row[pim] // size == row // size)

        both = "a row must not be open in both row buffers"
        rules = (
            (1, "ACT needs a closed MEM row buffer", acts & (mem_open | shown), opener),
            (1, "a column command needs an open row", uses & ~mem_open & ~unknown, mem),
            (1, "REF needs closed MEM row buffers", refreshes & (mem_open | shown), opener),
            (1, "PIM_ACTIVATION needs a closed PIM row buffer", pim_acts & pim_open, pim),
            (2, both, acts & pim_conflict, pim),
            (2, both, pim_acts & mem_conflict, opener),
        )
        for rule, what, broken, first in rules:
            reported = set()
            for event in np.flatnonzero(broken).tolist():
                if index[event] not in reported:
                    reported.add(index[event])
                    before = None if first[event] < 0 else int(index[first[event]])
                    channel.add(rule, what, int(index[event]), before)

        opened = np.where(mem_open, row[mem], -1)
        closed = np.where(pim_closes & pim_open, row[pim], opened)
        rows = np.full(len(channel.code), -1)
        rows[index[uses]] = opened[uses]
        return banks, np.where(acts | pim_acts, row, closed), rows

    def _check_timing(self, channel: ChannelTrace, banks: Spread, rows: Array) -> None:
        """Check the table of timing constraints; ``rows`` are those that events concern."""
        by_scope: dict[Scope, list[Constraint]] = {}
        for line in self._lines:
            by_scope.setdefault(line.scope, []).append(line)
        for scope, lines in by_scope.items():
            if scope is Scope.OTHER_RANK:
                self._check_other_rank(channel, lines)
                continue
            if scope is Scope.ROW:
                spread = self._by_row(banks, rows)
            else:
                commands = set().union(*(line.first | line.later for line in lines))
                spread = channel.spread(scope, sorted(commands, key=lambda c: c.value))
            code = channel.code[spread.index]
            for line in lines:
                first, later = is_any(code, line.first), is_any(code, line.later)
                if line.window > 1:
                    self._check_window(channel, spread, line)
                else:
                    self._check_gap(channel, spread, line, first, later)

    def _by_row(self, banks: Spread, rows: Array) -> Spread:
        """Return the events by row, or by subarray, of each bank."""
        config = self._config
        size = config.memory.rows // config.memory.subarrays if config.memory.subarrays else 1
        key = banks.instance * config.memory.rows + np.maximum(rows, 0) // size
        kept = rows >= 0
        index, key = banks.index[kept], key[kept]
        order = np.argsort(key, kind="stable")
        # Within a row, events are already in the order of time.
        index, key = index[order], key[order]
        return Spread(index, key, np.searchsorted(key, key))

    def _check_gap(
        self, channel: ChannelTrace, spread: Spread, line: Constraint, first: Array, later: Array
    ) -> None:
        """Check one constraint between events of the same instance."""
        if not first.any() or not later.any():
            return
        gap = line.gap(self._config.memory.timing)
        time = channel.cycle[spread.index]
        limit = time + gap
        if line.after_last:
            limit = limit + channel.extent[spread.index]
        # The limits of an instance only rise: PIM_GEMV, too, ends after those before it.
        last = spread.last(first)
        missing = np.where(later & (last >= 0), limit[last] - time, 0)
        near = _NEAR.get(line.scope) or (
            "same subarray" if self._config.memory.subarrays else "same row"
        )
        what = f"{near}, {line.formula} = {gap} cycles"
        events = np.flatnonzero(missing > 0)
        # A command on several banks is reported once, where most is missing.
        events = events[np.lexsort((-missing[events], spread.index[events]))]
        kept = np.unique(spread.index[events], return_index=True)[1]
        for event in events[kept].tolist():
            command, first_command = int(spread.index[event]), int(spread.index[last[event]])
            channel.add(1, what, command, first_command, missing[event])

    def _check_window(self, channel: ChannelTrace, spread: Spread, line: Constraint) -> None:
        """Check that no window of ``gap`` cycles holds more than ``window`` openings."""
        code = channel.code[spread.index]
        count = np.zeros(len(code), np.int64)
        for command, openings in OPENINGS.items():
            count[code == command.value] = openings
        event = np.repeat(np.arange(len(code)), count)
        if len(event) <= line.window:
            return
        gap, window = line.gap(self._config.memory.timing), line.window
        a, b = event[:-window], event[window:]
        time = channel.cycle[spread.index]
        missing = np.where(spread.instance[a] == spread.instance[b], gap - time[b] + time[a], 0)
        reported = set()
        for position in np.flatnonzero(missing > 0):
            later = spread.index[b[position]]
            if later not in reported:
                reported.add(later)
                what = f"{_NEAR[line.scope]}, {line.formula}: {window} openings in {gap} cycles"
                first = int(spread.index[a[position]])
                channel.add(1, what, int(later), first, missing[position])

    def _check_other_rank(self, channel: ChannelTrace, lines: list[Constraint]) -> None:
        """Check constraints between commands to different ranks."""
        everything = np.arange(len(channel.code))
        whole = Spread(everything, np.zeros_like(everything), np.zeros_like(everything))
        for line in lines:
            first, later = channel.any_of(line.first), channel.any_of(line.later)
            for rank in range(self._config.memory.ranks):
                here = channel.rank == rank
                self._check_gap(channel, whole, line, first & ~here, later & here)
