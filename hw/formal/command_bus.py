"""What the commands on a C/A bus mean, told from the bus alone: no counters of the controller."""

from collections.abc import Iterable
from functools import cached_property, reduce
from operator import or_

from amaranth.hdl import *

from hw.config import Config
from hw.protocol.commands import Command
from hw.protocol.constraints import TARGETS, Scope
from hw.protocol.results import result_beats, result_schedule

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
        for bank in range(config.memory.banks):
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
        sizes = {
            Scope.BANK: 1,
            Scope.ROW: 1,
            Scope.BANK_GROUP: 4,
            Scope.CHANNEL: config.memory.banks,
        }
        return sizes.get(scope, config.memory.banks_per_rank)

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
            if size < self.config.memory.banks:
                near = self.bus.bank >> shift == instance * self.size(scope) >> shift
            hits.append((self.bus.command == command) & near)
        return reduce(or_, hits)

    def history(self, event: Value, cycles: int, name: str) -> Signal:
        """Return in which of the last cycles there was an event: bit i is i + 1 cycles ago."""
        past = Signal(cycles, name=name)
        self.m.d.sync += past.eq(Cat(event, past))
        return past

    @cached_property
    def results(self) -> list[tuple[Signal, Signal]]:
        """Of each rank, the cycles from this one on in which it drives results of PIM, as bits.

        By the times that the die documents; first those of the commands before this cycle's, then
        those of that one.
        """
        m, config, command = self.m, self.config, self.bus
        beats = result_beats(config)
        patterns = []  # whether the command is this one, and the cycles of each rank, as bits
        gemv = self.is_any(Command.PIM_GEMV) & command.read
        for slots in range(1, config.pim.slots + 1):
            for k in range(1, config.memory.columns + 1):
                fits = gemv & (command.slots == slots) & (command.k == k)
                if slots == k == 1:
                    fits |= self.is_any(Command.PIM_RDRESULT)
                starts = [start for start, _end in result_schedule(config, slots, k)]
                ranks = []
                for rank in range(config.memory.ranks):
                    offset = rank * (beats + config.memory.timing.nTURN)
                    ranks.append(sum(((1 << beats) - 1) << (start + offset) for start in starts))
                patterns.append((fits, ranks))
        found = []
        for rank in range(config.memory.ranks):
            width = max(ranks[rank].bit_length() for _fits, ranks in patterns)
            cycles = Signal(width, name=f"results_{rank}")
            pattern = Signal(width, name=f"results_{rank}_of_command")
            for fits, ranks in patterns:
                with m.If(fits):
                    m.d.comb += pattern.eq(ranks[rank])
            m.d.sync += cycles.eq((cycles | pattern) >> 1)
            found.append((cycles, pattern))
        return found
