"""Decoding: from an instruction to its route, its loops and its addresses."""

from amaranth.hdl import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.npu.instruction import operand_layout
from hw.npu.vector.issue.address import Walk
from hw.npu.vector.issue.issuer import GROUP_ROWS, Loops
from hw.npu.vector.issue.schedule import PAIRED, SWEEPS, Route, route_of
from hw.npu.vector.ports import NumberFormat
from hw.program.instruction_set import Element, Format, Function, Norm, Opcode, Queue, Reduce

__all__ = ["Decoder", "Work"]


class Work(data.Struct):
    """What of an instruction stays the same while it runs."""

    route: Route
    function: 4
    a_format: NumberFormat
    b_format: NumberFormat
    c_format: NumberFormat
    o_format: NumberFormat
    reads_c: 1
    x: 32
    y: 32


class Decoder(wiring.Component):
    """Combinational decoder of the vector instructions.

    Parameters
    ----------
    schedule : Schedule
        Gaps between sweeps.
    number : int
        Number v of the unit, which takes rows v, v + units, … All units count the rows of the one
        that has the most, so that they stay in step; the last one of a unit that has fewer is
        ``short``.

    Members
    -------
    i : ``In(operand_layout(Queue.EPILOGUE))``
        Instruction.
    work : ``Out(Work)``
        Route, formats and constants.
    loops : ``Out(Loops)``
        Loops.
    a, b, c, o : ``Out(Walk)``
        Addresses.
    empty : ``Out(1)``
        There is nothing to do.
    """

    def __init__(self, schedule, number=0):
        self._schedule = schedule
        self._number = number
        super().__init__(
            {
                "i": In(operand_layout(Queue.EPILOGUE)),
                "work": Out(Work),
                "loops": Out(Loops),
                "a": Out(Walk),
                "b": Out(Walk),
                "c": Out(Walk),
                "o": Out(Walk),
                "empty": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        i, work = self.i, self.work

        # Route and formats, first as most instructions have them.
        m.d.comb += [
            work.function.eq(i.function),
            work.x.eq(i.x),
            work.y.eq(i.y),
            work.a_format.eq(i.a_format),
            work.b_format.eq(i.b_format),
            work.c_format.eq(i.b_format),
            work.o_format.eq(i.o_format),
        ]
        with m.Switch(i.opcode):
            with m.Case(Opcode.ELEMENTWISE):
                with m.Switch(i.function):
                    for element in Element:
                        with m.Case(element):
                            m.d.comb += work.route.eq(Route[element.name])
                with m.If(i.function == Element.GATE):
                    m.d.comb += work.c_format.eq(i.a_format)
            with m.Case(Opcode.FUNCTION):
                m.d.comb += [work.b_format.eq(i.a_format), work.c_format.eq(i.a_format)]
                with m.Switch(i.function):
                    for function in Function:
                        with m.Case(function):
                            m.d.comb += work.route.eq(route_of(Opcode.FUNCTION, function))
            with m.Case(Opcode.NORM):
                m.d.comb += work.route.eq(Mux(i.function == Norm.RMS, Route.RMS, Route.NORM))
            with m.Case(Opcode.ROTARY):
                m.d.comb += work.route.eq(Route.ROTARY)
            with m.Case(Opcode.REDUCE):
                m.d.comb += work.route.eq(Mux(i.function == Reduce.MAX, Route.MAX, Route.SUM))
            with m.Case(Opcode.SOFTMAX):
                m.d.comb += work.route.eq(Route.SOFTMAX)
                m.d.comb += [work.a_format.eq(Format.BINARY32), work.o_format.eq(Format.BF16)]
            with m.Case(Opcode.TAIL):
                m.d.comb += work.route.eq(Route.TAIL)
                m.d.comb += [
                    work.a_format.eq(Format.BF16),
                    work.b_format.eq(Format.BF16),
                    work.c_format.eq(Format.BINARY32),
                ]
            with m.Case(Opcode.ARGMAX):
                m.d.comb += work.route.eq(Route.ARGMAX)
                m.d.comb += [work.a_format.eq(Format.BINARY32), work.o_format.eq(Format.BINARY32)]
            with m.Case(Opcode.TRANSPOSE):
                m.d.comb += work.route.eq(Route.TRANSPOSE)
                m.d.comb += [work.a_format.eq(Format.BF16), work.o_format.eq(Format.BF16)]
        m.d.comb += work.reads_c.eq((i.opcode != Opcode.TAIL) | (i.function != 0))

        self._loops(m)
        self._walks(m)
        return m

    def _loops(self, m):
        """Count slots, blocks, rows and sweeps."""
        schedule, i, loops, route = self._schedule, self.i, self.loops, self.work.route
        lane_bits = exact_log2(schedule.lanes)
        sum_bits = exact_log2(schedule.partial_sums)

        def padded(count):
            whole = (count + schedule.partial_sums - 1)[sum_bits:]
            return Cat(C(0, sum_bits), Mux(whole == 0, 1, whole))

        steps = Signal(17)  # in which the lanes get through the elements of a row
        row_slots = Signal(17)
        tail_slots = Signal(17)
        m.d.comb += [
            steps.eq((i.n + schedule.lanes - 1) >> lane_bits),
            row_slots.eq(padded(steps)),
            tail_slots.eq(padded(i.m)),
            loops.rest.eq(i.n[:lane_bits]),
            self.empty.eq((i.rows == 0) | (i.n == 0)),
            loops.slots.eq(steps - 1),
            loops.live.eq(steps),
            *self._deal(i.rows),
            loops.every_second.eq(Cat(route == way for way in PAIRED).any()),
        ]
        with m.Switch(route):
            for way in Route:
                with m.Case(way):
                    m.d.comb += loops.period.eq(schedule.period(way) - 1)
        with m.Switch(route):
            for way in SWEEPS:
                with m.Case(way):
                    m.d.comb += [
                        loops.slots.eq(row_slots - 1),
                        loops.fold.eq(row_slots - schedule.partial_sums),
                        loops.first_sweep.eq(3 - SWEEPS[way]),
                        loops.sweeps.eq(2),
                        *(loops.gaps[k].eq(schedule.gap(way, k)) for k in range(2)),
                        loops.group_gap.eq(schedule.group_gap(way)),
                    ]
            with m.Case(Route.SUM):
                m.d.comb += [
                    loops.slots.eq(row_slots - 1),
                    loops.fold.eq(row_slots - schedule.partial_sums),
                ]
            with m.Case(Route.ROTARY):
                m.d.comb += [
                    loops.blocks.eq(i.m - 1),
                    self.empty.eq((i.rows == 0) | (i.n == 0) | (i.m == 0)),
                ]
            with m.Case(Route.TAIL):
                m.d.comb += [
                    loops.slots.eq(tail_slots - 1),
                    loops.fold.eq(tail_slots - schedule.partial_sums),
                    loops.live.eq(i.m),
                    loops.blocks.eq(steps - 1),
                ]
            with m.Case(Route.TRANSPOSE):
                groups = i.rows >> exact_log2(schedule.run)
                m.d.comb += self._deal(groups)
                m.d.comb += [
                    loops.slots.eq(schedule.run - 1),
                    loops.live.eq(schedule.run),
                    loops.blocks.eq(steps - 1),
                    loops.pause.eq(schedule.lanes),
                    self.empty.eq((groups == 0) | (i.n == 0)),
                ]

    def _deal(self, rows):
        """Take this unit's share of rows, or of blocks of rows."""
        unit_bits = exact_log2(self._schedule.units)
        share = (rows + self._schedule.units - 1) >> unit_bits
        rest = rows[:unit_bits]
        return [
            self.loops.rows.eq(share - 1),
            self.loops.short.eq((rest != 0) & (rest <= self._number)),
        ]

    def _walks(self, m):
        """Lay out the addresses; the rows of the other units are left out."""
        schedule, i, work, number = self._schedule, self.i, self.work, self._number
        unit_bits = exact_log2(schedule.units)
        narrow = 2 * schedule.lanes
        group_bits = exact_log2(GROUP_ROWS)

        def walk(name, start, step, row, group=0):
            new = getattr(self, name)
            return [new.start.eq(start), new.step.eq(step), new.row.eq(row), new.group.eq(group)]

        def width(number_format):
            return Mux(number_format == NumberFormat.BF16, narrow, 2 * narrow)

        def rows(name, start, number_format, stride):
            turn = stride << unit_bits
            start = start + number * stride
            return walk(name, start, width(number_format), turn, turn << group_bits)

        m.d.comb += [
            *rows("a", i.a, work.a_format, i.a_stride),
            *rows("b", i.b, work.b_format, i.b_stride),
            *rows("o", i.o, work.o_format, i.o_stride),
        ]
        with m.Switch(work.route):
            with m.Case(Route.GELU_TANH, Route.GELU_ERF, Route.SIGMOID):
                m.d.comb += [
                    *rows("b", i.a, work.a_format, i.a_stride),
                    *rows("c", i.a, work.a_format, i.a_stride),
                ]
            with m.Case(Route.GATE):
                m.d.comb += rows("c", i.a, work.a_format, i.a_stride)
            with m.Case(Route.NORM, Route.RMS):
                m.d.comb += [
                    *walk("b", i.b, width(work.b_format), 0),
                    *walk("c", i.c, width(work.b_format), 0),
                ]
            with m.Case(Route.TAIL):
                head = i.n << 1
                m.d.comb += [
                    *walk("a", i.c + number * head, i.c_stride, narrow, head << unit_bits),
                    *walk("b", i.b + number * i.b_stride, 2, i.b_stride << unit_bits),
                    *rows("c", i.a, NumberFormat.BINARY32, i.a_stride),
                ]
            with m.Case(Route.TRANSPOSE):
                block = i.a_stride << exact_log2(schedule.run)
                run = 2 * schedule.run
                m.d.comb += [
                    *walk("a", i.a + number * block, i.a_stride, narrow, block << unit_bits),
                    *walk("o", i.o + number * run, i.o_stride, i.c_stride, run << unit_bits),
                ]
