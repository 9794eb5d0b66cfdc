"""When the numbers of a slot are where."""

from dataclasses import dataclass

from amaranth.lib import enum

from hw.arith.adder import Adder
from hw.arith.elementary import Elementary
from hw.arith.multiplier import Multiplier
from hw.config import TileConfig
from hw.npu.vector.lanes.fold import SerialFold
from hw.npu.vector.lanes.lane import LATE_WAIT, Source
from hw.npu.vector.lanes.lane_tree import LaneTree
from hw.npu.vector.lanes.largest import Largest
from hw.npu.vector.ports import READ_LATENCY
from hw.program.instruction_set import Element, Function, Norm, Opcode, Reduce

__all__ = [
    "PAIRED",
    "SUMMED_ROWS",
    "SWEEPS",
    "Route",
    "Schedule",
    "route_of",
]


#: Tap at which an operand whose address was out at tap 0 is at the inputs of the units.
_OPERAND = READ_LATENCY + 1

#: Cycles from the write of a row's scalar to its first use.
_SCALAR_LATENCY = 3


class Route(enum.Enum, shape=5):
    """The ways through the lanes."""

    COPY = 0
    ADD = 1
    SUBTRACT = 2
    MULTIPLY = 3
    FUNCTION = 4
    GELU_TANH = 5
    NORM = 6
    SOFTMAX = 7
    TAIL = 8
    ARGMAX = 9
    TRANSPOSE = 10
    GELU_ERF = 11
    SIGMOID = 12
    GATE = 13
    RMS = 14
    ROTARY = 15
    SUM = 16
    MAX = 17


#: Routes whose rows are swept over again and again: by the number of sweeps.
SWEEPS = {Route.NORM: 3, Route.RMS: 2, Route.SOFTMAX: 3}

#: Routes that use the unit of elementary functions twice an element, an odd number of cycles apart.
PAIRED = (Route.GELU_TANH, Route.GELU_ERF, Route.SIGMOID, Route.GATE)

#: Routes that sum over the elements of a row.
SUMMED_ROWS = (*SWEEPS, Route.SUM)

_FUNCTION_ROUTES = {
    Function.GELU_TANH: Route.GELU_TANH,
    Function.GELU_ERF: Route.GELU_ERF,
    Function.SILU: Route.SIGMOID,
    Function.SIGMOID: Route.SIGMOID,
}


