"""Page walk: which page of a channel a transfer is in, from the channel's row list."""

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.config import TileConfig
from hw.npu.memories.row_list import RowListSignature

__all__ = ["PageWalk"]


class PageWalk(wiring.Component):
    """Takes the pages of a transfer from consecutive entries of the row list, one ahead.

    The first page is there two cycles after :attr:`start`, each later one in the cycle after
    :attr:`next`, which may be high in every cycle. The page is a register: nothing that depends on
    it waits for the list.

    Members
    -------
    start, list, pages : ``In(1)``, ``In(16)``, ``In(12)``
        A transfer of so many pages begins, from that entry on.
    next : ``In(1)``
        To the next page.
    rows : ``Out(RowListSignature(config))``
        To the row list.
    ready : ``Out(1)``
        The page is there.
    page : ``Out(range(rows))``
        The page: a row of all banks.
    last : ``Out(1)``
        It is the last one of the transfer.
    outside : ``Out(1)``
        Its entry is outside of the list, or names no row.
    """

    def __init__(self, config: TileConfig):
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "list": In(16),
                "pages": In(12),
                "next": In(1),
                "rows": Out(RowListSignature(config)),
                "ready": Out(1),
                "page": Out(range(config.memory.rows)),
                "last": Out(1),
                "outside": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        entry = Signal(17)  # of the page
        left = Signal(12)  # pages, this one included
        row = Signal.like(self.rows.row)
        fetched = Signal()  # the first entry of a transfer is read in this cycle

        # While a page is in use, the entry behind it is at the output of the list.
        following = Mux(self.next, entry + 2, entry + 1)
        m.d.comb += self.rows.index.eq(Mux(self.start, self.list, following))
        m.d.sync += fetched.eq(self.start)
        with m.If(fetched | self.next):
            m.d.sync += row.eq(self.rows.row)
        with m.If(self.start):
            m.d.sync += [entry.eq(self.list), left.eq(self.pages)]
        with m.Elif(self.next):
            m.d.sync += [entry.eq(entry + 1), left.eq(left - 1)]

        m.d.comb += [
            self.ready.eq(~fetched),
            self.page.eq(row),
            self.last.eq(left == 1),
            self.outside.eq(entry[exact_log2(self._config.npu.row_list_entries) :].any() | row[-1]),
        ]
        return m
