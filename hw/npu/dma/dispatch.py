"""Dispatch: instructions of a load queue or the store queue go to the lanes that they name."""

from amaranth.hdl import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.config import TileConfig
from hw.npu.completion import Join
from hw.npu.dma.engine import Engine, descriptor_layout
from hw.npu.instruction import operand_layout
from hw.npu.memories.weight_ring import stripe_bytes
from hw.program.instruction_set import Opcode, Queue

__all__ = ["Dispatch"]


class Dispatch(wiring.Component):
    """Gives an instruction to an engine of every lane that takes part, and joins what they report.

    Weights concern all lanes, other transfers those in ``lanes``; a lane that is not named gets
    nothing. The instruction waits in a register until all of its lanes have taken it, each when it
    has room: none waits for another one. It is offered to them in the cycle after it was taken, and
    the next one is taken in the cycle after the last of them took it, so every second cycle at the
    most. Whether one is taken depends on registers of this unit alone.

    Completion: :class:`~hw.npu.completion.Join`.

    Parameters
    ----------
    engine : Engine
        The engines that serve the queue, whose number is the same.

    Members
    -------
    i : ``In(stream.Signature(operand_layout(queue)))``
        Instructions.
    o_{c} : ``Out(stream.Signature(descriptor_layout(engine)))``
        To lane c.
    lane_done : ``In(lanes)``
        Pulses: the oldest descriptor of a lane is complete.
    done : ``Out(1)``
        Pulse: the oldest instruction is complete.
    """

    def __init__(self, config: TileConfig, engine: Engine):
        self._config = config
        self._engine = engine
        self._queue = Queue(engine.value)
        lanes = config.memory.channels
        super().__init__(
            {
                "i": In(stream.Signature(operand_layout(self._queue))),
                **{
                    f"o_{c}": Out(stream.Signature(descriptor_layout(engine))) for c in range(lanes)
                },
                "lane_done": In(lanes),
                "done": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        lanes = self._config.memory.channels
        m.submodules.join = join = Join(lanes, 2 * self._config.npu.descriptors)

        held = Signal(operand_layout(self._queue))
        waiting = Signal(lanes)  # lanes that have not taken it
        taken = Signal()
        named = C(-1, lanes) if self._engine is Engine.LOAD else self.i.payload.lanes[:lanes]
        m.d.comb += [
            self.i.ready.eq(~waiting.any()),
            taken.eq(self.i.valid & self.i.ready),
            join.start.eq(taken),
            join.named.eq(named),
            join.i.eq(self.lane_done),
            self.done.eq(join.o),
        ]
        with m.If(taken):
            m.d.sync += [held.eq(self.i.payload), waiting.eq(named)]

        descriptor = Signal(descriptor_layout(self._engine))
        m.d.comb += [
            descriptor[field].eq(held[field]) for field in ("address", "bursts", "rows", "stride")
        ]
        if self._engine is Engine.LOAD:
            stripe_bits = exact_log2(stripe_bytes(self._config))
            m.d.comb += descriptor.place.eq(held.ring[stripe_bits:])
        else:
            m.d.comb += [
                descriptor.place.eq(held.lane_address),
                descriptor.place_stride.eq(held.lane_stride),
            ]
        if self._engine is Engine.TAIL:
            m.d.comb += descriptor.paged.eq(held.opcode == Opcode.LOAD_PAGES)
            m.d.comb += [descriptor[field].eq(held[field]) for field in ("pages", "list", "row")]
        for c in range(lanes):
            port = getattr(self, f"o_{c}")
            m.d.comb += [port.valid.eq(waiting[c]), port.payload.eq(descriptor)]
            with m.If(port.valid & port.ready):
                m.d.sync += waiting[c].eq(0)

        return m
