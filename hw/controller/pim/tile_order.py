"""The place of PIM tiles among ordinary requests: from acceptance to the end of their rest.

A tile and the requests to its row are always served in the order of acceptance. With two row
buffers nothing else has to be ordered. With one, a tile needs all banks for itself, and who goes
first is a choice (``blocked_order``):

- *accepted*: every request that was accepted before the tile. So between two tiles comes what the
  queues hold by then: under many reads, a whole read queue.
- *pim_first*: only before the first tile of a header. The others follow without ordinary requests
  between them, but for those to the row of a tile, which keep their order. The header is parted
  after the tile in which ``postpone × nREFI`` cycles are over, by what is pending then; so no
  request waits for more than that and a tile. This is Newton's way (He et al., MICRO 2020: a GEMV
  blocks the memory).
- *memory_first*: all that is pending. A tile is accepted when no request is left, or when it has
  waited for ``postpone × nREFI`` cycles.
"""

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import ChannelConfig
from hw.controller.pim.operation import operation_layout
from hw.controller.row_state import rest_cycles, tile_layout
from hw.protocol.commands import PimOperation

__all__ = ["WAIVED", "TileOrder"]

#: Ordinary ACTs that aged requests may issue between two tiles, in spite of planned activations.
WAIVED = 4


class TileOrder(wiring.Component):
    """Follows one tile from its first operation to its end.

    A tile is accepted when its first ACTIVATION is the oldest PIM operation and the tile before it
    has ended (with *memory_first*, later); no ordinary request is accepted in that cycle, so that
    there is one order of acceptance. Ordinary ACTs are ``barred`` while an activation waits for its
    turn, and, if the header says that another tile follows, from nFAW cycles before its expected
    start on, as they would fill the four-activate window. Without a header, or where the
    configuration has it ignored, each tile may be the longest: the next is not expected before it
    is there.

    Members
    -------
    head : ``In(operation_layout(config))``, head_valid : ``In(1)``
        The oldest PIM operation.
    pending : ``In(1)``
        An ordinary request is in a queue.
    vector_waits : ``In(1)``
        A GWRITE from a row, which is the oldest operation, waits for a write.
    clear : ``In(1)``
        Neither an open row nor an earlier request keeps the tile from its rows, in this cycle.
    fits, aged : ``In(1)``
        No refresh is about to start; an aged request needs a row opened.
    may_start : ``Out(1)``
        Nothing but timing keeps the tile from its start. ``clear`` counts from the next cycle on:
        it is the first half of the decision.
    activate, precharge : ``In(1)``
        PIM_ACTIVATION or PIM_PRECHARGE issues in this cycle.
    waived : ``In(1)``
        An aged request's ACT issues in this cycle although ACTs are barred or a tile waits.
    tile : ``Out(tile_layout(config))``
        What ordinary requests have to know.
    accept, started, waits : ``Out(1)``
        A tile is accepted in this cycle; its first activation has issued; it was accepted and has
        not started.
    header : ``Out(1)``
        The oldest operation is a header, which is taken in this cycle.
    barred, waiver : ``Out(1)``
        Ordinary ACTs are barred, and aged requests are exempt from that.
    """

    def __init__(self, config: ChannelConfig):
        self._config = config
        super().__init__(
            {
                "head": In(operation_layout(config)),
                "head_valid": In(1),
                "pending": In(1),
                "vector_waits": In(1),
                "clear": In(1),
                "fits": In(1),
                "aged": In(1),
                "may_start": Out(1),
                "activate": In(1),
                "precharge": In(1),
                "waived": In(1),
                "tile": Out(tile_layout(config)),
                "accept": Out(1),
                "started": Out(1),
                "waits": Out(1),
                "header": Out(1),
                "barred": Out(1),
                "waiver": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, timing = self._config, self._config.memory.timing
        head, tile = self.head, self.tile
        is_activation = self.head_valid & (head.operation == PimOperation.ACTIVATION)

        # The header, for as many tiles as it says.
        tiles = Signal(16)
        length = Signal(16)
        m.d.comb += [
            self.header.eq(self.head_valid & (head.operation == PimOperation.HEADER)),
        ]
        starts = self.activate & ~self.started
        with m.If(self.header):
            announced = head.tiles if config.controller.pim_header else 0
            m.d.sync += [tiles.eq(announced), length.eq(head.length)]
        with m.Elif(starts & (tiles != 0)):
            m.d.sync += tiles.eq(tiles - 1)

        # The tile.
        m.d.comb += [
            self.accept.eq(is_activation & ~tile.valid & ~self._yields(m, is_activation)),
            self.waits.eq(tile.valid & ~self.started),
        ]
        self._hold(m)
        with m.If(self.accept):
            m.d.sync += [tile.valid.eq(1), tile.row.eq(head.row)]
        with m.If(self.activate):
            m.d.sync += self.started.eq(1)
        with m.If(self.precharge):
            m.d.sync += [tile.valid.eq(0), self.started.eq(0)]

        # Its rest.
        cycles = rest_cycles(config)
        rest = Signal(range(cycles + 1))
        m.d.comb += [tile.resting.eq(rest != 0), tile.rested.eq(rest == 1)]
        with m.If(self.precharge):
            m.d.sync += [rest.eq(cycles - 1), tile.rested_row.eq(tile.row)]
        with m.Elif(tile.resting):
            m.d.sync += rest.eq(rest - 1)

        # The start of the next one.
        until_next = Signal(16)
        with m.If(starts):
            m.d.sync += until_next.eq(length - 1)
        with m.Elif(until_next != 0):
            m.d.sync += until_next.eq(until_next - 1)
        expected = (tiles != 0) & (until_next != 0) & (until_next < timing.nFAW)
        if self._goes_first("memory"):
            expected = 0  # the next tile starts when nothing is pending
        m.d.comb += self.barred.eq((is_activation & (self.started | self.may_start)) | expected)

        # An aged request that may still issue an ACT comes before the tile.
        cleared = Signal()
        m.d.sync += cleared.eq(self.clear & self.waits)
        m.d.comb += self.may_start.eq(cleared & self.waits & self.fits & ~(self.aged & self.waiver))

        waivers = Signal(range(WAIVED + 1), init=WAIVED)
        with m.If(self.precharge):
            m.d.sync += waivers.eq(WAIVED)
        with m.Elif(self.waived):
            m.d.sync += waivers.eq(waivers - 1)
        m.d.comb += self.waiver.eq(waivers != 0)
        return m

    def _goes_first(self, who: str) -> bool:
        """Return whether ``who``, "pim" or "memory", goes first."""
        config = self._config
        return config.pim.row_buffers == 1 and config.controller.blocked_order == f"{who}_first"

    def _limit(self) -> int:
        """Return the cycles after which whoever goes first lets the other one have its turn."""
        return self._config.controller.postpone * self._config.memory.timing.nREFI

    def _yields(self, m: Module, is_activation: Value) -> Value:
        """Return whether the tile that could be accepted lets requests go first."""
        if not self._goes_first("memory"):
            return Const(0)
        waited = Signal(range(self._limit() + 1))
        with m.If(self.accept):
            m.d.sync += waited.eq(0)
        with m.Elif(is_activation & ~self.tile.valid & (waited != self._limit())):
            m.d.sync += waited.eq(waited + 1)
        return self.pending & (waited != self._limit())

    def _hold(self, m: Module):
        """Say which requests wait for tiles, and when they do no longer."""
        tile = self.tile
        m.d.comb += tile.rests.eq(self.precharge)
        if not self._goes_first("pim"):
            m.d.comb += [tile.holds.eq(tile.valid), tile.end.eq(self.precharge)]
            return
        header = Signal()  # a header is in progress: from its first tile to the end of its last
        left = Signal(16)  # tiles of it that have not been accepted
        held = Signal(range(self._limit() + 1))  # cycles for which it has been
        over = held == self._limit()
        with m.If(self.header):
            m.d.sync += left.eq(self.head.tiles)
        with m.Elif(self.accept & (left != 0)):
            m.d.sync += left.eq(left - 1)
        # A header that promised more tiles than came is over when the next one comes; and one with
        # a GWRITE inside, when that waits for a write, which might wait for the header.
        broken_off = ~tile.valid & ~self.accept & (over | self.header | self.vector_waits)
        m.d.comb += [
            tile.holds.eq(header),
            tile.end.eq(header & ((self.precharge & ((left == 0) | over)) | broken_off)),
        ]
        with m.If(tile.end):
            m.d.sync += [header.eq(0), held.eq(0)]
        with m.Elif(self.accept):
            m.d.sync += header.eq(1)
        with m.If(header & ~tile.end & ~over):
            m.d.sync += held.eq(held + 1)
        m.d.sync += tile.fresh.eq(self.accept & header)
        with m.If(tile.resting & ~tile.rested):
            m.d.comb += tile.rests.eq(1)
