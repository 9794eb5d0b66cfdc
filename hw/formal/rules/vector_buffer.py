"""Rule 4 as a property: nothing is written into a half of the vector buffer that is being read."""

from amaranth.hdl import *

from hw.formal.command_bus import CommandBus
from hw.protocol.commands import Command

__all__ = ["vector_buffer_rules"]


def vector_buffer_rules(bus: CommandBus) -> dict[str, Value]:
    """Return the condition that a column lands in a half which a PIM_GEMV has not finished.

    Stricter than the rule: the whole half, not only the entries of that command. A column lands in
    the cycles that :class:`hw.die.burst_decoder.BurstDecoder` documents, burst after burst; the
    last one of a PIM_GEMV is read one cycle after it executes.
    """
    m, config, command = bus.m, bus.config, bus.bus
    timing = config.memory.timing
    is_read = bus.is_any(Command.PIM_GEMV, Command.PIM_DOTPRODUCT)
    is_write = bus.is_any(Command.PIM_GWRITE, Command.PIM_GWRITE_DATA)
    columns = Mux(bus.is_any(Command.PIM_GEMV), command.slots * command.k, 1)
    bursts = Mux(bus.is_any(Command.PIM_GWRITE) & (command.k != 0), command.k, 1)
    longest = config.pim.slots * config.memory.columns * timing.nCCDL
    broken = []
    for half in range(2):
        left = Signal(range(longest), name=f"half_{half}_read_for")
        with m.If(is_read & (command.half == half)):
            m.d.sync += left.eq((columns - 1) * timing.nCCDL + 1)
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        lands = []
        for burst in range(config.memory.bursts):
            first = timing.nCWL + burst * timing.nBL
            writes = bus.history(
                is_write & (command.half == half) & (burst < bursts),
                first + timing.nBL,
                f"half_{half}_burst_{burst}",
            )
            lands.append(writes[first:])
        broken.append(Cat(lands).any() & (left != 0))
    return {"no column lands in a half that a PIM_GEMV reads": Cat(broken).any()}
