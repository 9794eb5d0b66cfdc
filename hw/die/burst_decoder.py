"""Decoder of the commands that move bursts: two columns, one after the other."""

from amaranth.hdl import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import DieConfig
from hw.delay_line import delayed
from hw.protocol.commands import Command, bus_layout

__all__ = ["BurstDecoder"]


def _read_layout(config: DieConfig) -> data.StructLayout:
    bus = bus_layout(config)
    return data.StructLayout(
        {
            "valid": 1,
            "second": 1,
            "bank": bus["bank"].shape,
            "column": bus["column"].shape,
            "close": 1,
            "drive": 1,
        }
    )


def _write_layout(config: DieConfig) -> data.StructLayout:
    bus = bus_layout(config)
    return data.StructLayout(
        {
            "cells": 1,
            "vector": 1,
            "from_row": 1,
            "second": 1,
            "bank": bus["bank"].shape,
            "column": bus["column"].shape,
            "half": 1,
            "offset": bus["offset"].shape,
            "close": 1,
        }
    )


class BurstDecoder(wiring.Component):
    """Turns RD, WR, their A forms and both PIM_GWRITE into reads and writes of columns.

    A PIM_GWRITE of several bursts moves one after the other, a column a cycle. Commands are at
    least two cycles apart, and come when a row has been moved; there is no backpressure.

    Members
    -------
    command : ``In(bus_layout(config))``
        The C/A bus.
    read : ``Out(...)``
        One and two cycles after RD, RDA or PIM_GWRITE: ``valid``; read ``column`` of ``bank``;
        with the ``second`` column, ``close`` the row; ``drive``: it is for the data bus.
    write : ``Out(...)``
        nCWL + 1 and nCWL + 2 cycles after the command: write ``column`` of ``bank`` into the
        ``cells`` (WR, WRA), or ``offset`` of ``half`` of the ``vector`` buffer (PIM_GWRITE); with
        the ``second`` column, ``close`` the row.
    vector_from_row : ``Out(1)``
        Whether a column that the vector buffer takes in the next cycle comes from a row.
    """

    def __init__(self, config: DieConfig):
        self._config = config
        super().__init__(
            {
                "command": In(bus_layout(config)),
                "read": Out(_read_layout(config)),
                "write": Out(_write_layout(config)),
                "vector_from_row": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        bus, read, write = self.command, self.read, self.write
        is_read = (bus.command == Command.RD) | (bus.command == Command.RDA)
        is_write = (bus.command == Command.WR) | (bus.command == Command.WRA)
        is_gwrite = bus.command == Command.PIM_GWRITE

        config = self._config
        further = Signal.like(bus.k)  # bursts of the row that follow the first
        read_left = Signal.like(further)
        m.d.comb += further.eq(Mux(is_gwrite & (bus.k != 0), bus.k - 1, 0))
        m.d.sync += read.valid.eq(0)
        with m.If(is_read | is_gwrite):
            m.d.sync += [
                read.valid.eq(1),
                read.second.eq(0),
                read.bank.eq(bus.bank),
                read.column.eq(bus.column),
                read.close.eq(bus.command == Command.RDA),
                read.drive.eq(is_read),
                read_left.eq(further),
            ]
        with m.Elif(read.valid & ~read.second):
            m.d.sync += [read.valid.eq(1), read.second.eq(1), read.column[0].eq(1)]
        with m.Elif(read.valid & (read_left != 0)):
            m.d.sync += [
                read.valid.eq(1),
                read.second.eq(0),
                read.column.eq(read.column + 1),
                read_left.eq(read_left - 1),
            ]

        # Writes wait for their data.
        waiting = Signal(write.shape())
        m.d.comb += [
            waiting.cells.eq(is_write),
            waiting.vector.eq(is_gwrite | (bus.command == Command.PIM_GWRITE_DATA)),
            waiting.from_row.eq(is_gwrite),
            waiting.bank.eq(bus.bank),
            waiting.column.eq(bus.column),
            waiting.half.eq(bus.half),
            waiting.offset.eq(bus.offset),
            waiting.close.eq(bus.command == Command.WRA),
        ]
        arrival = delayed(m, waiting, config.memory.timing.nCWL, "arrival")
        arrives = arrival.cells | arrival.vector
        arrival_further = delayed(m, further, config.memory.timing.nCWL, "further")
        write_left = Signal.like(further)
        m.d.sync += [write.cells.eq(0), write.vector.eq(0)]
        with m.If(arrives):
            m.d.sync += [
                write.eq(arrival),
                write_left.eq(arrival_further),
            ]
        with m.Elif((write.cells | write.vector) & ~write.second):
            m.d.sync += [
                write.cells.eq(write.cells),
                write.vector.eq(write.vector),
                write.second.eq(1),
                write.column[0].eq(1),
                write.offset[0].eq(1),
            ]
        with m.Elif(write.vector & (write_left != 0)):
            m.d.sync += [
                write.vector.eq(1),
                write.second.eq(0),
                write.offset.eq(write.offset + 1),
                write_left.eq(write_left - 1),
            ]
        m.d.comb += self.vector_from_row.eq(Mux(arrives, arrival.from_row, write.from_row))
        return m
