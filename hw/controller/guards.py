"""Guards: counters that tell from which cycle on the timing constraints allow a command."""

from functools import reduce
from operator import and_, or_

from amaranth.hdl import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from hw.config import ChannelConfig
from hw.protocol.commands import Command, bus_layout
from hw.protocol.constraints import OPENINGS, TARGETS, Constraint, Scope, constraints

__all__ = [
    "FORESEEN",
    "ISSUED",
    "Guards",
    "gwrite_extent",
    "maximum_extent",
    "ready_layout",
    "soon_layout",
]

#: The commands that the controller issues.
ISSUED = (
    *(Command.ACT, Command.PRE, Command.PREA, Command.REF),
    *(Command.RD, Command.RDA, Command.WR, Command.WRA),
    *(Command.PIM_GWRITE, Command.PIM_GWRITE_DATA, Command.PIM_ACTIVATION),
    *(Command.PIM_DOTPRODUCT, Command.PIM_RDRESULT, Command.PIM_GEMV, Command.PIM_PRECHARGE),
)

#: The commands whose candidates are registered in the cycle before they may issue.
FORESEEN = (Command.ACT, Command.PRE, Command.PREA, Command.RD, Command.WR)


def _shift(config: ChannelConfig, scope: Scope) -> int:
    """Return how many low bits of a bank's number do not matter at a scope."""
    sizes = {
        Scope.BANK: 1,
        Scope.BANK_GROUP: 4,
        Scope.RANK: config.memory.banks_per_rank,
        Scope.OTHER_RANK: config.memory.banks_per_rank,
        Scope.CHANNEL: config.memory.banks,
    }
    return (sizes[scope] - 1).bit_length()


def _instances(config: ChannelConfig, scope: Scope) -> int:
    """Return how many instances of a scope a channel has."""
    return -(-config.memory.banks >> _shift(config, scope))


def maximum_extent(config: ChannelConfig) -> int:
    """Return the most cycles from the issue of a PIM_GEMV to its last column product."""
    return (config.pim.slots * config.memory.columns - 1) * config.memory.timing.nCCDL


def gwrite_extent(config: ChannelConfig) -> int:
    """Return the cycles from the issue of a PIM_GWRITE to its last burst."""
    interval = max(config.memory.timing.nCCDL, config.memory.timing.nBL)
    return (config.memory.bursts - 1) * interval if config.pim.gwrite == "row" else 0


def _longest_extent(config: ChannelConfig, command: Command) -> int:
    """Return the most that a command's extent can be."""
    if command is Command.PIM_GEMV:
        return maximum_extent(config)
    return gwrite_extent(config) if command is Command.PIM_GWRITE else 0


def ready_layout(config: ChannelConfig) -> data.StructLayout:
    """Shape of what the guards allow: a bit for each bank, group or rank a command may name."""
    return data.StructLayout(
        {command.name: _instances(config, TARGETS[command]) for command in ISSUED}
    )


def soon_layout(config: ChannelConfig) -> data.StructLayout:
    """Shape of what the guards will allow in the next cycle; as :func:`ready_layout`."""
    ready = ready_layout(config).members
    return data.StructLayout({command.name: ready[command.name] for command in FORESEEN})


