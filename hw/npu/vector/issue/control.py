"""What the units of the lanes take, cycle by cycle."""

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.adder import Adder
from hw.arith.elementary import Function
from hw.npu.vector.issue.issues_in_flight import of_routes, select, taps_layout
from hw.npu.vector.issue.schedule import PAIRED, SUMMED_ROWS, Route
from hw.npu.vector.lanes.lane import LaneControl, Source
from hw.npu.vector.ports import READ_LATENCY, NumberFormat
from hw.program import instruction_set as isa

__all__ = ["Control"]

#: What enters the units on each route, where it does not change within the instruction.
ROUTES = {
    Route.COPY: {"adder_1_a": Source.A, "adder_1_b": Source.SCALAR, "result": Source.ADDER_1},
    Route.ADD: {"adder_1_a": Source.A, "adder_1_b": Source.B, "result": Source.ADDER_1},
    Route.SUBTRACT: {
        "adder_1_a": Source.A,
        "adder_1_b": Source.B,
        "adder_1_minus": 1,
        "result": Source.ADDER_1,
    },
    Route.MULTIPLY: {
        "multiplier_1_a": Source.A,
        "multiplier_1_b": Source.B,
        "result": Source.MULTIPLIER_1,
    },
    Route.FUNCTION: {"elementary_a": Source.A, "result": Source.ELEMENTARY},
    Route.GELU_TANH: {
        "adder_1_a": Source.MULTIPLIER_2,
        "adder_1_b": Source.SCALAR,
        "adder_2_a": Source.ELEMENTARY,
        "adder_2_b": Source.DOWN,
        "result": Source.MULTIPLIER_2,
    },
    Route.GELU_ERF: {
        "multiplier_1_a": Source.B,
        "multiplier_1_b": Source.B,
        "adder_1_a": Source.MULTIPLIER_1,
        "adder_1_b": Source.ELEMENTARY,
        "adder_2_a": Source.ELEMENTARY,
        "adder_2_b": Source.STEP,
        "adder_2_step": 1,
        "multiplier_2_a": Source.ADDER_2,
        "multiplier_2_b": Source.C,
        "multiplier_2_down": 1,
        "result": Source.MULTIPLIER_2,
    },
    Route.SIGMOID: {
        "adder_2_a": Source.ELEMENTARY,
        "adder_2_b": Source.DOWN,
        "multiplier_2_a": Source.ELEMENTARY,
        "multiplier_2_b": Source.C,
        "multiplier_2_down": 1,
        "result": Source.MULTIPLIER_2,
    },
    Route.GATE: {
        "adder_2_a": Source.ELEMENTARY,
        "adder_2_b": Source.DOWN,
        "multiplier_2_a": Source.ELEMENTARY,
        "multiplier_2_b": Source.C,
        "multiplier_2_down": 1,
        "multiplier_1_a": Source.MULTIPLIER_2,
        "multiplier_1_b": Source.B,
        "result": Source.MULTIPLIER_1,
    },
    Route.ROTARY: {
        "multiplier_1_a": Source.A,
        "multiplier_1_b": Source.COSINE,
        "multiplier_2_a": Source.PARTNER,
        "multiplier_2_b": Source.SINE,
        "adder_1_a": Source.MULTIPLIER_1,
        "adder_1_b": Source.TURN,
        "result": Source.ADDER_1,
    },
    Route.NORM: {
        "adder_1_a": Source.A,
        "adder_1_b": Source.SCALAR,
        "multiplier_1_a": Source.ADDER_1,
        "multiplier_1_b": Source.SCALAR,
        "multiplier_2_a": Source.MULTIPLIER_1,
        "multiplier_2_b": Source.B,
        "adder_2_a": Source.MULTIPLIER_1,
        "adder_2_b": Source.PARTIAL,
        "result": Source.ADDER_2,
    },
    Route.RMS: {
        "adder_1_a": Source.A,
        "adder_1_b": Source.SCALAR,
        "multiplier_1_a": Source.ADDER_1,
        "multiplier_1_b": Source.SCALAR,
        "multiplier_2_a": Source.MULTIPLIER_1,
        "multiplier_2_b": Source.B,
        "adder_2_a": Source.MULTIPLIER_1,
        "adder_2_b": Source.PARTIAL,
        "result": Source.MULTIPLIER_2,
    },
    Route.SOFTMAX: {
        "multiplier_1_a": Source.A,
        "multiplier_1_b": Source.SCALAR,
        "adder_1_a": Source.MULTIPLIER_1,
        "adder_1_b": Source.SCALAR,
        "elementary_a": Source.ADDER_1,
        "multiplier_2_a": Source.ELEMENTARY,
        "multiplier_2_b": Source.SCALAR,
        "adder_2_a": Source.ELEMENTARY,
        "adder_2_b": Source.PARTIAL,
        "result": Source.MULTIPLIER_2,
    },
    Route.TAIL: {
        "multiplier_1_a": Source.A,
        "multiplier_1_b": Source.SCALAR,
        "adder_2_a": Source.MULTIPLIER_1,
        "adder_2_b": Source.PARTIAL,
        "adder_1_a": Source.FOLD,
        "adder_1_b": Source.C,
        "result": Source.ADDER_1,
    },
    Route.SUM: {
        "multiplier_1_a": Source.A,
        "multiplier_1_b": Source.SCALAR,
        "adder_2_a": Source.MULTIPLIER_1,
        "adder_2_b": Source.PARTIAL,
    },
    Route.MAX: {"multiplier_1_a": Source.A, "multiplier_1_b": Source.SCALAR},
    Route.ARGMAX: {"multiplier_1_a": Source.A, "multiplier_1_b": Source.SCALAR},
}


