"""Performance counters of a device."""

from amaranth.hdl import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.config import Config
from hw.protocol.commands import Command, bus_layout

__all__ = ["ChannelEvents", "Counters", "counters_layout"]

#: Bits of a counter: three days at 1 GHz.
_BITS = 48


def counters_layout() -> data.StructLayout:
    """Shape of the counters; all count from reset.

    Members
    -------
    cycles
        Cycles.
    matrix_busy
        Cycles in which a row of activations enters the systolic arrays.
    matrix_macs
        Multiply-accumulates of the systolic arrays.
    vector_busy
        Cycles in which the vector unit works on an instruction.
    pim_columns
        Columns that banks multiply, over all banks and channels.
    ca_busy
        Commands, over all channels.
    bus_busy
        Cycles of the data buses with data, over all channels.
    """
    names = ("cycles", "matrix_busy", "matrix_macs", "vector_busy", "pim_columns", "ca_busy")
    return data.StructLayout(dict.fromkeys((*names, "bus_busy"), _BITS))


class ChannelEvents(wiring.Component):
    """What one channel adds to the counters, two cycles after the command.

    Members
    -------
    command : ``In(bus_layout(config))``
        The C/A bus.
    drives : ``In(1)``
        The die drives the data bus.
    columns, commands, beats : ``Out``
        Columns of one bank that begin to be multiplied, commands, cycles of the data bus.
    """

    def __init__(self, config: Config):
        bus = bus_layout(config)
        super().__init__(
            {
                "command": In(bus),
                "drives": In(1),
                "columns": Out(bus["slots"].width + bus["k"].width),
                "commands": Out(1),
                "beats": Out(2),
            }
        )

    def elaborate(self, platform):
        m = Module()

        # Stage 1: what the command is.
        slots, k = Signal.like(self.command.slots), Signal.like(self.command.k)
        command, write, drives = Signal(), Signal(), Signal()
        m.d.sync += [
            slots.eq(0),
            k.eq(self.command.k),
            command.eq(self.command.command != Command.NOP),
            write.eq(0),
            drives.eq(self.drives),
        ]
        with m.Switch(self.command.command):
            with m.Case(Command.PIM_GEMV):
                m.d.sync += slots.eq(self.command.slots)
            with m.Case(Command.PIM_DOTPRODUCT):
                m.d.sync += [slots.eq(1), k.eq(1)]
            with m.Case(Command.WR, Command.WRA, Command.PIM_GWRITE_DATA):
                m.d.sync += write.eq(1)

        # Stage 2: the products; a burst of writes counts its two beats at once.
        m.d.sync += [
            self.columns.eq(slots * k),
            self.commands.eq(command),
            self.beats.eq(drives + (write << 1)),
        ]

        return m


class Counters(wiring.Component):
    """The counters of a device.

    Members
    -------
    matrix_row, vector_busy : ``In(1)``
        A row of activations enters the arrays; the vector unit works.
    command_{c}, drives_{c}
        As of :class:`ChannelEvents`, of channel c.
    o : ``Out(counters_layout())``
        The counters.
    """

    def __init__(self, config: Config):
        self._config = config
        channels = range(config.memory.channels)
        super().__init__(
            {
                "matrix_row": In(1),
                "vector_busy": In(1),
                **{f"command_{c}": In(bus_layout(config)) for c in channels},
                **{f"drives_{c}": In(1) for c in channels},
                "o": Out(counters_layout()),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        channels = []
        for c in range(config.memory.channels):
            m.submodules[f"channel_{c}"] = events = ChannelEvents(config)
            m.d.comb += [
                events.command.eq(getattr(self, f"command_{c}")),
                events.drives.eq(getattr(self, f"drives_{c}")),
            ]
            channels.append(events)

        # Sums over the channels, in a register.
        columns, commands, beats = Signal(24), Signal(8), Signal(8)
        m.d.sync += [
            columns.eq(sum(events.columns for events in channels)),
            commands.eq(sum(events.commands for events in channels)),
            beats.eq(sum(events.beats for events in channels)),
        ]
        bank_columns = Signal(_BITS)
        m.d.sync += [
            self.o.cycles.eq(self.o.cycles + 1),
            self.o.matrix_busy.eq(self.o.matrix_busy + self.matrix_row),
            self.o.vector_busy.eq(self.o.vector_busy + self.vector_busy),
            bank_columns.eq(bank_columns + columns),
            self.o.ca_busy.eq(self.o.ca_busy + commands),
            self.o.bus_busy.eq(self.o.bus_busy + beats),
        ]
        m.d.comb += [
            self.o.matrix_macs.eq(
                self.o.matrix_busy << exact_log2(config.npu.array_rows * config.npu.tile_columns)
            ),
            self.o.pim_columns.eq(bank_columns << exact_log2(config.memory.banks)),
        ]

        return m
