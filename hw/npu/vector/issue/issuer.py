"""Issue: the loops of an instruction, one slot of the lanes after the other."""

from amaranth.hdl import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.npu.vector.issue.address import Advance
from hw.npu.vector.ports import CONTEXTS

__all__ = ["GROUP_ROWS", "Issuer", "Loops", "Slot"]

#: Rows whose sums are kept between the sweeps of a SOFTMAX or NORM (chosen).
GROUP_ROWS = 16

_SLOT_BITS = 17
_GAP_BITS = 8


class Loops(data.Struct):
    """The loops around a slot, from the innermost out; every count is one less than the number.

    A *block* is what one sum runs over: a row, or in TAIL the tokens of one element a lane. Rows
    are swept over in groups of at most :data:`GROUP_ROWS`.
    """

    slots: _SLOT_BITS  #: of a block, sum of the live ones and padding
    live: _SLOT_BITS  #: number (not less one) of slots of a block that carry elements
    fold: _SLOT_BITS  #: slot of a block from which on its partial sums are final
    blocks: 16  #: of a row
    rows: 10  #: rows
    short: 1  #: the last row is another unit's
    first_sweep: 2  #: number of the first sweep over the rows of a group, and of the last one
    sweeps: 2
    every_second: 1  #: only every second cycle takes a slot
    pause: _GAP_BITS  #: cycles without a slot after each block
    period: 8  #: the next instruction starts a multiple of so many cycles after the first slot
    rest: 8  #: elements in the last live slot of a row; 0: all lanes have one
    context: exact_log2(CONTEXTS)  #: counts the instructions
    gaps: data.ArrayLayout(_GAP_BITS, 2)  #: least cycles from the first row of a sweep to the next
    group_gap: _GAP_BITS  #: cycles without a slot between groups


class Slot(data.Struct):
    """What the lanes do with the elements that are read in one cycle."""

    valid: 1
    live: 1  #: it carries elements; else it pads the sums
    first: 1  #: first of a block
    last: 1  #: last live one of a block
    fresh: 1  #: its partial sum starts here
    fold: 1  #: the partial sums of a block are final from here on, the first of them here
    end: 1  #: last of a block
    row_end: 1  #: of the last block of a row
    sweep: 2  #: sweep over the rows of a group
    result: 1  #: of the last sweep
    ending: 1  #: of the last block of an instruction
    row: range(GROUP_ROWS)  #: row of the group
    absent: 1  #: of a row that is not this unit's: nothing is read or written
    advance: Advance  #: what the address of a row-wise operand does next
    rest: 8  #: elements in the last live slot of a row; 0: all lanes have one
    context: exact_log2(CONTEXTS)  #: of its instruction


