"""One lane of the vector unit: two multipliers, two adders, one unit of elementary functions."""

from amaranth.hdl import *
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.adder import Adder
from hw.arith.bf16 import BF16
from hw.arith.binary32 import Binary32
from hw.arith.convert import narrow, widen
from hw.arith.elementary import Elementary, Function
from hw.arith.multiplier import Multiplier
from hw.arith.quadratic import POWER
from hw.npu.vector.lanes.fold import SerialFold
from hw.npu.vector.ports import NumberFormat
from hw.repeated import repeated

__all__ = ["LATE_WAIT", "Lane", "LaneControl", "Source"]

_UP = (127 + POWER) << 23  # 2¹²
_DOWN = (127 - POWER) << 23  # 2⁻¹²


class Source(enum.Enum, shape=5):
    """Where a number comes from."""

    ZERO = 0
    DOWN = 1  #: 2⁻¹²
    A = 2  #: operands
    B = 3
    C = 4
    SCALAR = 5  #: the number that all lanes share at this place
    MULTIPLIER_1 = 6  #: the units
    ADDER_1 = 7
    ELEMENTARY = 8
    MULTIPLIER_2 = 9
    ADDER_2 = 10
    LATE = 11  #: of ADDER_2 or ELEMENTARY, some cycles later (GELU)
    PARTIAL = 12  #: the partial sum that is next
    FOLD = 13  #: the folded partial sums
    STEP = 14  #: 2¹² where operand b was positive, else +0 (GELU_ERF)
    COSINE = 15  #: of the pair of lanes: the even one's operand b, and the odd one's
    SINE = 16
    PARTNER = 17  #: operand a of the other lane of the pair
    TURN = 18  #: of MULTIPLIER_2, in even lanes its negative


#: What can be chosen for each input of the units, and as the result.
INPUTS = {
    "multiplier_1_a": (Source.A, Source.B, Source.ADDER_1, Source.MULTIPLIER_2),
    "multiplier_1_b": (Source.A, Source.B, Source.SCALAR, Source.ADDER_1, Source.COSINE),
    "adder_1_a": (Source.A, Source.MULTIPLIER_1, Source.MULTIPLIER_2, Source.FOLD),
    "adder_1_b": (Source.B, Source.C, Source.SCALAR, Source.ELEMENTARY, Source.TURN),
    "elementary_a": (Source.A, Source.ADDER_1, Source.MULTIPLIER_1, Source.LATE),
    "multiplier_2_a": (
        *(Source.MULTIPLIER_1, Source.ELEMENTARY, Source.LATE, Source.ADDER_2, Source.PARTNER),
    ),
    "multiplier_2_b": (Source.B, Source.C, Source.SCALAR, Source.SINE),
    "adder_2_a": (Source.MULTIPLIER_1, Source.MULTIPLIER_2, Source.ELEMENTARY),
    "adder_2_b": (Source.ZERO, Source.PARTIAL, Source.C, Source.DOWN, Source.STEP),
    "result": tuple(Source)[Source.MULTIPLIER_1.value : Source.ADDER_2.value + 1],
}

#: Cycles for which GELU_ERF keeps the sign of operand b: from the multiplication of the square to
#: the step; see :class:`hw.npu.vector.issue.schedule.Schedule`.
SIGN_WAIT = Multiplier.latency + Adder.latency + Elementary.latency

#: Cycles that each of GELU's late numbers waits. A pair of elements comes every second cycle, so
#: the two uses of a unit must be an odd number of cycles apart.
LATE_WAIT = {
    Source.ADDER_2: Elementary.latency % 2,
    Source.ELEMENTARY: 1 - Elementary.latency % 2,
}


