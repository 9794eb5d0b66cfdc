"""Queue of PIM operations in front of the arbiter, and the vector bursts that belong to them."""

from amaranth.hdl import *
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.config import ChannelConfig
from hw.controller.guards import gwrite_extent
from hw.controller.pim.gemv_expander import GemvExpander
from hw.controller.pim.operation import operation_layout
from hw.protocol.commands import PimOperation, pim_layout
from hw.protocol.results import result_cycles, result_latency

__all__ = ["PimQueue"]

#: Operations that wait (chosen: the arbiter takes one every second cycle).
DEPTH = 8


class PimQueue(wiring.Component):
    """FIFO of PIM operations; a stage in front of it computes how long a GEMV takes.

    Where ``pim_commands`` is "separate", GEMVs come out as single products and results.

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

    def __init__(self, config: ChannelConfig):
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(pim_layout(config))),
                "head": Out(operation_layout(config)),
                "valid": Out(1),
                "pop": In(1),
                "fetch": In(1),
                "vector": Out(config.memory.burst_bytes * 8),
                "empty": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, timing = self._config, self._config.memory.timing
        layout = operation_layout(config)
        m.submodules.operations = fifo = SyncFIFOBuffered(width=layout.size, depth=DEPTH)
        # A burst outlives its operation by nCWL cycles: two operations leave in four cycles.
        places = 1 << (DEPTH + 2 + timing.nCWL // 2).bit_length()
        m.submodules.vectors = vectors = Memory(
            shape=config.memory.burst_bytes * 8, depth=places, init=[]
        )
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
        turn = timing.nTURN if config.memory.ranks > 1 else 0
        period = result_cycles(config) + turn
        latency = result_latency(config)
        # A single product or result takes the times of a GEMV of one column.
        from_row = staged.operation == PimOperation.GWRITE_ROW
        is_gemv = staged.operation == PimOperation.GEMV
        slots, k = Signal.like(staged.slots), Signal.like(staged.k)
        columns = Signal(range(config.pim.slots * config.memory.columns + 1))
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
                if name in staged.shape().members and name not in ("slots", "k", "read")
            ),
            entry.slots.eq(slots),
            entry.k.eq(k),
            entry.read.eq((is_gemv & staged.read) | (staged.operation == PimOperation.RDRESULT)),
            slots.eq(Mux(is_gemv, staged.slots, 1)),
            k.eq(Mux(is_gemv, staged.k, 1)),
            columns.eq(slots * k),
            extent.eq(Mux(from_row, gwrite_extent(config), (columns - 1) * timing.nCCDL)),
            step.eq((k - 1) * timing.nCCDL),
            first.eq(step + latency),
            entry.extent.eq(extent),
            entry.step.eq(step),
            entry.first.eq(first),
            by_columns.eq(extent + latency + period),
            by_results.eq(first + slots * period),
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
            self.valid.eq(fifo.r_rdy),
            read_port.addr.eq(read_place),
            read_port.en.eq(self.fetch),
            self.vector.eq(read_port.data),
            self.empty.eq(~staged_valid & (fifo.level == 0)),
        ]
        m.d.sync += read_place.eq(read_place + self.fetch)
        if config.controller.pim_commands == "separate":
            m.submodules.expander = expander = GemvExpander(config)
            m.d.comb += [
                expander.i.eq(fifo.r_data),
                self.head.eq(expander.o),
                expander.o_pop.eq(self.pop),
                fifo.r_en.eq(expander.i_pop),
            ]
        else:
            m.d.comb += [self.head.eq(fifo.r_data), fifo.r_en.eq(self.pop)]
        return m
