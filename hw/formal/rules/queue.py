"""The queue of PIM operations as a property: what leaves is what entered, in order, with its times.

The proofs of the controller rest on it: they assume whole tiles where operations leave the queue.
"""

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config
from hw.controller.guards import gwrite_extent
from hw.controller.pim.queue import PimQueue
from hw.protocol.commands import PimOperation
from hw.protocol.results import result_cycles, result_latency

__all__ = ["QueueProof", "times_agree"]


def _times(config: Config, operation) -> dict[str, Value]:
    """Return slots, columns and times that an operation has in the queue, by their names there.

    A GEMV has those that its fields say; all others those of one column, but for the time that
    bursts of a row take.
    """
    gap = config.memory.timing.nCCDL
    latency = result_latency(config)
    period = result_cycles(config) + (config.memory.timing.nTURN if config.memory.ranks > 1 else 0)
    is_gemv = operation.operation == PimOperation.GEMV
    slots, k = Mux(is_gemv, operation.slots, 1), Mux(is_gemv, operation.k, 1)
    by_columns = (slots * k - 1) * gap
    from_row = operation.operation == PimOperation.GWRITE_ROW
    extent = Mux(from_row, gwrite_extent(config), by_columns)
    step = (k - 1) * gap
    last, results = extent + latency + period, step + latency + slots * period
    end = Mux(last > results, last, results)
    found = {"extent": extent, "step": step, "first": step + latency, "end": end}
    return {"slots": slots, "k": k, **found}


def times_agree(config: Config, operation) -> Value:
    """Return whether an operation in the queue has the times that its fields give."""
    times = _times(config, operation)
    is_gemv = operation.operation == PimOperation.GEMV
    is_result = operation.operation == PimOperation.RDRESULT
    agree = [operation[name] == value for name, value in times.items()]
    return Cat(*agree, is_gemv | (operation.read == is_result)).all()


#: Fields of which the proofs assume nothing.
_FREE = ("tiles", "length")


class QueueProof(wiring.Component):
    """The queue of PIM operations alone, and one operation, entered at any time, that is watched.

    Parameters
    ----------
    config
        Of the channel.

    Attributes
    ----------
    properties, strengthened
        Names, in the order of the bits of ``broken``; no lemma is needed.

    Members
    -------
    operation, valid, pop, watch : ``In``
        Free: the operation at the entry, whether it is there, whether the oldest leaves, and
        whether the one that enters is watched (the first such).
    broken : ``Out(properties)``
        A bit a property: broken in this cycle.
    """

    strengthened = ()

    def __init__(self, config: Config):
        self._config = config
        self._queue = PimQueue(config)
        layout = self._queue.head.shape()
        self._bits = [
            (name, bit)
            for name, shape in layout.members.items()
            if name not in _FREE
            for bit in range(Shape.cast(shape).width)
        ]
        self.properties = [
            f"the queue keeps the order of PIM operations: bit {bit} of {name}"
            for name, bit in self._bits
        ]
        super().__init__(
            {
                "operation": In(self._queue.i.payload.shape()),
                "valid": In(1),
                "pop": In(1),
                "watch": In(1),
                "broken": Out(len(self._bits)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.queue = queue = self._queue
        head, layout = queue.head, self.operation.shape()
        copied = {name for name, _bit in self._bits if name in layout.members}
        entered, left = Signal(), Signal()
        m.d.comb += [
            queue.i.payload.eq(self.operation),
            queue.i.valid.eq(self.valid),
            queue.pop.eq(self.pop & queue.valid),
            entered.eq(queue.i.valid & queue.i.ready),
            left.eq(queue.pop),
        ]
        inside, ahead = Signal(4), Signal(4)
        watched, watching, seen = Signal.like(head), Signal(), Signal()
        legal = Signal()  # the watched operation, if a GEMV, is within the row and the slots
        config, operation = self._config, self.operation
        is_gemv = operation.operation == PimOperation.GEMV
        is_result = operation.operation == PimOperation.RDRESULT
        columns = (operation.k != 0) & (operation.k <= config.memory.columns)
        slots = (operation.slots != 0) & (operation.slots <= config.pim.slots)
        m.d.sync += inside.eq(inside + entered - left)
        with m.If(entered & self.watch & ~seen):
            m.d.sync += [
                *(watched[name].eq(operation[name]) for name in copied),
                *(watched[name].eq(value) for name, value in _times(config, operation).items()),
                watched.read.eq((is_gemv & operation.read) | is_result),
                legal.eq(~is_gemv | (columns & slots)),
                watching.eq(1),
                seen.eq(1),
                ahead.eq(inside - left),
            ]
        with m.Elif(watching & left):
            m.d.sync += [ahead.eq(ahead - 1), watching.eq(ahead != 0)]
        oldest = watching & queue.valid & (ahead == 0)
        m.d.comb += self.broken.eq(
            Cat(
                oldest
                & (Value.cast(head[name])[bit] != Value.cast(watched[name])[bit])
                & (legal | (name in copied))
                for name, bit in self._bits
            )
        )
        return m
