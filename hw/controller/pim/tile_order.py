"""The place of PIM tiles among ordinary requests: from acceptance to the end of their rest."""

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
    has ended; no ordinary request is accepted in that cycle, so that there is one order of
    acceptance. Ordinary ACTs are ``barred`` while an activation waits for its turn, and, if the
    header says that another tile follows, from nFAW cycles before its expected start on, as they
    would fill the four-activate window. Without a header, or where the configuration has it
    ignored, each tile may be the longest: the next is not expected before it is there.

    Members
    -------
    head : ``In(operation_layout(config))``, head_valid : ``In(1)``
        The oldest PIM operation.
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
            self.accept.eq(is_activation & ~tile.valid),
            self.waits.eq(tile.valid & ~self.started),
            tile.end.eq(self.precharge),
        ]
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
