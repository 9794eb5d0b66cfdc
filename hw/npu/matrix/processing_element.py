"""Processing element of the systolic array: a weight that stays, and its product."""

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.bf16 import BF16
from hw.arith.binary32 import Binary32
from hw.arith.multiplier import ProductBF16
from hw.repeated import repeated

__all__ = ["ProcessingElement"]


@repeated
class ProcessingElement(wiring.Component):
    """One multiplier of a weight-stationary systolic array, its weight and the next one.

    The shadow weight can be loaded at any time. An activation that comes with ``swap`` is the first
    that is multiplied by it; the shadow weight may be loaded anew in that very cycle. The products
    of a column are summed outside.

    A product leaves :attr:`latency` cycles after its activation, and an activation may enter every
    cycle. The unit runs freely: there is no valid and no backpressure.

    Members
    -------
    activation : ``In(BF16)``
        What the weight is multiplied by.
    swap : ``In(1)``
        From this activation on, the weight is the present shadow weight.
    load : ``In(1)``
        Replace the shadow weight.
    weight : ``In(BF16)``
        The new shadow weight.
    o : ``Out(Binary32)``
        Product, exact but for underflow and overflow.
    """

    latency = 1 + ProductBF16.latency  #: Cycles from activation to product.

    activation: In(BF16)
    swap: In(1)
    load: In(1)
    weight: In(BF16)
    o: Out(Binary32)

    def elaborate(self, platform):
        m = Module()

        # Stage 1: the activation has crossed the array; its weight is chosen.
        shadow_weight = Signal(BF16)
        used_activation = Signal(BF16)
        used_weight = Signal(BF16)
        m.d.sync += used_activation.eq(self.activation)
        with m.If(self.swap):
            m.d.sync += used_weight.eq(shadow_weight)
        with m.If(self.load):
            m.d.sync += shadow_weight.eq(self.weight)

        # Stage 2: multiply.
        m.submodules.product = product = ProductBF16()
        m.d.comb += [
            product.a.eq(used_activation),
            product.b.eq(used_weight),
            self.o.eq(product.o),
        ]

        return m
