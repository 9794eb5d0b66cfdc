"""Which rows are open in the MEM row buffers of a channel."""

from functools import reduce
from operator import or_

from amaranth.hdl import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import ChannelConfig
from hw.protocol.commands import bus_layout

__all__ = ["RowState", "rest_cycles", "rows_conflict", "tile_layout"]


def rows_conflict(config: ChannelConfig, a, b):
    """Return whether row ``a`` in one row buffer keeps row ``b`` of the same bank from the other.

    With one row buffer any two rows do; with two, only equal rows, or rows of one subarray.
    """
    if config.pim.row_buffers == 1:
        return Const(1)
    shift = (
        (config.memory.rows // config.memory.subarrays).bit_length() - 1
        if config.memory.subarrays
        else 0
    )
    return (a >> shift) == (b >> shift)


def rest_cycles(config: ChannelConfig) -> int:
    """Return the cycles from PIM_PRECHARGE to ACT of a row that conflicts with the tile's.

    nRP, and nRC from the last PIM_ACTIVATION on, which was nRAS ago at least.
    """
    return config.memory.timing.row_cycle - config.memory.timing.nRAS


def tile_layout(config: ChannelConfig) -> data.StructLayout:
    """Shape of what ordinary requests have to know of tiles.

    Attributes
    ----------
    valid, row
        A tile was accepted and has not ended; its row.
    holds
        Requests accepted in this cycle wait for it, if their rows conflict.
    end, rests
        They wait no longer, from the next cycle on; but they rest.
    fresh
        It was accepted in the cycle before, while requests wait for an earlier one: those to its
        very row go first.
    resting, rested_row
        The tile before ended less than nRP cycles ago; its row.
    rested
        Last cycle of ``resting``.
    """
    row = bus_layout(config)["row"].shape
    return data.StructLayout(
        {
            "valid": 1,
            "row": row,
            "holds": 1,
            "end": 1,
            "rests": 1,
            "fresh": 1,
            "resting": 1,
            "rested_row": row,
            "rested": 1,
        }
    )


class RowState(wiring.Component):
    """Registers that hold, for every bank, whether a MEM row is open and which it is or was.

    Members
    -------
    activate, bank, row : ``In``
        ACT issues in this cycle.
    close : ``In(banks)``
        Banks that PRE or PREA closes in this cycle.
    open : ``Out(banks)``
        Banks with an open row.
    query_bank, query_row : ``In``, query_hit : ``Out(1)``
        Whether that row is open; same cycle.
    vector_bank, vector_row : ``In``, vector_hit : ``Out(1)``
        The same for the row of a PIM_GWRITE.
    tile_row : ``In``, rested : ``In(banks)``
        Row of a tile, and banks that, if closed, will in the next cycle have been for nRP cycles.
    tile_close : ``Out(banks)``
        Banks whose open row keeps the tile from its own.
    tile_clear : ``Out(1)``
        No bank has such a row, or will have had one less than nRP cycles ago in the next cycle.
    """

    def __init__(self, config: ChannelConfig):
        self._config = config
        bus = bus_layout(config)
        super().__init__(
            {
                "activate": In(1),
                "bank": In(bus["bank"].shape),
                "row": In(bus["row"].shape),
                "close": In(config.memory.banks),
                "open": Out(config.memory.banks),
                "query_bank": In(bus["bank"].shape),
                "query_row": In(bus["row"].shape),
                "query_hit": Out(1),
                "vector_bank": In(bus["bank"].shape),
                "vector_row": In(bus["row"].shape),
                "vector_hit": Out(1),
                "tile_row": In(bus["row"].shape),
                "rested": In(config.memory.banks),
                "tile_close": Out(config.memory.banks),
                "tile_clear": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        rows = [Signal.like(self.row, name=f"row_{bank}") for bank in range(config.memory.banks)]
        hits, vector_hits, waits = [], [], []
        for bank, row in enumerate(rows):
            with m.If(self.activate & (self.bank == bank)):
                m.d.sync += [row.eq(self.row), self.open[bank].eq(1)]
            with m.Elif(self.close[bank]):
                m.d.sync += self.open[bank].eq(0)
            hits.append(self.open[bank] & (row == self.query_row))
            vector_hits.append(self.open[bank] & (row == self.vector_row))
            conflict = rows_conflict(config, row, self.tile_row)
            m.d.comb += self.tile_close[bank].eq(conflict & self.open[bank])
            waits.append(conflict & (self.open[bank] | ~self.rested[bank]))
        m.d.comb += [
            self.query_hit.eq(Cat(hits).bit_select(self.query_bank, 1)),
            self.vector_hit.eq(Cat(vector_hits).bit_select(self.vector_bank, 1)),
            self.tile_clear.eq(~reduce(or_, waits)),
        ]
        return m
