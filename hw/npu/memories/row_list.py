"""Row list: the table of a channel's pages that the host writes before a program."""

from amaranth.hdl import *
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.config import TileConfig

__all__ = ["RowList", "RowListSignature", "list_layout", "no_row"]


def no_row(config: TileConfig) -> int:
    """Return what stands in an entry for a number that is no row of the channel: the largest."""
    return 2 * config.memory.rows - 1


def list_layout(config: TileConfig) -> data.StructLayout:
    """Shape of a write of a channel's row list.

    A row has one bit more than it needs: where that is set, the entry names no row, and what uses
    it has a bad address.
    """
    return data.StructLayout(
        {
            "enable": 1,
            "index": range(config.npu.row_list_entries),
            "row": range(2 * config.memory.rows),
        }
    )


class RowListSignature(wiring.Signature):
    """A read port, seen from its user.

    Members
    -------
    index : ``Out(range(row_list_entries))``
        Entry.
    row : ``In(range(2 * rows))``
        What it holds, one cycle later.
    """

    def __init__(self, config: TileConfig):
        layout = list_layout(config)
        super().__init__({"index": Out(layout["index"].shape), "row": In(layout["row"].shape)})


class RowList(wiring.Component):
    """Rows of a channel: of its PIM tiles, for GEMV, and the pages of LOAD_PAGES.

    A page is the same row of all banks. Both users have a read port of their own. The host must not
    write entries that an instruction uses.

    Members
    -------
    write : ``In(list_layout(config))``
        Write of an entry.
    tiles, pages : ``In(RowListSignature(config))``
        Read ports of the PIM unit and of the DMA lane.
    """

    def __init__(self, config: TileConfig):
        self._config = config
        super().__init__(
            {
                "write": In(list_layout(config)),
                "tiles": In(RowListSignature(config)),
                "pages": In(RowListSignature(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(
            shape=list_layout(self._config)["row"].shape,
            depth=self._config.npu.row_list_entries,
            init=[],
        )
        write = memory.write_port()
        m.d.comb += [
            write.en.eq(self.write.enable),
            write.addr.eq(self.write.index),
            write.data.eq(self.write.row),
        ]
        for user in (self.tiles, self.pages):
            read = memory.read_port()
            m.d.comb += [read.addr.eq(user.index), user.row.eq(read.data)]
        return m