def route_of(opcode: Opcode, function: int) -> Route:
    """Return the way that an instruction takes."""
    if opcode == Opcode.ELEMENTWISE:
        return Route[Element(function).name]
    if opcode == Opcode.FUNCTION:
        return _FUNCTION_ROUTES.get(Function(function), Route.FUNCTION)
    if opcode == Opcode.NORM:
        return Route.RMS if function == Norm.RMS else Route.NORM
    if opcode == Opcode.REDUCE:
        return Route[Reduce(function).name]
    return Route[Opcode(opcode).name]


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """Places in time, in cycles from the issue of a slot (*taps*), and gaps between slots.

    A slot is issued in the cycle in which the first address of its elements goes out. The sums and
    the largest element of a row belong to one slot of it: that with ``fold``, and that with
    ``last``.

    Attributes
    ----------
    lanes, partial_sums
        Of a vector unit.
    units
        Vector units, which take rows in turn.
    run
        Numbers of a run that TRANSPOSE writes: a burst, or all lanes if they are fewer.
    banks
        Banks of a channel.
    """

    lanes: int
    partial_sums: int
    units: int
    run: int
    banks: int

    @classmethod
    def of(cls, config: TileConfig) -> "Schedule":
        """Return the schedule of a configuration's vector unit."""
        return cls(
            lanes=config.npu.lanes,
            partial_sums=config.npu.vector_partial_sums,
            units=config.npu.vector_units,
            run=min(config.memory.burst_bytes // 2, config.npu.lanes),
            banks=config.memory.banks,
        )

    def a(self, route: Route) -> int:
        """Return the tap at which the address of operand a is out; in TAIL a follows b."""
        return 1 if route is Route.TAIL else 0

    def b(self, route: Route) -> int:
        """Return the tap at which the address of operand b is out."""
        places: dict[Route, int] = {
            Route.GELU_TANH: self.second_multiply - _OPERAND,
            Route.GELU_ERF: Elementary.latency - Multiplier.latency,
            Route.GATE: self.last_multiply(Route.GATE) + Multiplier.latency - _OPERAND,
            Route.NORM: Adder.latency + Multiplier.latency,
            Route.RMS: Adder.latency + Multiplier.latency,
        }
        return places.get(route, 0)

    def c(self, route: Route) -> int:
        """Return the tap at which the address of operand c is out."""
        if route in PAIRED:
            return self.last_multiply(route) - _OPERAND
        return {
            Route.NORM: Adder.latency + 2 * Multiplier.latency,
            Route.TAIL: self.lane_sum(Route.TAIL) - _OPERAND,
        }.get(route, 0)

    @property
    def second_multiply(self) -> int:
        """Tap at which GELU_TANH multiplies its polynomial with x."""
        return _OPERAND + 2 * Multiplier.latency + Adder.latency

    def first_function(self, route: Route) -> int:
        """Return the tap at which elements of a paired route first enter the elementary unit."""
        if route is Route.GELU_TANH:
            return self.second_multiply + Multiplier.latency
        return _OPERAND

    def last_multiply(self, route: Route) -> int:
        """Return the tap at which a paired route multiplies x with the factor found for it."""
        functions = 2 * Elementary.latency + Adder.latency + LATE_WAIT[Source.ADDER_2]
        if route is Route.GELU_ERF:
            functions += Adder.latency
        if route is Route.GELU_TANH:
            functions += LATE_WAIT[Source.ELEMENTARY]
        return self.first_function(route) + functions

    def adder_1(self, route: Route) -> int:
        """Return the tap at which the shared term enters the first adder."""
        return _OPERAND + (Multiplier.latency if route is Route.SOFTMAX else 0)

    def multiplier_1(self, route: Route) -> int:
        """Return the tap at which the shared factor enters the first multiplier."""
        after: dict[Route, int] = {
            Route.NORM: Adder.latency,
            Route.RMS: Adder.latency,
            Route.TAIL: 1,
        }
        return _OPERAND + after.get(route, 0)

    def multiplier_2(self, route: Route) -> int:
        """Return the tap at which elements enter the second multiplier."""
        if route is Route.SOFTMAX:
            return self.accumulate(route)
        norm = route in (Route.NORM, Route.RMS)
        return _OPERAND + Multiplier.latency + (Adder.latency if norm else 0)

    def accumulate(self, route: Route) -> int:
        """Return the tap at which elements enter the second adder, to be summed."""
        before: dict[Route, int] = {
            Route.NORM: Adder.latency,
            Route.RMS: Adder.latency,
            Route.SOFTMAX: Adder.latency + Elementary.latency,
            Route.TAIL: 1,
            Route.SUM: 0,
        }
        return _OPERAND + Multiplier.latency + before[route]

    def lane_sum(self, route: Route) -> int:
        """Return the tap, from the slot with ``fold`` on, at which every lane has its sum."""
        return self.accumulate(route) + Adder.latency + SerialFold.latency_of(self.partial_sums)

    def row_sum(self, route: Route) -> int:
        """Return the tap, from the slot with ``fold`` on, at which the sum of the row is there."""
        return self.lane_sum(route) + LaneTree.latency_of(self.lanes, self.partial_sums)

    @property
    def compare(self) -> int:
        """Tap at which elements are compared; the first multiplier has scaled them before."""
        return _OPERAND + Multiplier.latency

    @property
    def largest(self) -> int:
        """Tap, from the slot with ``last`` on, at which the largest element of the row is there."""
        return self.compare + Largest.latency_of(self.lanes)

    def center(self, route: Route) -> int:
        """Return the tap at which what is subtracted from a row is there: mean or largest."""
        return self.largest if route is Route.SOFTMAX else self.row_sum(route) + Multiplier.latency

    def scale(self, route: Route) -> int:
        """Return the tap at which the factor of a row is there."""
        before = 0 if route is Route.SOFTMAX else Multiplier.latency + Adder.latency
        return self.row_sum(route) + before + Elementary.latency

    def result(self, route: Route) -> int:
        """Return the tap at which the lanes choose their result."""
        simple = {
            Route.MULTIPLY: Multiplier.latency,
            Route.FUNCTION: Elementary.latency,
            Route.ROTARY: Multiplier.latency + Adder.latency,
        }
        if route is Route.NORM:
            return self.multiplier_2(route) + Multiplier.latency + Adder.latency
        if route in (Route.SOFTMAX, Route.RMS):
            return self.multiplier_2(route) + Multiplier.latency
        if route in PAIRED:
            factors = 2 if route is Route.GATE else 1
            return self.last_multiply(route) + factors * Multiplier.latency
        if route is Route.TAIL:
            return self.lane_sum(route) + Adder.latency
        return _OPERAND + simple.get(route, Adder.latency)

    def write(self, route: Route) -> int:
        """Return the tap at which the result is written; TRANSPOSE has its own time."""
        if route in (Route.ARGMAX, Route.MAX):
            return self.largest
        if route is Route.SUM:
            return self.center(route)
        return self.result(route) + 1

    @property
    def taps(self) -> int:
        """Taps that anything looks at."""
        written = (self.write(route) for route in Route if route is not Route.TRANSPOSE)
        return 1 + max(*written, *(self.scale(route) for route in SWEEPS))

    def gap(self, route: Route, sweep: int) -> int:
        """Return the cycles between the first row of a sweep and the next sweep.

        A multiple of ``partial_sums``, so that sums of two sweeps do not meet in a serial tree.
        """
        if route is Route.SOFTMAX and sweep == 0:
            ready, used = self.center(route), self.adder_1(route)
        elif route is Route.SOFTMAX:
            ready, used = self.scale(route) - (self.partial_sums - 1), self.multiplier_2(route)
        elif sweep == 0:
            ready, used = self.center(route) - (self.partial_sums - 1), self.adder_1(route)
        else:
            ready, used = self.scale(route) - (self.partial_sums - 1), self.multiplier_1(route)
        cycles = max(0, ready - used + _SCALAR_LATENCY - 1)
        return -(-cycles // self.partial_sums) * self.partial_sums

    def group_gap(self, route: Route) -> int:
        """Return the cycles between groups: NORM uses its second adder later in the last sweep."""
        return self.partial_sums if route is Route.NORM else 0

    def period(self, route: Route) -> int:
        """Return the multiple of cycles after its first slot at which another one may start."""
        if route in PAIRED:
            return 2
        return self.partial_sums if route in SUMMED_ROWS or route is Route.TAIL else 1

    def slots(self, route: Route, n: int, m: int) -> int:
        """Return the slots of a block: live ones and padding."""
        if route is Route.TRANSPOSE:
            return self.run
        if route is Route.TAIL:
            return max(1, -(-m // self.partial_sums)) * self.partial_sums
        multiple = self.partial_sums if route in SUMMED_ROWS else 1
        return -(-n // (self.lanes * multiple)) * multiple
