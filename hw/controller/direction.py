"""Turns: reads or writes, and when results of PIM and vector bursts yield to an aged request.

Direction: writes when no read can be served, or at the high watermark, or if a tile or a GWRITE
waits for a write; but after at least one read of this turn. Reads again when no write can be
served, or at the low watermark if nothing forces writes, or after TURN writes; but after at least
one write. Where the oldest of one kind is aged and that of the other is not, its turn comes at
once: the other kind may wait for it, or for a row that planned activations keep closed. A turn does
not end while its oldest request is aged.

Results of PIM drive the data bus. Those of short tiles, one after the other, could keep it from an
aged request for ever; aged requests, one after the other, could keep it from a result. So a command
with results that could issue yields to one burst of an aged request of the current direction whose
row is open, and then issues. So does a vector burst, to a request of either direction, from the
cycle on in which it is the oldest operation: it keeps its direction of the data bus, or its bank,
from the requests while it waits.
"""

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import ChannelConfig
from hw.controller.requests.burst_run import queue_layout

__all__ = ["TURN", "Turn"]

#: Writes after which reads come again if any can be served (chosen: four times what the change of
#: direction costs).
TURN = 32


class Turn(wiring.Component):
    """Decides whether reads or writes are served, and what yields to them.

    Members
    -------
    reads, writes : ``In(queue_layout(config))``
        The request queues.
    write_forced : ``In(1)``
        A GWRITE from a row waits for a write.
    take, take_aged : ``In(1)``
        A burst of a request is served; the request is the oldest of its kind, and aged.
    result_ready : ``In(1)``
        A command with results could issue in this cycle.
    vector_waits, vector_issues : ``In(1)``
        A vector burst is the oldest operation; it leaves in this cycle.
    writing : ``Out(1)``
        Writes are served.
    results_yield, vector_yields : ``Out(1)``
        No command with results issues in this cycle; the vector burst asks for nothing.
    """

    def __init__(self, config: ChannelConfig):
        self._config = config
        super().__init__(
            {
                "reads": In(queue_layout(config)),
                "writes": In(queue_layout(config)),
                "write_forced": In(1),
                "take": In(1),
                "take_aged": In(1),
                "result_ready": In(1),
                "vector_waits": In(1),
                "vector_issues": In(1),
                "writing": Out(1),
                "results_yield": Out(1),
                "vector_yields": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, reads, writes = self._config, self.reads, self.writes
        served = Signal(range(TURN + 1))  # requests of this turn
        forced = writes.before_tile | writes.aged | self.write_forced
        due = ((writes.count >= config.controller.write_high) | forced) & (served != 0)
        to_writes = writes.any_free & (~reads.any_free | (~reads.aged & (writes.aged | due)))
        enough = ((writes.count <= config.controller.write_low) & ~forced) | (served == TURN)
        over = enough & (served != 0)
        to_reads = reads.any_free & (~writes.any_free | (~writes.aged & (reads.aged | over)))
        with m.If(Mux(self.writing, to_reads, to_writes)):
            m.d.sync += [self.writing.eq(~self.writing), served.eq(0)]
        with m.Elif(self.take & (served != TURN)):
            m.d.sync += served.eq(served + 1)

        yielded = Signal()
        aged = Mux(self.writing, writes.aged, reads.aged)
        needs_row = Mux(self.writing, writes.needs_row, reads.needs_row)
        m.d.comb += self.results_yield.eq(aged & ~needs_row & ~yielded)
        with m.If(self.result_ready):
            m.d.sync += yielded.eq(self.take_aged & self.results_yield)

        vector_yielded = Signal()
        m.d.comb += self.vector_yields.eq((reads.aged | writes.aged) & ~vector_yielded)
        with m.If(self.vector_issues):
            m.d.sync += vector_yielded.eq(0)
        with m.Elif(self.vector_waits & self.take_aged):
            m.d.sync += vector_yielded.eq(1)
        return m
