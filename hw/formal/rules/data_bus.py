"""Rule 8 as properties: one driver on the data bus, and a turn-around between drivers."""

from amaranth.hdl import *

from hw.formal.command_bus import CommandBus
from hw.protocol.commands import Command
from hw.protocol.constraints import Scope

__all__ = ["ONE_DRIVER", "TURN_AROUND", "data_bus_rules", "rank_drives"]

#: Names of the properties.
ONE_DRIVER = "one driver on the data bus"
TURN_AROUND = "a turn-around between drivers of the data bus"


def _burst(bus: CommandBus, event: Value, latency: int, name: str) -> tuple[Value, Value]:
    """Return whether a burst is on the bus, and whether two are."""
    length = bus.config.memory.timing.nBL
    past = bus.history(event, latency + length - 1, name)
    now = past[latency - 1 :]
    return now.any(), (now & (now - 1)).any()


def rank_drives(bus: CommandBus) -> list[Value]:
    """Return, for each rank, whether it drives the data bus, by the commands so far."""
    return _drivers(bus)[0]


def _drivers(bus: CommandBus) -> tuple[list[Value], Value, Value]:
    timing = bus.config.memory.timing
    ranks, collisions = [], []
    for rank, (cycles, pattern) in enumerate(bus.results):
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
    :func:`hw.protocol.results.result_schedule`. That a cycle has one command is the form of the
    bus.
    """
    ranks, host, collide = _drivers(bus)
    drivers = Cat(host, *ranks)
    both = (drivers & (drivers - 1)).any()
    before = []
    value = drivers
    for cycle in range(bus.config.memory.timing.nTURN):
        past = Signal(len(drivers), name=f"drivers_{cycle + 1}")
        bus.m.d.sync += past.eq(value)
        before.append(past)
        value = past
    hurried = Cat((drivers != 0) & (past & ~drivers).any() for past in before).any()
    return {
        ONE_DRIVER: both | collide,
        TURN_AROUND: hurried,
    }
