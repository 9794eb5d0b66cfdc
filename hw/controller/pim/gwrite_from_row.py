"""PIM_GWRITE from a row: the row that it needs open, and when it may read it."""

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import ChannelConfig
from hw.controller.guards import ready_layout
from hw.controller.pim.operation import operation_layout
from hw.controller.row_state import rows_conflict, tile_layout
from hw.protocol.commands import PimOperation, bus_layout

__all__ = ["VectorRow"]


class VectorRow(wiring.Component):
    """Serves a GWRITE_ROW operation: PRE and ACT if its row is not open, then PIM_GWRITE.

    The order on its row is that of acceptance: the operation is accepted when it is the oldest one,
    waits until the writes to its row that were accepted before are done, and no write to
    that row is accepted before it is done. Its ACT is PIM's: no planned activation bars it. One
    burst of an aged request comes before it, and all of them while it waits for a write, whose turn
    may be after theirs. One whose row keeps that of an open tile from being there at the same
    time could never be served, since PIM operations are in order: it is skipped.

    ``hit`` and ``pending``, which compare rows with many, are registered: what they say counts in
    the next cycle, if the operation is still there.

    Members
    -------
    head : ``In(operation_layout(config))``, head_valid : ``In(1)``
        The oldest PIM operation.
    closing, yields : ``In(1)``
        A refresh, an aged request comes first.
    aged : ``In(1)``
        There is an aged request.
    tile : ``In(tile_layout(config))``
        The PIM tile.
    open : ``In(banks)``, hit : ``In(1)``
        Banks with an open MEM row; whether the operation's row is open.
    ready : ``In(ready_layout(config))``
        What the guards allow.
    pending : ``In(1)``
        A write to the row is not done.
    half_free : ``In(1)``
        No GEMV reads the half of the vector buffer that the operation writes.
    pop : ``In(1)``
        The operation leaves its queue.
    request_bank, request_row : ``In``, bars : ``Out(1)``
        A write to this row must not be accepted now.
    accept : ``Out(1)``
        The operation is accepted in this cycle, in which no request may be.
    waits : ``Out(1)``
        The operation waits for a write.
    skip : ``Out(1)``
        The operation leaves its queue without a command.
    close, activate, gwrite : ``Out(1)``
        Command wanted now, and allowed.
    bars_writes : ``Out(banks)``
        Banks to which no WR may issue now: one after the other in the same rank, they would keep it
        from turning to the read that PIM_GWRITE is.
    hold, stop : ``Out(banks)``
        Bank whose open row must not be closed; bank whose open row must not be used any more.
    """

    def __init__(self, config: ChannelConfig):
        self._config = config
        bus = bus_layout(config)
        super().__init__(
            {
                "head": In(operation_layout(config)),
                "head_valid": In(1),
                "closing": In(1),
                "yields": In(1),
                "aged": In(1),
                "tile": In(tile_layout(config)),
                "open": In(config.memory.banks),
                "hit": In(1),
                "ready": In(ready_layout(config)),
                "pending": In(1),
                "half_free": In(1),
                "request_bank": In(bus["bank"].shape),
                "request_row": In(bus["row"].shape),
                "pop": In(1),
                "bars": Out(1),
                "accept": Out(1),
                "waits": Out(1),
                "skip": Out(1),
                "close": Out(1),
                "activate": Out(1),
                "gwrite": Out(1),
                "bars_writes": Out(config.memory.banks),
                "hold": Out(config.memory.banks),
                "stop": Out(config.memory.banks),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, head, tile, ready = self._config, self.head, self.tile, self.ready
        present, wants, is_open, accepted = Signal(), Signal(), Signal(), Signal()
        conflict = tile.valid & rows_conflict(config, head.row, tile.row)
        rests = tile.resting & rows_conflict(config, head.row, tile.rested_row)

        def in_bank(bits):
            return bits.bit_select(head.bank, 1)

        known, hit, pending, may_read = Signal(), Signal(), Signal(), Signal()
        m.d.sync += [
            accepted.eq(present & ~conflict & ~self.pop),
            known.eq(present & ~self.pop),
            hit.eq(self.hit),
            pending.eq(self.pending),
        ]
        banks = config.memory.banks_per_rank
        same_rank = Cat(
            (head.bank // banks == rank).replicate(banks) for rank in range(config.memory.ranks)
        )
        gives_way = self.yields | (self.aged & pending)
        m.d.comb += [
            self.accept.eq(present & ~conflict & ~accepted),
            present.eq(self.head_valid & (head.operation == PimOperation.GWRITE_ROW)),
            self.skip.eq(present & conflict),
            self.waits.eq(known & ~conflict & pending),
            wants.eq(known & ~conflict & ~self.closing & ~gives_way),
            is_open.eq(in_bank(self.open)),
            self.close.eq(wants & is_open & ~hit & in_bank(ready.PRE)),
            self.activate.eq(wants & ~is_open & ~rests & in_bank(ready.ACT)),
            # A PRE may have issued since the hit.
            may_read.eq(wants & is_open & hit & ~pending & self.half_free),
            self.gwrite.eq(may_read & in_bank(ready.PIM_GWRITE)),
            self.bars_writes.eq(Mux(may_read & in_bank(ready.WR), same_rank, 0)),
            self.hold.eq((wants & hit) << head.bank),
            self.stop.eq((wants & ~hit) << head.bank),
            self.bars.eq(
                present & (self.request_bank == head.bank) & (self.request_row == head.row)
            ),
        ]
        return m
