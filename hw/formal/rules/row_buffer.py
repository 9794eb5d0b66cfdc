"""Rule 2 as properties: no row is open in both row buffers; commands find the state they need."""

from amaranth.hdl import *

from hw.controller.row_state import rows_conflict
from hw.formal.command_bus import CommandBus
from hw.protocol.commands import Command
from hw.protocol.constraints import Scope

__all__ = ["NEVER_IN_BOTH", "row_buffer_rules", "row_state_rules"]

#: Name of the property.
NEVER_IN_BOTH = "no row is open in both row buffers"


def row_buffer_rules(bus: CommandBus) -> dict[str, Value]:
    """Return the condition that some row is open in both row buffers of its bank.

    With one row buffer: that a bank has a row open for ordinary accesses and one for PIM.
    """
    config = bus.config
    both = [
        bus.mem_open[bank]
        & bus.pim_open[bank]
        & rows_conflict(config, bus.mem_row[bank], bus.pim_row[bank])
        for bank in range(config.memory.banks)
    ]
    return {NEVER_IN_BOTH: Cat(both).any()}


def row_state_rules(bus: CommandBus) -> dict[str, Value]:
    """Return conditions that a command finds another state than it needs."""
    columns = (Command.RD, Command.RDA, Command.WR, Command.WRA, Command.PIM_GWRITE)
    found: dict[str, list[Value]] = {}

    def add(name: str, *broken: Value):
        found.setdefault(name, []).extend(broken)

    for bank in range(bus.config.memory.banks):

        def here(*commands: Command, bank: int = bank) -> Value:
            return bus.names(commands, Scope.BANK, bank)

        mem, pim = bus.mem_open[bank], bus.pim_open[bank]
        add("ACT finds the MEM row buffer closed", here(Command.ACT) & mem)
        add("a column command finds a row open", here(*columns) & ~mem)
        add("REF finds both row buffers closed", here(Command.REF) & (mem | pim))
        opens = here(Command.PIM_ACTIVATION)
        add("PIM_ACTIVATION finds the PIM row buffer closed", opens & pim)
        uses = bus.is_any(Command.PIM_GEMV, Command.PIM_DOTPRODUCT)
        add("a product finds every PIM row buffer open", uses & ~pim)
    return {name: Cat(broken).any() for name, broken in found.items()}
