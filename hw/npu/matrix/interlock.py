"""Interlocks of the matrix unit: which instruction may start, so that program order is kept."""

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["MatrixInterlock"]


class MatrixInterlock(wiring.Component):
    """Keeps GEMMs behind their weights, and GEMMs and DRAINs of one half in order.

    Program order is the order of the ``take`` pulses, at most one a cycle. For each half and kind
    the instructions taken, and those whose work on the accumulators is over, are counted; an
    instruction remembers how many of the other kind were taken before it. Permissions concern
    the instruction taken last that has not started: only one of each kind may wait.

    Parameters
    ----------
    in_flight : int
        GEMMs that may be taken and not complete, at most.

    Members
    -------
    take_gemm, take_drain : ``In(1)``
        Pulses: an instruction is taken.
    gemm_half, drain_half : ``In(1)``
        Its half of the accumulators.
    complete, complete_half : ``In(1)``
        Pulse: a GEMM has written its last row, into which half.
    drained, drained_half : ``In(1)``
        Pulse: a DRAIN has read its last row, of which half.
    weights_start, weights_ready, gemm_start : ``In(1)``
        Pulses: a weight tile begins to enter the shadow; a GEMM may start from now on and find
        it there; a GEMM starts.
    shadow_free : ``Out(1)``
        A weight tile may begin to enter the shadow.
    gemm_go, drain_go : ``Out(1)``
        The instruction that waits may start.
    """

    def __init__(self, in_flight: int):
        self._in_flight = in_flight
        inputs = (
            *("take_gemm", "gemm_half", "take_drain", "drain_half"),
            *("complete", "complete_half", "drained", "drained_half"),
            *("weights_start", "weights_ready", "gemm_start"),
        )
        outputs = ("shadow_free", "gemm_go", "drain_go")
        super().__init__({name: In(1) for name in inputs} | {name: Out(1) for name in outputs})

    def elaborate(self, platform):
        m = Module()

        # The shadow: free, being filled, ready.
        shadow_free = Signal(init=1)
        shadow_ready = Signal()
        m.d.comb += self.shadow_free.eq(shadow_free)
        with m.If(self.weights_ready):
            m.d.sync += shadow_ready.eq(1)
        with m.If(self.weights_start):
            m.d.sync += shadow_free.eq(0)
        with m.If(self.gemm_start):
            m.d.sync += [shadow_free.eq(1), shadow_ready.eq(0)]

        # Halves of the accumulators; counts wrap around.
        def counter(name, event, event_half):
            counts = Array(Signal(range(self._in_flight + 1), name=f"{name}_{h}") for h in range(2))
            with m.If(event):
                m.d.sync += counts[event_half].eq(counts[event_half] + 1)
            return counts

        gemms_taken = counter("gemms_taken", self.take_gemm, self.gemm_half)
        gemms_complete = counter("gemms_complete", self.complete, self.complete_half)
        drains_taken = counter("drains_taken", self.take_drain, self.drain_half)
        drains_read = counter("drains_read", self.drained, self.drained_half)

        gemm_half, drain_half = Signal(), Signal()  # of those that wait
        drains_before, gemms_before = Signal.like(drains_taken[0]), Signal.like(gemms_taken[0])
        with m.If(self.take_gemm):
            m.d.sync += [
                gemm_half.eq(self.gemm_half),
                drains_before.eq(drains_taken[self.gemm_half]),
            ]
        with m.If(self.take_drain):
            m.d.sync += [
                drain_half.eq(self.drain_half),
                gemms_before.eq(gemms_taken[self.drain_half]),
            ]
        m.d.comb += [
            self.gemm_go.eq(
                (shadow_ready | self.weights_ready) & (drains_read[gemm_half] == drains_before)
            ),
            self.drain_go.eq(gemms_complete[drain_half] == gemms_before),
        ]

        return m