class Guards(wiring.Component):
    """Counters made from the table of timing constraints.

    A command named in cycle c raises the guards of all that the table makes wait for it; a command
    whose bit of ``ready`` is set in a later cycle d is then allowed to follow it by d - c cycles.
    Constraints of scope ROW are left to the user, who has to know rows; state (is the row open?)
    is the user's, too.

    Members
    -------
    command, bank : ``In``
        The command of this cycle (NOP: none), and the bank, or the first bank, that it works on.
    extent : ``In``
        Cycles from the command to its last column product (PIM_GEMV) or burst (PIM_GWRITE).
    ready : ``Out(ready_layout(config))``
        Commands that no constraint forbids. From registers.
    soon : ``Out(soon_layout(config))``
        Commands that no constraint will forbid in the next cycle, if none issues in this one.
    """

    def __init__(self, config: ChannelConfig):
        self._config = config
        super().__init__(
            {
                "command": In(Command),
                "bank": In(bus_layout(config)["bank"].shape),
                "extent": In(bits_for(maximum_extent(config))),
                "ready": Out(ready_layout(config)),
                "soon": Out(soon_layout(config)),
            }
        )

    def _hits(self, first: Command, scope: Scope, instance: int, issued: dict[Command, Value]):
        """Return whether the command of this cycle is ``first``, near the instance of a scope."""
        shift = _shift(self._config, scope)
        coarse = max(shift, _shift(self._config, TARGETS[first]))
        near = (self.bank >> coarse) == (instance << shift) >> coarse
        if scope is Scope.OTHER_RANK:
            near = ~near
        elif self._config.memory.banks <= 1 << coarse:
            return issued[first]
        return issued[first] & near

    def elaborate(self, platform):
        m = Module()
        config, timing = self._config, self._config.memory.timing
        issued = {}
        for command in ISSUED:
            issued[command] = Signal(name=f"issued_{command.name}")
            m.d.comb += issued[command].eq(self.command == command)

        # Commands that wait, at a scope, for the same others share their guards.
        waits: dict[tuple[Scope, Command], set[tuple[Command, int, bool]]] = {}
        windows: list[Constraint] = []
        for line in constraints(config):
            if line.window > 1:
                windows.append(line)
            elif line.scope is not Scope.ROW:
                for later in line.later & set(ISSUED):
                    gaps = {
                        (x, line.gap(timing), line.after_last) for x in line.first if x in ISSUED
                    }
                    if gaps:
                        waits.setdefault((line.scope, later), set()).update(gaps)
        groups: dict[tuple[Scope, tuple], list[Command]] = {}
        for (scope, later), gaps in sorted(waits.items(), key=lambda x: (x[0][0], x[0][1].value)):
            key = tuple(sorted(gaps, key=lambda gap: (gap[1], gap[0].value)))
            groups.setdefault((scope, key), []).append(later)

        # Counters that must all be zero before a command is ready: scope and one an instance.
        terms: dict[Command, list[tuple[Scope, list[Signal]]]] = {c: [] for c in ISSUED}
        for (scope, gaps), laters in groups.items():
            instances = _instances(config, scope)
            name = f"guard_{'_'.join(later.name for later in laters)}_{scope.name}"
            free = []
            for instance in range(instances):
                limit = max(gap + last * _longest_extent(config, x) for x, gap, last in gaps)
                counter = Signal(range(limit), name=f"{name}_{instance}")
                remaining = Signal.like(counter, name=f"{name}_{instance}_remaining")
                m.d.comb += remaining.eq(Mux(counter == 0, 0, counter - 1))
                m.d.sync += counter.eq(remaining)
                for gap, last in sorted({(gap, last) for _, gap, last in gaps}):
                    hits = [
                        self._hits(first, scope, instance, issued)
                        for first, g, x in gaps
                        if (g, x) == (gap, last)
                    ]
                    wait = gap - 1 + (self.extent if last else 0)
                    # Alone, a gap's wait is never below what an earlier command left.
                    longer = 1 if len({gap for _, gap, _ in gaps}) == 1 else wait > remaining
                    with m.If(reduce(or_, hits) & longer):
                        m.d.sync += counter.eq(wait)
                free.append(counter)
            for later in laters:
                terms[later].append((scope, free))

        # Windows: the times since the last openings, the newest first.
        for line in windows:
            free_for: dict[Command, list[Signal]] = {c: [] for c in line.later}
            for instance in range(_instances(config, line.scope)):
                wait = line.gap(timing) - 1
                counters = [
                    Signal(range(wait + 1), name=f"window_{line.scope.name}_{instance}_{i}")
                    for i in range(line.window)
                ]
                remaining = [Mux(counter == 0, 0, counter - 1) for counter in counters]
                m.d.sync += [a.eq(b) for a, b in zip(counters, remaining, strict=True)]
                for first in sorted(line.first, key=lambda x: x.value):
                    count = OPENINGS[first]
                    after = [Const(wait)] * count + remaining
                    with m.If(self._hits(first, line.scope, instance, issued)):
                        m.d.sync += [c.eq(v) for c, v in zip(counters, after, strict=False)]
                for later in line.later:
                    free_for[later].append(counters[line.window - OPENINGS[later]])
            for later, free in free_for.items():
                terms[later].append((line.scope, free))

        for command, lines in terms.items():
            shift = _shift(config, TARGETS[command])
            for target in range(_instances(config, TARGETS[command])):
                counters = []
                for scope, free in lines:
                    ratio = shift - _shift(config, scope)
                    if ratio > 0:
                        counters += free[target << ratio : (target + 1) << ratio]
                    else:
                        counters.append(free[target >> -ratio])
                m.d.comb += self.ready[command.name][target].eq(
                    reduce(and_, (counter == 0 for counter in counters), Const(1))
                )
                if command in FORESEEN:
                    m.d.comb += self.soon[command.name][target].eq(
                        reduce(and_, (counter <= 1 for counter in counters), Const(1))
                    )
        return m
