"""Rule 1 as properties: no command issues before the table of timing constraints allows it."""

from amaranth.hdl import *

from hw.formal.command_bus import CommandBus
from hw.protocol.commands import Command
from hw.protocol.constraints import OPENINGS, Constraint, Scope, constraints

__all__ = ["property_of", "timing_rules"]


def property_of(line: Constraint) -> str:
    """Return the name of the property that a line of the table is kept."""
    first, later = (
        "/".join(command.name for command in sorted(commands, key=lambda x: x.value))
        for commands in (line.first, line.later)
    )
    window = f", window of {line.window}" if line.window > 1 else ""
    scope = line.scope.name.lower().replace("_", " ")
    return f"timing: {first} to {later}, {scope}: {line.formula}{window}"


def timing_rules(bus: CommandBus) -> dict[str, Value]:
    """Return a condition for each line of the table that holds in the device: it is broken.

    The formulation is one of time, not of counters: registers hold in which of the last cycles a
    command of the line's ``first`` was on the bus; with one of ``later`` none of the last
    gap - 1 cycles may be set. It shares the table with the guards, and nothing else.
    """
    config = bus.config
    found = {}
    for number, line in enumerate(constraints(config)):
        check = _window if line.window > 1 else _rows if line.scope is Scope.ROW else _gap
        instances = range(config.memory.banks // bus.size(line.scope))
        name = f"line_{number}"
        broken = [check(bus, line, instance, f"{name}_{instance}") for instance in instances]
        found[property_of(line)] = Cat(broken).any()
    return found


def _gap(bus: CommandBus, line: Constraint, instance: int, name: str) -> Value:
    """Check two commands of one instance of a scope, or of different ranks."""
    gap = line.gap(bus.config.memory.timing)
    first = bus.names(line.first, line.scope, instance)
    later = bus.names(line.later, line.scope, instance)
    if line.scope is Scope.OTHER_RANK:
        later = bus.is_any(*sorted(line.later, key=lambda x: x.value)) & ~later
    if not line.after_last:
        return later & bus.history(first, gap - 1, name).any()
    # Count from the last column of the first command, or from its last burst.
    m, config, command = bus.m, bus.config, bus.bus
    columns = (command.slots * command.k - 1) * config.memory.timing.nCCDL
    bursts = (command.k - 1) * max(config.memory.timing.nCCDL, config.memory.timing.nBL)
    cycles = Signal(
        range(2 * config.pim.slots * config.memory.columns * config.memory.timing.nCCDL)
    )
    with m.If(bus.is_any(Command.PIM_GEMV)):
        m.d.comb += cycles.eq(columns)
    with m.Elif(bus.is_any(Command.PIM_GWRITE) & (command.k != 0)):
        m.d.comb += cycles.eq(bursts)
    until_last = Signal.like(cycles, name=f"{name}_until_last")
    with m.If(first):
        m.d.sync += until_last.eq(cycles)
    with m.Elif(until_last != 0):
        m.d.sync += until_last.eq(until_last - 1)
    last = Mux(first, cycles == 0, until_last == 1)
    past = bus.history(last, gap, name)  # a cycle more: no register of no bits
    return later & ((until_last != 0) | past[: gap - 1].any())


def _window(bus: CommandBus, line: Constraint, instance: int, name: str) -> Value:
    """Check that no more openings than the window holds fall into its cycles."""
    cycles = line.gap(bus.config.memory.timing) - 1
    openings = Const(0)
    for commands, count in ((c, OPENINGS[c]) for c in sorted(line.first, key=lambda x: x.value)):
        event = bus.names({commands}, line.scope, instance)
        past = bus.history(event, cycles, f"{name}_{commands.name}")
        openings = openings + count * (sum(past) + event)
    event = bus.names(line.later, line.scope, instance)
    return event & (openings > line.window)


def _rows(bus: CommandBus, line: Constraint, bank: int, name: str) -> Value:
    """Check two commands that concern one row of a bank, or one subarray."""
    config = bus.config
    parts = config.memory.subarrays or config.memory.rows
    shift = (config.memory.rows // parts).bit_length() - 1
    rows = {
        Command.ACT: bus.bus.row,
        Command.PIM_ACTIVATION: bus.bus.row,
        Command.PIM_PRECHARGE: bus.pim_row[bank],
    }
    broken = []
    for part in range(parts):

        def concerns(commands: frozenset[Command], part: int = part) -> Value:
            hits = [
                bus.names({x}, Scope.BANK, bank) & (rows.get(x, bus.mem_row[bank]) >> shift == part)
                for x in sorted(commands, key=lambda x: x.value)
            ]
            return Cat(hits).any()

        past = bus.history(
            concerns(line.first), line.gap(config.memory.timing) - 1, f"{name}_part_{part}"
        )
        broken.append(concerns(line.later) & past.any())
    return Cat(broken).any()