class Control(wiring.Component):
    """Combinational control of the lanes.

    Parameters
    ----------
    schedule : Schedule
        When what is where.

    Members
    -------
    taps : ``In(taps_layout(schedule.taps))``
        Slots in flight.
    route : ``In(Route)``
        Route of the instruction.
    function : ``In(4)``
        Its variant.
    a_format, b_format, c_format, o_format : ``In(NumberFormat)``
        Formats of its operands and of its result.
    o : ``Out(LaneControl)``
        Control of all lanes.
    summed, kept, compared : ``Out(lanes)``
        Lanes whose number is summed, becomes the result, and is compared with others.
    compared_first : ``Out(1)``
        The numbers compared are the first of their row.
    phase : ``Out(range(partial_sums))``
        Partial sum that the second adders give.
    folded : ``Out(1)``
        The lanes give the sums of a row.
    """

    def __init__(self, schedule):
        self._schedule = schedule
        lanes = schedule.lanes
        super().__init__(
            {
                "taps": In(taps_layout(schedule.taps)),
                "route": In(Route),
                "function": In(4),
                "a_format": In(NumberFormat),
                "b_format": In(NumberFormat),
                "c_format": In(NumberFormat),
                "o_format": In(NumberFormat),
                "o": Out(LaneControl),
                "summed": Out(lanes),
                "kept": Out(lanes),
                "compared": Out(lanes),
                "compared_first": Out(1),
                "phase": Out(range(schedule.partial_sums)),
                "folded": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        schedule, route, taps = self._schedule, self.route, self.taps
        summing = (*SUMMED_ROWS, Route.TAIL)

        def at(name, place, *routes):
            return select(m, name, taps, route, of_routes(place, *routes))

        def mask(slot):
            whole = ~slot.last | (slot.rest == 0)
            edge = Cat(number < slot.rest for number in range(schedule.lanes))
            return (edge | whole.replicate(schedule.lanes)) & slot.live.replicate(schedule.lanes)

        # What the units take.
        m.d.comb += [
            getattr(self.o, name).eq(getattr(self, name))
            for name in ("a_format", "b_format", "c_format", "o_format")
        ]
        accumulated = at("accumulated", schedule.accumulate, *summing)
        m.d.comb += self.summed.eq(mask(accumulated))
        with m.Switch(route):
            for way, choices in ROUTES.items():
                with m.Case(way):
                    m.d.comb += [self.o[name].eq(value) for name, value in choices.items()]
                    if way in summing:
                        with m.If(accumulated.fresh):
                            m.d.comb += self.o.adder_2_b.eq(Source.ZERO)
        with m.Switch(route):
            with m.Case(Route.FUNCTION):
                m.d.comb += self.o.function.eq(self.function)
            with m.Case(*PAIRED):
                self._paired(m)
            with m.Case(Route.NORM):
                self._square(m)
                self._shift(m)
            with m.Case(Route.RMS):
                self._square(m)
            with m.Case(Route.SOFTMAX):
                m.d.comb += self.o.function.eq(Function.EXP)
            with m.Case(Route.TAIL):
                with m.If(self.function == 0):
                    m.d.comb += self.o.adder_1_b.eq(Source.SCALAR)

        # Which elements are compared, and which become results.
        compared = taps[schedule.compare]
        result = at("result", schedule.result)
        whole = (route == Route.TAIL).replicate(schedule.lanes)
        m.d.comb += [
            self.compared.eq(mask(compared) & compared.valid.replicate(schedule.lanes)),
            self.compared_first.eq(compared.first),
            self.kept.eq(mask(result) | whole),
        ]

        # Partial sums.
        partial = at("partial", lambda way: schedule.accumulate(way) + Adder.latency, *summing)
        folded = at("folded_slot", schedule.lane_sum, *SUMMED_ROWS)
        next_phase = Signal.like(self.phase)
        m.d.comb += [
            self.phase.eq(Mux(partial.valid & partial.fold, 0, next_phase)),
            self.folded.eq(folded.valid & folded.fold),
        ]
        m.d.sync += next_phase.eq(self.phase + 1)
        return m

    def _paired(self, m):
        """Let the two halves of each pair of cycles choose what enters the units used twice."""
        schedule, taps, route = self._schedule, self.taps, self.route
        m.d.comb += self.summed.eq(~0)
        with m.If((route == Route.SIGMOID) & (self.function == isa.Function.SIGMOID)):
            m.d.comb += self.o.multiplier_2_b.eq(Source.SCALAR)
        with m.If(route == Route.GELU_TANH):
            with m.If(taps[READ_LATENCY + 1].valid):
                m.d.comb += [
                    self.o.multiplier_1_a.eq(Source.A),
                    self.o.multiplier_1_b.eq(Source.A),
                ]
            with m.Else():
                m.d.comb += [
                    self.o.multiplier_1_a.eq(Source.ADDER_1),
                    self.o.multiplier_1_b.eq(Source.B),
                ]
            with m.If(taps[schedule.multiplier_2(Route.GELU_TANH)].valid):
                m.d.comb += [
                    self.o.multiplier_2_a.eq(Source.MULTIPLIER_1),
                    self.o.multiplier_2_b.eq(Source.SCALAR),
                ]
            with m.Else():
                m.d.comb += [
                    self.o.multiplier_2_a.eq(Source.LATE),
                    self.o.multiplier_2_b.eq(Source.C),
                    self.o.multiplier_2_down.eq(1),
                ]
        first = select(m, "first", taps, route, of_routes(schedule.first_function, *PAIRED))
        with m.If(first.valid):
            m.d.comb += [
                self.o.elementary_a.eq(
                    Mux(route == Route.GELU_TANH, Source.MULTIPLIER_1, Source.A)
                ),
                self.o.elementary_minus.eq(route != Route.GELU_ERF),
                self.o.function.eq(
                    Mux(route == Route.GELU_ERF, Function.NORMAL_TAIL, Function.EXP_SCALED)
                ),
            ]
        with m.Elif(route == Route.GELU_ERF):
            m.d.comb += [
                self.o.elementary_a.eq(Source.ADDER_1),
                self.o.elementary_minus.eq(1),
                self.o.elementary_half.eq(1),
                self.o.function.eq(Function.EXP),
            ]
        with m.Else():
            m.d.comb += [
                self.o.elementary_a.eq(Source.LATE),
                self.o.function.eq(Function.RECIPROCAL),
            ]

    def _square(self, m):
        """Square in the sweep before the last one."""
        squared = self.taps[self._schedule.multiplier_1(Route.NORM)]
        with m.If(squared.sweep == 1):
            m.d.comb += self.o.multiplier_1_b.eq(Source.ADDER_1)

    def _shift(self, m):
        """Add the shift, in the last sweep, where the other two sum."""
        shifted = self.taps[self._schedule.result(Route.NORM) - Adder.latency]
        with m.If(shifted.valid & (shifted.sweep == 2)):
            m.d.comb += [
                self.o.adder_2_a.eq(Source.MULTIPLIER_2),
                self.o.adder_2_b.eq(Source.C),
                self.summed.eq(~0),
            ]
