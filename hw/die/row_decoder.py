"""Decoder of the commands that open and close row buffers."""

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import DieConfig
from hw.protocol.commands import Command, bus_layout

__all__ = ["RowDecoder"]


class RowDecoder(wiring.Component):
    """Turns ACT, PRE, PREA, PIM_ACTIVATION and PIM_PRECHARGE into strobes of the banks.

    A latency of one cycle, a command a cycle, no backpressure.

    Members
    -------
    command : ``In(bus_layout(config))``
        The C/A bus.
    row : ``Out(row)``
        The row to open.
    open, pim_open, close : ``Out(banks)``
        A bit a bank: open ``row`` in the MEM or the PIM row buffer, close the MEM row buffer.
    pim_close : ``Out(1)``
        Close the PIM row buffers of all banks.
    """

    def __init__(self, config: DieConfig):
        self._config = config
        bus = bus_layout(config)
        super().__init__(
            {
                "command": In(bus),
                "row": Out(bus["row"].shape),
                "open": Out(config.memory.banks),
                "pim_open": Out(config.memory.banks),
                "close": Out(config.memory.banks),
                "pim_close": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, bus = self._config, self.command
        bank_bits = (config.memory.banks - 1).bit_length()
        rank_start = (config.memory.banks_per_rank - 1).bit_length()

        m.d.sync += [
            self.row.eq(bus.row),
            self.pim_close.eq(bus.command == Command.PIM_PRECHARGE),
        ]
        for bank in range(config.memory.banks):
            same_bank = bus.bank == bank
            same_group = bus.bank[2:bank_bits] == bank >> 2
            same_rank = bus.bank[rank_start:bank_bits] == bank >> rank_start
            m.d.sync += [
                self.open[bank].eq((bus.command == Command.ACT) & same_bank),
                self.pim_open[bank].eq((bus.command == Command.PIM_ACTIVATION) & same_group),
                self.close[bank].eq(
                    ((bus.command == Command.PRE) & same_bank)
                    | ((bus.command == Command.PREA) & same_rank)
                ),
            ]
        return m
