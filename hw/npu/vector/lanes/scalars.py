"""Numbers that all lanes share: constants, and what the sums of a row become."""

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.arith.adder import Adder
from hw.arith.binary32 import Binary32
from hw.arith.elementary import Elementary, Function
from hw.arith.multiplier import Multiplier
from hw.npu.vector.golden import GELU_C0, GELU_C1
from hw.npu.vector.issue.issuer import GROUP_ROWS
from hw.npu.vector.issue.issues_in_flight import of_routes, select, taps_layout
from hw.npu.vector.issue.schedule import SWEEPS, Route
from hw.npu.vector.lanes.lane import Scalars

__all__ = ["RowScalars"]

_ONE = 0x3F800000
_MINUS_ZERO = 0x80000000


class RowScalars(wiring.Component):
    """Center and scale of each row of a group, and which scalar enters the lanes where.

    NORM: center = sum of the first sweep · x, scale = rsqrt(sum of the second · x + y); RMS has
    only the scale.
    SOFTMAX: center = largest element, or zero if that is -infinity or a NaN; scale = 1 / sum, or
    zero if the sum is. Centers are kept with the opposite sign, ready to be added.

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
    x, y : ``In(Binary32)``
        Constants of the instruction.
    sum : ``In(Binary32)``
        Sum of a row.
    largest : ``In(Binary32)``
        Largest element of a row.
    weight : ``In(Binary32)``
        Weight of a token (TAIL).
    o : ``Out(Scalars)``
        Numbers for all lanes.
    reduced : ``Out(Binary32)``
        What SUM and MAX make of a row.
    """

    def __init__(self, schedule):
        self._schedule = schedule
        super().__init__(
            {
                "taps": In(taps_layout(schedule.taps)),
                "route": In(Route),
                "x": In(Binary32),
                "y": In(Binary32),
                "sum": In(Binary32),
                "largest": In(Binary32),
                "weight": In(Binary32),
                "o": Out(Scalars),
                "reduced": Out(Binary32),
            }
        )

    def elaborate(self, platform):
        m = Module()
        schedule, route = self._schedule, self.route

        def at(name, place, *routes):
            return select(m, name, self.taps, route, of_routes(place, *routes))

        # From the sum of a row to its scalars.
        m.submodules.multiplier = multiplier = Multiplier()
        m.submodules.adder = adder = Adder()
        m.submodules.elementary = elementary = Elementary()
        softmax = route == Route.SOFTMAX
        m.d.comb += [
            multiplier.a.eq(self.sum),
            multiplier.b.eq(self.x),
            adder.a.eq(multiplier.o),
            adder.b.eq(self.y),
            elementary.a.eq(Mux(softmax, self.sum.as_value(), adder.o.as_value())),
            elementary.function.eq(Mux(softmax, Function.RECIPROCAL, Function.RSQRT)),
        ]
        m.d.comb += self.reduced.eq(
            Mux(route == Route.MAX, self.largest.as_value(), multiplier.o.as_value())
        )
        center = Signal(Binary32)
        scale = Signal(Binary32)
        nothing = self.largest.exponent.all() & (self.largest.sign | self.largest.fraction.any())
        infinite = elementary.o.exponent.all() & ~elementary.o.fraction.any()
        m.d.comb += [center.eq(multiplier.o), scale.eq(elementary.o)]
        with m.If(softmax):
            m.d.comb += center.eq(Mux(nothing, 0, self.largest.as_value()))
            with m.If(infinite):
                m.d.comb += scale.eq(0)

        # They wait for the next sweeps.
        m.submodules.centers = centers = Memory(shape=32, depth=GROUP_ROWS, init=[])
        m.submodules.scales = scales = Memory(shape=32, depth=GROUP_ROWS, init=[])
        center_write, center_read = centers.write_port(), centers.read_port()
        scale_write, scale_read = scales.write_port(), scales.read_port()
        center_made = at("center_made", schedule.center, *SWEEPS)
        scale_made = at("scale_made", schedule.scale, *SWEEPS)
        row_done = Mux(softmax, center_made.last, center_made.fold)
        m.d.comb += [
            center_write.addr.eq(center_made.row),
            center_write.data.eq(Cat(center.as_value()[:31], ~center.sign)),
            center_write.en.eq(center_made.valid & row_done & (center_made.sweep == 0)),
            scale_write.addr.eq(scale_made.row),
            scale_write.data.eq(scale),
            scale_write.en.eq(scale_made.valid & scale_made.fold & (scale_made.sweep == 1)),
        ]

        # They are read two cycles before their use, and in the cycle between stand at the ports.
        def scale_use(way):
            softmax = way is Route.SOFTMAX
            return schedule.multiplier_2(way) if softmax else schedule.multiplier_1(way)

        to_center = at("to_center", lambda way: schedule.adder_1(way) - 2, *SWEEPS)
        to_scale = at("to_scale", lambda way: scale_use(way) - 2, *SWEEPS)
        m.d.comb += [center_read.addr.eq(to_center.row), scale_read.addr.eq(to_scale.row)]
        centered = self.taps[schedule.adder_1(Route.NORM) - 1].sweep != 0
        scaled = self.taps[schedule.multiplier_1(Route.NORM) - 1].sweep != 0

        with m.Switch(route):
            with m.Case(Route.COPY):
                m.d.sync += self.o.adder_1_b.eq(_MINUS_ZERO)
            with m.Case(Route.GELU_TANH):
                m.d.sync += [
                    self.o.adder_1_b.eq(int(GELU_C0.view("u4"))),
                    self.o.multiplier_2_b.eq(int(GELU_C1.view("u4"))),
                ]
            with m.Case(Route.NORM):
                m.d.sync += [
                    self.o.adder_1_b.eq(Mux(centered, center_read.data, _MINUS_ZERO)),
                    self.o.multiplier_1_b.eq(Mux(scaled, scale_read.data, _ONE)),
                ]
            with m.Case(Route.RMS):
                m.d.sync += [
                    self.o.adder_1_b.eq(_MINUS_ZERO),
                    self.o.multiplier_1_b.eq(scale_read.data),
                ]
            with m.Case(Route.SOFTMAX):
                m.d.sync += [
                    self.o.multiplier_1_b.eq(self.x),
                    self.o.adder_1_b.eq(center_read.data),
                    self.o.multiplier_2_b.eq(scale_read.data),
                ]
            with m.Case(Route.TAIL):
                m.d.sync += [self.o.multiplier_1_b.eq(self.weight), self.o.adder_1_b.eq(0)]
            with m.Case(Route.SIGMOID):
                m.d.sync += self.o.multiplier_2_b.eq(_ONE)
            with m.Case(Route.SUM, Route.MAX, Route.ARGMAX):
                m.d.sync += self.o.multiplier_1_b.eq(_ONE)
        return m
