"""Transposition: rows in, columns out, a square or flat block of bfloat16 at a time."""

from amaranth.hdl import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.npu.vector.issue.address import Advance

__all__ = ["Transposer"]


class Transposer(wiring.Component):
    """Block of ``run`` rows of ``lanes`` numbers: shifted in by rows, out by columns.

    The columns of a block leave in the ``lanes`` cycles after its last row came; the next block may
    begin in the cycle after that.

    Parameters
    ----------
    lanes, run : int
        Numbers of a row and of a column.
    banks : int
        Columns after which the address goes to the next row of its walk.

    Members
    -------
    i : ``In(ArrayLayout(16, lanes))``
        A row.
    take : ``In(1)``
        Take it.
    end : ``In(1)``
        It is the last one of its block.
    row_end : ``In(1)``
        The block is the last one of its rows.
    ending : ``In(1)``
        It is the last one of the instruction.
    o : ``Out(ArrayLayout(16, run))``
        A column.
    valid : ``Out(1)``
        There is one.
    advance : ``Out(Advance)``
        Where its address goes next.
    done : ``Out(1)``
        It is the last one of the instruction.
    """

    def __init__(self, lanes, run, banks):
        self._lanes = lanes
        self._run = run
        self._banks = banks
        super().__init__(
            {
                "i": In(data.ArrayLayout(16, lanes)),
                "take": In(1),
                "end": In(1),
                "row_end": In(1),
                "ending": In(1),
                "o": Out(data.ArrayLayout(16, run)),
                "valid": Out(1),
                "advance": Out(Advance),
                "done": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        rows = [
            Signal(16 * self._lanes, reset_less=True, name=f"row_{row}") for row in range(self._run)
        ]
        with m.If(self.take):
            m.d.sync += [row.eq(new) for row, new in zip(rows, [*rows[1:], self.i], strict=True)]
        with m.Else():
            m.d.sync += [row.eq(row >> 16) for row in rows]
        m.d.comb += [self.o[index].eq(row[:16]) for index, row in enumerate(rows)]

        left = Signal(range(self._lanes))  # columns after this one
        bank = Signal(range(self._banks))
        row_end = Signal()
        ending = Signal()
        last = left == 0
        with m.If(self.take & self.end):
            m.d.sync += [
                self.valid.eq(1),
                left.eq(self._lanes - 1),
                row_end.eq(self.row_end),
                ending.eq(self.ending),
            ]
        with m.Elif(self.valid):
            m.d.sync += [self.valid.eq(~last), left.eq(left - 1), bank.eq(bank + 1)]
            with m.If((bank == self._banks - 1) | (self.advance == Advance.GROUP)):
                m.d.sync += bank.eq(0)

        m.d.comb += self.done.eq(self.valid & last & ending)
        with m.If(last & row_end):
            m.d.comb += self.advance.eq(Advance.GROUP)
        with m.Elif(bank == self._banks - 1):
            m.d.comb += self.advance.eq(Advance.ROW)
        with m.Else():
            m.d.comb += self.advance.eq(Advance.STEP)
        return m
