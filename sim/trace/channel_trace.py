"""One channel's part of a command trace, as arrays that rules can be checked on."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from hw.config import Config
from hw.protocol.commands import Command
from hw.protocol.constraints import TARGETS, Scope
from sim.trace.command_trace import ACCEPT, describe

__all__ = ["ChannelTrace", "Spread", "Violation", "is_any"]

Array = np.ndarray


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that a trace breaks.

    Attributes
    ----------
    cycle, channel
        Where: of the later command.
    rule
        Its number, as docs/command-trace.md lists them.
    what
        What is broken.
    first, later
        The two commands, in words; ``first`` is empty if there is none.
    missing
        Cycles by which a gap is too short or a refresh late; 0 if the rule is about neither.
    """

    cycle: int
    channel: int
    rule: int
    what: str
    first: str
    later: str
    missing: int = 0

    def __str__(self) -> str:
        text = f"cycle {self.cycle}, channel {self.channel}: rule {self.rule} ({self.what})"
        text += f": {self.later or 'end of the trace'}"
        text += f", after {self.first}" if self.first else ""
        if self.missing:
            text += f": {self.missing} cycle{'s' if self.missing > 1 else ''} missing"
        return text


@dataclass(slots=True)
class Spread:
    """Commands at all instances of a scope that they work on, by instance, then by time."""

    index: Array  #: of the command in the trace
    instance: Array  #: bank, bank group or rank
    start: Array  #: position of the first event of the same instance

    def last(self, events: Array) -> Array:
        """Return the position of the last of these before each event, in its instance, or -1."""
        if not len(events):
            return np.zeros(0, np.int64)
        position = np.maximum.accumulate(np.where(events, np.arange(len(events)), -1))
        before = np.concatenate([[-1], position[:-1]])
        return np.where(before < self.start, -1, before)


def is_any(code: Array, commands: Iterable[Command]) -> Array:
    """Return which codes are those of one of these commands."""
    table = np.zeros(ACCEPT, bool)
    table[[command.value for command in commands]] = True
    mask: Array = table[code]
    return mask


@dataclass(slots=True)
class ChannelTrace:
    """Commands of one channel in the order of time, and the violations found so far.

    Attributes
    ----------
    cycle, code, bank, row
        One number a command.
    extent
        Cycles from a command to its last column: of PIM_GEMV its last product, of PIM_GWRITE from a
        row the start of its last burst.
    position
        Of a command among all records of the channel.
    records, is_command
        All records of the channel, ACCEPT too, and which of them are commands.
    """

    config: Config
    number: int
    records: Array
    is_command: Array = field(init=False)
    commands: Array = field(init=False)
    cycle: Array = field(init=False)
    code: Array = field(init=False)
    bank: Array = field(init=False)
    row: Array = field(init=False)
    extent: Array = field(init=False)
    position: Array = field(init=False)
    violations: list[Violation] = field(default_factory=list)

    def __post_init__(self) -> None:
        codes = self.records["command"]
        self.is_command = (codes != ACCEPT) & (codes != Command.NOP.value)
        self.commands = commands = self.records[self.is_command]
        self.cycle = commands["cycle"].astype(np.int64)
        self.code = commands["command"].astype(np.int64)
        self.bank = commands["bank"].astype(np.int64)
        self.row = commands["row"].astype(np.int64)
        self.position = np.flatnonzero(self.is_command)
        timing = self.config.memory.timing
        k = commands["k"].astype(np.int64)
        products = (commands["slots"] * k - 1) * timing.nCCDL
        bursts = (np.maximum(k, 1) - 1) * max(timing.nCCDL, timing.nBL)
        is_gemv, is_gwrite = (
            self.code == command.value for command in (Command.PIM_GEMV, Command.PIM_GWRITE)
        )
        self.extent = np.select([is_gemv, is_gwrite], [products, bursts], 0)

    def any_of(self, commands: Iterable[Command]) -> Array:
        """Return which commands are one of these."""
        return is_any(self.code, commands)

    def banks(self, scope: Scope) -> int:
        """Return how many banks an instance of a scope has."""
        return {
            Scope.BANK: 1,
            Scope.BANK_GROUP: 4,
            Scope.RANK: self.config.memory.banks_per_rank,
            Scope.CHANNEL: self.config.memory.banks,
        }[scope]

    @property
    def rank(self) -> Array:
        """Rank that each command works on, or begins with."""
        return self.bank // self.config.memory.banks_per_rank

    def spread(self, scope: Scope, commands: Iterable[Command]) -> Spread:
        """Spread these commands over the instances of a scope."""
        banks = self.banks(scope)
        width = np.zeros(ACCEPT, np.int64)  # instances that a command works on
        for command in commands:
            width[command.value] = max(1, self.banks(TARGETS[command]) // banks)
        count = width[self.code]
        index = np.repeat(np.arange(len(self.code)), count)
        offset = np.arange(len(index)) - np.repeat(np.cumsum(count) - count, count)
        first = self.bank[index] // banks // count[index] * count[index]
        instance = (first + offset).astype(np.uint16)
        order = np.argsort(instance, kind="stable")
        instance = instance[order].astype(np.int64)
        start = np.searchsorted(instance, np.arange(self.config.memory.banks))
        return Spread(index[order], instance, start[instance])

    def in_words(self, index: int) -> str:
        """Return a command, given by index, and its cycle."""
        return f"{describe(self.config, self.commands[index])} in cycle {self.cycle[index]}"

    def accepted_in_words(self, position: int) -> str:
        """Return an ACCEPT, given by its position among all records, and its cycle."""
        entry = self.records[position]
        return f"{describe(self.config, entry)} in cycle {entry['cycle']}"

    def add(
        self, rule: int, what: str, later: int, first: int | str | None = None, missing: int = 0
    ) -> None:
        """Note a violation; commands are given by index, the first one also in words."""
        words = self.in_words(first) if isinstance(first, int) else first or ""
        self._note(rule, what, self.commands[later], words, missing)

    def add_acceptance(self, rule: int, what: str, position: int) -> None:
        """Note that an acceptance, given by its position in the trace, is a violation."""
        self._note(rule, what, self.records[position])

    def add_at_end(self, rule: int, what: str, end: int, first: str, missing: int = 0) -> None:
        """Note what is missing at the end of the trace, after something given in words."""
        self.violations.append(Violation(end, self.number, rule, what, first, "", missing))

    def _note(
        self, rule: int, what: str, later: np.void, first: str = "", missing: int = 0
    ) -> None:
        self.violations.append(
            Violation(
                cycle=int(later["cycle"]),
                channel=self.number,
                rule=rule,
                what=what,
                first=first,
                later=describe(self.config, later),
                missing=int(missing),
            )
        )
