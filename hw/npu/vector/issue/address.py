"""Addresses of an operand or result: rows of steps."""

from amaranth.hdl import *
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.npu.vector.ports import ADDRESS_BITS, CONTEXTS

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
        What the address does for the instruction of this ``context``.
    context : ``In(log2(CONTEXTS))``
        Of the instruction whose slot is here; where it changes, its walk starts.
    enable : ``In(1)``
        Go on as ``advance`` says.
    advance : ``In(Advance)``
        Where to go.
    address : ``Out(ADDRESS_BITS)``
        Address.
    """

    walk: In(Walk)
    context: In(exact_log2(CONTEXTS))
    enable: In(1)
    advance: In(Advance)
    address: Out(ADDRESS_BITS)

    def elaborate(self, platform):
        m = Module()
        place = data.StructLayout(
            {"address": ADDRESS_BITS, "row": ADDRESS_BITS, "group": ADDRESS_BITS}
        )
        kept, now = Signal(place), Signal(place)  # row and group: where they start
        context = Signal.like(self.context)

        m.d.comb += [now.eq(kept), self.address.eq(now.address)]
        with m.If(self.context != context):
            m.d.comb += [getattr(now, name).eq(self.walk.start) for name in place.members]

        next_row = Signal(ADDRESS_BITS)
        next_group = Signal(ADDRESS_BITS)
        m.d.comb += [
            next_row.eq(now.row + self.walk.row),
            next_group.eq(now.group + self.walk.group),
        ]
        with m.If(self.enable):
            m.d.sync += [kept.eq(now), context.eq(self.context)]
            with m.Switch(self.advance):
                with m.Case(Advance.STEP):
                    m.d.sync += kept.address.eq(now.address + self.walk.step)
                with m.Case(Advance.REPEAT):
                    m.d.sync += kept.address.eq(now.row)
                with m.Case(Advance.ROW):
                    m.d.sync += [kept.address.eq(next_row), kept.row.eq(next_row)]
                with m.Case(Advance.RESTART):
                    m.d.sync += [kept.address.eq(now.group), kept.row.eq(now.group)]
                with m.Case(Advance.GROUP):
                    m.d.sync += [
                        kept.address.eq(next_group),
                        kept.row.eq(next_group),
                        kept.group.eq(next_group),
                    ]
        return m