class Issuer(wiring.Component):
    """Loop counters. Slots come one a cycle, without a pause within a block.

    Blocks start at a multiple of ``partial_sums`` cycles after the first one, if their slots, the
    pauses and the gaps are multiples of it.

    Parameters
    ----------
    partial_sums : int
        Partial sums of a lane.

    Members
    -------
    start : ``In(1)``
        Begin in the next cycle.
    loops : ``In(Loops)``
        Loops, taken at ``start``.
    o : ``Out(Slot)``
        Slot.
    free : ``Out(1)``
        The loops after these may be given at ``start``, without a gap if there need not be one.
    """

    start: In(1)
    loops: In(Loops)
    o: Out(Slot)
    free: Out(1)

    def __init__(self, partial_sums):
        self._partial_sums = partial_sums
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        running = Signal()
        loops = Signal(Loops)
        slot = Signal(_SLOT_BITS)
        block = Signal(16)
        row = Signal(range(GROUP_ROWS))
        left = Signal(10)  # rows after this one
        group_left = Signal(10)  # the same, for the first row of the group
        sweep = Signal(2)
        wait = Signal(_GAP_BITS)  # until the next slot
        gap = Signal(_GAP_BITS)  # until the next sweep may start

        # Where the counters stand.
        block_end = Signal()
        row_end = Signal()
        group_end = Signal()
        last_sweep = Signal()
        sweep_start = Signal()
        enable = Signal()
        m.d.comb += [
            block_end.eq(slot == loops.slots),
            row_end.eq(block == loops.blocks),
            group_end.eq((row == GROUP_ROWS - 1) | (left == 0)),
            last_sweep.eq(sweep == loops.sweeps),
            sweep_start.eq((slot == 0) & (block == 0) & (row == 0)),
            enable.eq(running & (wait == 0) & ~(sweep_start & (gap != 0))),
        ]

        # The slot.
        m.d.comb += [
            self.o.valid.eq(enable),
            self.o.live.eq(slot < loops.live),
            self.o.first.eq(slot == 0),
            self.o.last.eq(slot + 1 == loops.live),
            self.o.fresh.eq(slot[exact_log2(self._partial_sums) :] == 0),
            self.o.fold.eq(slot == loops.fold),
            self.o.end.eq(block_end),
            self.o.row_end.eq(row_end),
            self.o.sweep.eq(sweep),
            self.o.result.eq(last_sweep),
            self.o.ending.eq(row_end & last_sweep & (left == 0)),
            self.o.row.eq(row),
            self.o.absent.eq(loops.short & (left == 0)),
            self.o.rest.eq(loops.rest),
            self.o.context.eq(loops.context),
        ]
        with m.If(~block_end):
            m.d.comb += self.o.advance.eq(Advance.STEP)
        with m.Elif(~(row_end & group_end)):
            m.d.comb += self.o.advance.eq(Advance.ROW)
        with m.Elif(~last_sweep):
            m.d.comb += self.o.advance.eq(Advance.RESTART)
        with m.Else():
            m.d.comb += self.o.advance.eq(Advance.GROUP)

        # The loops.
        with m.If(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.If(gap != 0):
            m.d.sync += gap.eq(gap - 1)
        with m.If(enable):
            m.d.sync += [slot.eq(slot + 1), wait.eq(loops.every_second)]
            with m.If(block_end):
                m.d.sync += [slot.eq(0), block.eq(block + 1)]
                with m.If(loops.pause != 0):
                    m.d.sync += wait.eq(loops.pause)
            with m.If(block_end & row_end):
                m.d.sync += [block.eq(0), row.eq(row + 1), left.eq(left - 1)]
                with m.If((row == 0) & ~last_sweep):
                    m.d.sync += gap.eq(loops.gaps[sweep[0]])
                with m.If(group_end):
                    m.d.sync += row.eq(0)
                    with m.If(last_sweep):
                        m.d.sync += [
                            sweep.eq(loops.first_sweep),
                            group_left.eq(left - 1),
                            gap.eq(loops.group_gap),
                            running.eq(left != 0),
                        ]
                    with m.Else():
                        m.d.sync += [sweep.eq(sweep + 1), left.eq(group_left)]

        # The next instruction: as if it were the next group of rows.
        phase = Signal(8)  # of the cycle after this one, within a period
        ending = Signal()
        m.d.sync += phase.eq(Mux(phase == loops.period, 0, phase + 1))
        m.d.comb += [
            ending.eq(enable & block_end & row_end & group_end & last_sweep & (left == 0)),
            self.free.eq(
                (phase == 0) & Mux(running, ending & (loops.group_gap == 0), gap[1:] == 0)
            ),
        ]

        with m.If(self.start):
            m.d.sync += [
                phase.eq(Mux(self.loops.period == 0, 0, 1)),
                running.eq(1),
                loops.eq(self.loops),
                slot.eq(0),
                block.eq(0),
                row.eq(0),
                left.eq(self.loops.rows),
                group_left.eq(self.loops.rows),
                sweep.eq(self.loops.first_sweep),
                wait.eq(0),
            ]
        return m
