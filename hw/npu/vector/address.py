"""Addresses of an operand or result: rows of steps."""

from amaranth.hdl import *
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from hw.npu.vector.ports import ADDRESS_BITS

__all__ = ["AddressGenerator", "Advance", "Walk"]


class Advance(enum.Enum, shape=3):
    """Where an address goes from where it is."""

    STEP = 0  #: a step on
    REPEAT = 1  #: back to the start of the row
    ROW = 2  #: to the start of the next row
    RESTART = 3  #: to the first row of the group
    GROUP = 4  #: to the first row of the next group


class Walk(data.Struct):
    """What an address does: its start, and bytes from step to step, row to row, group to group."""

    start: ADDRESS_BITS
    step: ADDRESS_BITS
    row: ADDRESS_BITS
    group: ADDRESS_BITS


class AddressGenerator(wiring.Component):
    """Address of one port; it changes in the cycle after :attr:`enable`.

    Members
    -------
    walk : ``In(Walk)``
        What the address does; taken at ``start``.
    start : ``In(1)``
        Go to the start.
    enable : ``In(1)``
        Go on as ``advance`` says.
    advance : ``In(Advance)``
        Where to go.
    address : ``Out(ADDRESS_BITS)``
        Address.
    """

    walk: In(Walk)
    start: In(1)
    enable: In(1)
    advance: In(Advance)
    address: Out(ADDRESS_BITS)

    def elaborate(self, platform):
        m = Module()
        row = Signal(ADDRESS_BITS)  # start of the row
        group = Signal(ADDRESS_BITS)  # start of the first row of the group
        walk = Signal(Walk)

        next_row = Signal(ADDRESS_BITS)
        next_group = Signal(ADDRESS_BITS)
        m.d.comb += [next_row.eq(row + walk.row), next_group.eq(group + walk.group)]
        with m.If(self.start):
            m.d.sync += [
                walk.eq(self.walk),
                self.address.eq(self.walk.start),
                row.eq(self.walk.start),
                group.eq(self.walk.start),
            ]
        with m.Elif(self.enable):
            with m.Switch(self.advance):
                with m.Case(Advance.STEP):
                    m.d.sync += self.address.eq(self.address + walk.step)
                with m.Case(Advance.REPEAT):
                    m.d.sync += self.address.eq(row)
                with m.Case(Advance.ROW):
                    m.d.sync += [self.address.eq(next_row), row.eq(next_row)]
                with m.Case(Advance.RESTART):
                    m.d.sync += [self.address.eq(group), row.eq(group)]
                with m.Case(Advance.GROUP):
                    m.d.sync += [
                        self.address.eq(next_group),
                        row.eq(next_group),
                        group.eq(next_group),
                    ]
        return m
