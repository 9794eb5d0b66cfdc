"""Rule 8 as properties: one driver on the data bus, and a turn-around between drivers."""

from amaranth.hdl import *

from hw.formal.command_bus import CommandBus
from hw.memory.commands import Command
from hw.memory.constraints import Scope
from hw.pim.results import result_beats, result_schedule

__all__ = ["ONE_DRIVER", "TURN_AROUND", "data_bus_rules", "rank_drives", "results_due"]

#: Names of the properties.
ONE_DRIVER = "one driver on the data bus"
TURN_AROUND = "a turn-around between drivers of the data bus"


def _results(bus: CommandBus) -> list[tuple[Signal, Signal]]:
    """Follow the results of PIM_GEMV, by the times that the die documents.

    Returns
    -------
    For each rank the cycles from this one on in which it drives results, as bits: of the commands
    before this cycle's, and of that one.
    """
    m, config, command = bus.m, bus.config, bus.bus
    beats = result_beats(config)
    patterns = []  # whether the command is this one, and the cycles of each rank, as bits
    gemv = bus.is_any(Command.PIM_GEMV) & command.read
    for slots in range(1, config.slots + 1):
        for k in range(1, config.columns + 1):
            fits = gemv & (command.slots == slots) & (command.k == k)
            if slots == k == 1:
                fits |= bus.is_any(Command.PIM_RDRESULT)
            starts = [start for start, _end in result_schedule(config, slots, k)]
            ranks = []
            for rank in range(config.ranks):
                offset = rank * (beats + config.timing.nTURN)
                ranks.append(sum(((1 << beats) - 1) << (start + offset) for start in starts))
            patterns.append((fits, ranks))
    found = []
    for rank in range(config.ranks):
        width = max(ranks[rank].bit_length() for _fits, ranks in patterns)
        cycles = Signal(width, name=f"results_{rank}")
        pattern = Signal(width, name=f"results_{rank}_of_command")
        for fits, ranks in patterns:
            with m.If(fits):
                m.d.comb += pattern.eq(ranks[rank])
        m.d.sync += cycles.eq((cycles | pattern) >> 1)
        found.append((cycles, pattern))
    return found


def results_due(bus: CommandBus) -> list[Value]:
    """Return, for each rank, the cycles from this one on in which it will drive results, as bits.

    Those of this cycle's command are among them.
    """
    return [cycles | pattern for cycles, pattern in _results(bus)]


def _burst(bus: CommandBus, event: Value, latency: int, name: str) -> tuple[Value, Value]:
    """Return whether a burst is on the bus, and whether two are."""
    length = bus.config.timing.nBL
    past = bus.history(event, latency + length - 1, name)
    now = past[latency - 1 :]
    return now.any(), (now & (now - 1)).any()


def rank_drives(bus: CommandBus) -> list[Value]:
    """Return, for each rank, whether it drives the data bus, by the commands so far."""
    return _drivers(bus)[0]


def _drivers(bus: CommandBus) -> tuple[list[Value], Value, Value]:
    timing = bus.config.timing
    ranks, collisions = [], []
    for rank, (cycles, pattern) in enumerate(_results(bus)):
        event = bus.names({Command.RD, Command.RDA}, Scope.RANK, rank)
        burst, twice = _burst(bus, event, timing.nCL, f"reads_{rank}")
        collisions += [twice, burst & cycles[0], (cycles & pattern).any()]
        ranks.append(burst | cycles[0])
    to_die = bus.is_any(Command.WR, Command.WRA, Command.PIM_GWRITE_DATA)
    host, twice = _burst(bus, to_die, timing.nCWL, "to_die")
    return ranks, host, Cat(*collisions, twice).any()


def data_bus_rules(bus: CommandBus) -> dict[str, Value]:
    """Return conditions that drivers of the data bus meet or follow too closely.

    Who drives when is told from the commands alone: bursts by their latencies, results by
    :func:`hw.pim.results.result_schedule`. That a cycle has one command is the form of the bus.
    """
    ranks, host, collide = _drivers(bus)
    drivers = Cat(host, *ranks)
    both = (drivers & (drivers - 1)).any()
    before = []
    value = drivers
    for cycle in range(bus.config.timing.nTURN):
        past = Signal(len(drivers), name=f"drivers_{cycle + 1}")
        bus.m.d.sync += past.eq(value)
        before.append(past)
        value = past
    hurried = Cat((drivers != 0) & (past & ~drivers).any() for past in before).any()
    return {
        ONE_DRIVER: both | collide,
        TURN_AROUND: hurried,
    }
