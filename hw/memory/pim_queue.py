"""Queue of PIM operations in front of the arbiter, and the vector bursts that belong to them."""

from amaranth.hdl import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from hw.config import Config
from hw.memory.commands import PimOperation, pim_layout
from hw.memory.guards import maximum_extent
from hw.pim.results import result_cycles, result_latency

__all__ = ["PimQueue", "operation_layout"]

#: Operations that wait (chosen: the arbiter takes one every second cycle).
DEPTH = 8


def operation_layout(config: Config) -> data.StructLayout:
    """Shape of a PIM operation in the queue: without data, with the times that it will take.

    ``extent`` are the cycles from issue to the last column, ``step`` those from a slot's first
    column to its last, ``first`` those from issue to the first result, and ``end`` those until a
    result of the next command may follow.
    """
    fields = {name: shape for name, shape in pim_layout(config).members.items() if name != "data"}
    extent = maximum_extent(config)
    end = extent + result_latency(config) + config.slots * (result_cycles(config) + 4)
    times = {
        "extent": bits_for(extent),
        "step": bits_for(config.columns * config.timing.nCCDL),
        "first": bits_for(end),
        "end": bits_for(end + config.timing.nTURN),
    }
    return data.StructLayout({**fields, **times})


class PimQueue(wiring.Component):
    """FIFO of PIM operations; a stage in front of it computes how long a GEMV takes.

    Latency 3 cycles; one operation a cycle.

    Members
    -------
    i : ``In(stream.Signature(pim_layout(config)))``
        Operations.
    head : ``Out(operation_layout(config))``, valid : ``Out(1)``
        The oldest operation.
    pop : ``In(1)``
        It leaves.
    fetch : ``In(1)``, vector : ``Out``
        The next vector burst, in the order of the GWRITE operations: asked for, and one cycle
        later there until the next is.
    empty : ``Out(1)``
        No operation is anywhere in the queue.
    """

    def __init__(self, config: Config):
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(pim_layout(config))),
                "head": Out(operation_layout(config)),
                "valid": Out(1),
                "pop": In(1),
                "fetch": In(1),
                "vector": Out(config.burst_bytes * 8),
                "empty": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, timing = self._config, self._config.timing
        layout = operation_layout(config)
        m.submodules.operations = fifo = SyncFIFOBuffered(width=layout.size, depth=DEPTH)
        # A burst outlives its operation by nCWL cycles: two operations leave in four cycles.
        places = 1 << (DEPTH + 2 + timing.nCWL // 2).bit_length()
        m.submodules.vectors = vectors = Memory(shape=config.burst_bytes * 8, depth=places, init=[])
        write_port = vectors.write_port()
        read_port = vectors.read_port()

        # Stage 1: the operation as it came.
        staged = Signal.like(self.i.payload)
        staged_valid = Signal()
        m.d.comb += self.i.ready.eq(~staged_valid | fifo.w_rdy)
        with m.If(self.i.ready):
            m.d.sync += [staged.eq(self.i.payload), staged_valid.eq(self.i.valid)]

        # Stage 2: its times. Results follow columns, or each other where columns are faster.
        entry = Signal(layout)
        turn = timing.nTURN if config.ranks > 1 else 0
        period = result_cycles(config) + turn
        latency = result_latency(config)
        columns = Signal(range(config.slots * config.columns + 1))
        # Not read back from the entry: for the compiled engine a signal is one, whatever its parts.
        extent = Signal.like(entry.extent)
        step = Signal.like(entry.step)
        first = Signal.like(entry.first)
        by_columns = Signal.like(entry.end)
        by_results = Signal.like(entry.end)
        m.d.comb += [
            *(
                entry[name].eq(staged[name])
                for name in layout.members
                if name in staged.shape().members
            ),
            columns.eq(staged.slots * staged.k),
            extent.eq((columns - 1) * timing.nCCDL),
            step.eq((staged.k - 1) * timing.nCCDL),
            first.eq(step + latency),
            entry.extent.eq(extent),
            entry.step.eq(step),
            entry.first.eq(first),
            by_columns.eq(extent + latency + period),
            by_results.eq(first + staged.slots * period),
            entry.end.eq(Mux(by_columns > by_results, by_columns, by_results)),
            fifo.w_data.eq(entry),
            fifo.w_en.eq(staged_valid & fifo.w_rdy),
        ]
        write_place = Signal(range(places))
        m.d.comb += [
            write_port.addr.eq(write_place),
            write_port.data.eq(staged.data),
            write_port.en.eq(fifo.w_en & (staged.operation == PimOperation.GWRITE)),
        ]
        m.d.sync += write_place.eq(write_place + write_port.en)

        # Stage 3: the oldest.
        read_place = Signal(range(places))
        m.d.comb += [
            self.head.eq(fifo.r_data),
            self.valid.eq(fifo.r_rdy),
            fifo.r_en.eq(self.pop),
            read_port.addr.eq(read_place),
            read_port.en.eq(self.fetch),
            self.vector.eq(read_port.data),
            self.empty.eq(~staged_valid & (fifo.level == 0)),
        ]
        m.d.sync += read_place.eq(read_place + self.fetch)
        return m
