"""Which MEM row is closed next for a tile that waits for its start."""

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import ChannelConfig
from hw.controller.guards import ready_layout, soon_layout

__all__ = ["TileClosing"]


class TileClosing(wiring.Component):
    """Chooses a MEM row that keeps the tile from its own; with one row buffer, a rank of them.

    Found in the first cycle of a decision, allowed in the second; latency 1 cycle.

    Members
    -------
    waits : ``In(1)``
        A tile waits for its first activation.
    free : ``In(1)``
        No earlier request wants the rows.
    close, open : ``In(banks)``
        Banks that must be closed for the tile; banks with an open MEM row.
    soon : ``In(soon_layout(config))``, ready : ``In(ready_layout(config))``
        What the guards allow, in the next cycle and in this one.
    valid : ``Out(1)``, bank : ``Out``
        PRE, or with one row buffer PREA, of the bank is to issue.
    """

    def __init__(self, config: ChannelConfig):
        self._config = config
        super().__init__(
            {
                "waits": In(1),
                "free": In(1),
                "close": In(config.memory.banks),
                "open": In(config.memory.banks),
                "soon": In(soon_layout(config)),
                "ready": In(ready_layout(config)),
                "valid": Out(1),
                "bank": Out(range(max(2, config.memory.banks))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, banks = self._config, self._config.memory.banks
        unit = config.memory.banks_per_rank if config.pim.row_buffers == 1 else 1
        soon, ready = self.soon.PRE, self.ready.PRE
        if config.pim.row_buffers == 1:
            soon, ready = self.soon.PREA, self.ready.PREA
        found, place = Signal(), Signal(range(max(2, banks // unit)))
        is_open, still_open = Signal(banks // unit), Signal()
        m.d.sync += found.eq(0)
        for i in reversed(range(banks // unit)):
            those = slice(i * unit, (i + 1) * unit)
            m.d.comb += is_open[i].eq(self.open[those].any())
            with m.If(self.waits & self.free & self.close[those].any() & soon[i]):
                m.d.sync += [found.eq(1), place.eq(i)]
        m.d.comb += [
            still_open.eq((is_open & ready).bit_select(place, 1)),
            self.valid.eq(self.waits & found & still_open),
            self.bank.eq(place * unit),
        ]
        return m