class LaneControl(data.Struct):
    """What the units of every lane take in this cycle; see :data:`INPUTS` for the choices."""

    a_format: NumberFormat
    b_format: NumberFormat
    c_format: NumberFormat
    multiplier_1_a: Source
    multiplier_1_b: Source
    adder_1_a: Source
    adder_1_b: Source
    adder_1_minus: 1  #: subtract
    elementary_a: Source
    elementary_minus: 1  #: of the negative
    elementary_half: 1  #: of the half
    function: Function
    multiplier_2_a: Source
    multiplier_2_b: Source
    multiplier_2_down: 1  #: times 2⁻¹²
    adder_2_a: Source
    adder_2_b: Source
    adder_2_step: 1  #: subtract where operand b was positive
    result: Source
    o_format: NumberFormat


class Scalars(data.Struct):
    """The numbers that all lanes share, by where they enter."""

    multiplier_1_b: Binary32
    adder_1_b: Binary32
    multiplier_2_b: Binary32


@repeated
class Lane(wiring.Component):
    """Arithmetic of one lane: units whose inputs are chosen anew in every cycle.

    Operands enter through registers, results leave through one. Everything runs freely: there is no
    valid and no backpressure. The second adder keeps ``partial_sums`` sums, which pass through it
    in turn.

    Parameters
    ----------
    partial_sums : int
        Partial sums of a lane, a power of two of at least :attr:`Adder.latency`.
    odd : bool
        Whether it is the odd one of a pair of lanes.

    Members
    -------
    a, b, c : ``In(32)``
        Operands: a binary32, or a bfloat16 in the lower half.
    partner_a, partner_b : ``In(Binary32)``
        What the pair's other lane has as :attr:`operand_a` and :attr:`operand_b`.
    operand_a, operand_b : ``Out(Binary32)``
        Operands in binary32, a cycle later.
    scalars : ``In(Scalars)``
        What all lanes share.
    control : ``In(LaneControl)``
        What the units take.
    phase : ``In(range(partial_sums))``
        Partial sum that the second adder gives.
    summed : ``In(1)``
        The first term of the second adder counts; else it is +0.
    kept : ``In(1)``
        The result counts; else it is +0.
    product : ``Out(Binary32)``
        What the first multiplier gives.
    sum : ``Out(Binary32)``
        Folded partial sums, ``SerialFold.latency_of(partial_sums)`` cycles after the first of them.
    o : ``Out(32)``
        Result: a binary32, or a bfloat16 in the lower half.
    """

    def __init__(self, partial_sums, *, odd=False):
        self._partial_sums = partial_sums
        self._odd = odd
        super().__init__(
            {
                "a": In(32),
                "b": In(32),
                "c": In(32),
                "partner_a": In(Binary32),
                "partner_b": In(Binary32),
                "operand_a": Out(Binary32),
                "operand_b": Out(Binary32),
                "scalars": In(Scalars),
                "control": In(LaneControl),
                "phase": In(range(partial_sums)),
                "summed": In(1),
                "kept": In(1),
                "product": Out(Binary32),
                "sum": Out(Binary32),
                "o": Out(32),
            }
        )

    def elaborate(self, platform):
        m = Module()
        control = self.control

        # Operands.
        operands = {}
        for name in ("a", "b", "c"):
            raw = getattr(self, name)
            operands[name] = operand = Signal(Binary32, reset_less=True, name=f"operand_{name}")
            wide = widen(BF16(raw[:16]))
            m.d.sync += operand.eq(
                Mux(control[f"{name}_format"] == NumberFormat.BF16, wide.as_value(), raw)
            )

        # Units.
        m.submodules.multiplier_1 = multiplier_1 = Multiplier()
        m.submodules.adder_1 = adder_1 = Adder()
        m.submodules.elementary = elementary = Elementary()
        m.submodules.multiplier_2 = multiplier_2 = Multiplier(power=-POWER)
        m.submodules.adder_2 = adder_2 = Adder()
        m.submodules.fold = fold = SerialFold(self._partial_sums)

        def delayed(number, cycles, name):
            for cycle in range(1, cycles + 1):
                earlier = number
                number = Signal(Binary32, reset_less=True, name=f"{name}_{cycle}")
                m.d.sync += number.eq(earlier)
            return number

        partial = delayed(adder_2.o, self._partial_sums - Adder.latency, "partial")
        late_sum = delayed(adder_2.o, LATE_WAIT[Source.ADDER_2], "late_sum")
        late_function = delayed(elementary.o, LATE_WAIT[Source.ELEMENTARY], "late_function")

        # GELU_ERF: where the operand was positive, the step is up, and what enters subtracts.
        signs = Signal(SIGN_WAIT, reset_less=True)
        m.d.sync += signs.eq(Cat(operands["b"].sign, signs))
        positive = ~signs[-1]

        # ROTARY.
        even, odd = operands["b"], self.partner_b
        if self._odd:
            even, odd = odd, even
        turn = Signal(Binary32)
        m.d.comb += [
            turn.eq(multiplier_2.o),
            turn.sign.eq(multiplier_2.o.sign ^ (not self._odd)),
        ]

        # What enters them.
        numbers = {
            Source.ZERO: C(0, 32),
            Source.DOWN: C(_DOWN, 32),
            Source.A: operands["a"],
            Source.B: operands["b"],
            Source.C: operands["c"],
            Source.MULTIPLIER_1: multiplier_1.o,
            Source.ADDER_1: adder_1.o,
            Source.ELEMENTARY: elementary.o,
            Source.MULTIPLIER_2: multiplier_2.o,
            Source.ADDER_2: adder_2.o,
            Source.PARTIAL: partial,
            Source.FOLD: fold.o,
            Source.STEP: Mux(positive, _UP, 0),
            Source.COSINE: even,
            Source.SINE: odd,
            Source.PARTNER: self.partner_a,
            Source.TURN: turn,
        }
        chosen = {}
        for name, sources in INPUTS.items():
            chosen[name] = number = Signal(Binary32, name=f"chosen_{name}")
            late = late_sum if name == "elementary_a" else late_function
            local = {**numbers, Source.LATE: late}
            if Source.SCALAR in sources:
                local[Source.SCALAR] = self.scalars[name]
            with m.Switch(control[name]):
                for source in sources:
                    with m.Case(source):
                        m.d.comb += number.eq(local[source])
        exponent = chosen["elementary_a"].exponent
        halved = control.elementary_half & exponent.any() & ~exponent.all()
        added = Signal(Binary32)
        m.d.comb += [
            added.eq(chosen["adder_2_a"]),
            added.sign.eq(chosen["adder_2_a"].sign ^ (control.adder_2_step & positive)),
        ]
        m.d.comb += [
            multiplier_1.a.eq(chosen["multiplier_1_a"]),
            multiplier_1.b.eq(chosen["multiplier_1_b"]),
            adder_1.a.eq(chosen["adder_1_a"]),
            adder_1.b.eq(chosen["adder_1_b"]),
            adder_1.b.sign.eq(chosen["adder_1_b"].sign ^ control.adder_1_minus),
            elementary.a.eq(chosen["elementary_a"]),
            elementary.a.sign.eq(chosen["elementary_a"].sign ^ control.elementary_minus),
            elementary.a.exponent.eq(exponent - halved),
            elementary.function.eq(control.function),
            multiplier_2.a.eq(chosen["multiplier_2_a"]),
            multiplier_2.b.eq(chosen["multiplier_2_b"]),
            multiplier_2.scaled.eq(control.multiplier_2_down),
            adder_2.a.eq(Mux(self.summed, added.as_value(), 0)),
            adder_2.b.eq(chosen["adder_2_b"]),
            fold.i.eq(adder_2.o),
            fold.phase.eq(self.phase),
        ]

        # Results.
        result = Signal(Binary32)
        m.d.comb += [
            result.eq(Mux(self.kept, chosen["result"].as_value(), 0)),
            self.operand_a.eq(operands["a"]),
            self.operand_b.eq(operands["b"]),
            self.product.eq(multiplier_1.o),
            self.sum.eq(fold.o),
        ]
        m.d.sync += self.o.eq(
            Mux(control.o_format == NumberFormat.BF16, narrow(result).as_value(), result.as_value())
        )
        return m
