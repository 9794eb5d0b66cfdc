"""What the commands on a C/A bus mean, told from the bus alone: no counters of the controller."""

from collections.abc import Iterable
from functools import reduce
from operator import or_

from amaranth.hdl import *

from hw.config import Config
from hw.memory.commands import Command
from hw.memory.constraints import TARGETS, Scope

__all__ = ["CommandBus"]


class CommandBus:
    """Follows the commands of a bus, and which rows they leave open.

    The state is that before the command of this cycle.

    Parameters
    ----------
    m
        Where the registers go.
    config
        Of the channel.
    bus
        The C/A bus.

    Attributes
    ----------
    mem_open, mem_row
        A value a bank: a row is open in the MEM row buffer; that row, or the last one.
    pim_open, pim_row
        The same for the PIM row buffer.
    """

    def __init__(self, m: Module, config: Config, bus):
        self.m, self.config, self.bus = m, config, bus
        self.mem_open, self.mem_row, self.pim_open, self.pim_row = [], [], [], []
        for bank in range(config.banks):
            opens = self.names({Command.ACT}, Scope.BANK, bank)
            closes = self.names(
                {Command.PRE, Command.PREA, Command.RDA, Command.WRA}, Scope.BANK, bank
            )
            state = self._follow(f"mem_{bank}", opens, closes)
            self.mem_open.append(state[0])
            self.mem_row.append(state[1])
            opens = self.names({Command.PIM_ACTIVATION}, Scope.BANK, bank)
            state = self._follow(f"pim_{bank}", opens, self.is_any(Command.PIM_PRECHARGE))
            self.pim_open.append(state[0])
            self.pim_row.append(state[1])

    def _follow(self, name: str, opens: Value, closes: Value) -> tuple[Signal, Signal]:
        is_open = Signal(name=f"{name}_open")
        row = Signal.like(self.bus.row, name=f"{name}_row")
        with self.m.If(opens):
            self.m.d.sync += [is_open.eq(1), row.eq(self.bus.row)]
        with self.m.Elif(closes):
            self.m.d.sync += is_open.eq(0)
        return is_open, row

    def size(self, scope: Scope) -> int:
        """Return how many banks an instance of a scope has."""
        config = self.config
        sizes = {Scope.BANK: 1, Scope.ROW: 1, Scope.BANK_GROUP: 4, Scope.CHANNEL: config.banks}
        return sizes.get(scope, config.banks_per_rank)

    def is_any(self, *commands: Command) -> Value:
        """Return whether the command of this cycle is one of these."""
        return reduce(or_, (self.bus.command == command for command in commands))

    def names(self, commands: Iterable[Command], scope: Scope, instance: int) -> Value:
        """Return whether it is one of these and works on a bank of that instance of a scope."""
        hits = []
        for command in sorted(commands, key=lambda command: command.value):
            size = max(self.size(TARGETS[command]), self.size(scope))
            shift = size.bit_length() - 1
            near = Const(1)
            if size < self.config.banks:
                near = self.bus.bank >> shift == instance * self.size(scope) >> shift
            hits.append((self.bus.command == command) & near)
        return reduce(or_, hits)

    def history(self, event: Value, cycles: int, name: str) -> Signal:
        """Return in which of the last cycles there was an event: bit i is i + 1 cycles ago."""
        past = Signal(cycles, name=name)
        self.m.d.sync += past.eq(Cat(event, past))
        return past
