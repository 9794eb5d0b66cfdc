"""A DMA engine: transfers become requests for bursts, and their answers completions."""

from amaranth.hdl import *
from amaranth.lib import data, enum, fifo, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.config import TileConfig
from hw.interconnect import head_layout
from hw.npu.dma.page_walk import PageWalk
from hw.npu.memories.row_list import RowListSignature
from hw.protocol.address_map import split_address
from hw.protocol.commands import Request, request_layout

__all__ = ["DmaEngine", "Engine", "descriptor_layout", "tag_layout"]

#: Requests of one engine that may be unanswered (chosen: more than link and controller hold).
WINDOW = 128


class Engine(enum.Enum, shape=2):
    """Engines of a lane, and the load queues and memories that they serve."""

    LOAD = 0  #: channel to weight ring
    TAIL = 1  #: channel to lane buffer
    STORE = 2  #: lane buffer to channel


def _places(config: TileConfig) -> int:
    """Bits of a burst's place in the tile: a stripe of the ring, or a burst of the lane buffer."""
    stripes = config.npu.weight_ring_bytes // (config.memory.channels * config.memory.burst_bytes)
    return exact_log2(max(stripes, config.npu.lane_buffer_bytes // config.memory.burst_bytes, 2))


def tag_layout(config: TileConfig) -> data.StructLayout:
    """Shape of a request's tag: where its data go, which request it is, and of which engine.

    With the place in the tag, read answers find their way whatever order they come in.
    """
    return data.StructLayout(
        {"place": _places(config), "number": range(WINDOW), "engine": Engine},
    )


def descriptor_layout(engine: Engine) -> data.StructLayout:
    """Shape of a transfer: ``rows`` rows of ``bursts`` bursts, ``stride`` bytes apart.

    ``place`` and ``place_stride`` are bytes of the lane buffer; for the ring, ``place`` is the
    first stripe, and stripes follow one another. The transfer is empty unless ``enable`` is set.

    A tail may be ``paged``: its rows are repeated in each of ``pages`` pages, which are named by
    the entries of the channel's row list from ``list`` on, and ``address`` counts from the start of
    the page. A page is a row of all banks. In the lane buffer rows go on from page to page.
    """
    fields = {
        "address": 30,
        "bursts": 12,
        "rows": 12,
        "stride": 30,
        "place": 20,
        "place_stride": 20,
        "enable": 1,
    }
    if engine is Engine.TAIL:
        fields |= {"paged": 1, "pages": 12, "list": 16}
    return data.StructLayout(fields)


class DmaEngine(wiring.Component):
    """Turns descriptors into requests, one burst a cycle at most, and tells when they are complete.

    Descriptors wait in a buffer of ``descriptors`` entries; a request can go out three cycles after
    its descriptor was taken, the next descriptor's a cycle after the last one of this one. So a
    transfer holds the engine ``rows × bursts`` cycles where nothing pushes back, a paged one
    ``pages × rows × bursts + 1``: its first page is looked up, each later one while the one before
    it is in use. An engine has at most :data:`WINDOW` requests that are not answered.
    Answers may come in any order. They are counted off in the order of the requests, one a cycle:
    ``done`` is high in the cycle after that of the last outstanding answer at the earliest. An
    empty descriptor is one request that goes nowhere and is answered at once.

    Parameters
    ----------
    engine : Engine
        Which one of a lane's.

    Members
    -------
    i : ``In(stream.Signature(descriptor_layout(engine)))``
        Descriptors.
    rows : ``Out(RowListSignature(config))``
        Of the engine of tails alone: to the channel's row list.
    o : ``Out(stream.Signature(head_layout(request_layout(config, tag bits))))``
        Requests.
    answered : ``In(StructLayout({"valid": 1, "number": range(WINDOW)}))``
        An answer to one of them.
    done : ``Out(1)``
        Pulse: the oldest descriptor is complete.
    bad_address : ``Out(1)``
        The next burst lies outside of the channel, its page or the lane buffer, or is not aligned,
        or an entry of the row list is outside of it or names no row; the engine stays there.
    """

    def __init__(self, config: TileConfig, engine: Engine):
        self._config = config
        self._engine = engine
        requests = request_layout(config, tag_layout(config).size)
        super().__init__(
            {
                "i": In(stream.Signature(descriptor_layout(engine))),
                **({"rows": Out(RowListSignature(config))} if engine is Engine.TAIL else {}),
                "o": Out(stream.Signature(head_layout(requests))),
                "answered": In(data.StructLayout({"valid": 1, "number": range(WINDOW)})),
                "done": Out(1),
                "bad_address": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        layout = descriptor_layout(self._engine)
        burst_bits = exact_log2(config.memory.burst_bytes)
        m.submodules.descriptors = descriptors = fifo.SyncFIFOBuffered(
            width=layout.size, depth=config.npu.descriptors
        )
        wiring.connect(m, wiring.flipped(self.i), descriptors.w_stream)
        following = data.View(layout, descriptors.r_data)

        # The burst that is next; carries out of the fields' widths are kept, to be refused.
        active = Signal()
        empty = Signal()
        now = Signal(layout)  # the transfer
        address, row_address = Signal(31), Signal(31)  # in the channel, or in the page
        place, row_place = Signal(21), Signal(21)
        bursts_left, rows_left = Signal(12), Signal(12)
        row_ends, page_ends, ends = Signal(), Signal(), Signal()
        step = Signal()
        number, room = self._window(m, step, empty, ends)
        walk = PageWalk(config) if self._engine is Engine.TAIL else None
        ready, last_page, no_pages = 1, 1, 0
        if walk:
            m.submodules.page_walk = walk
            wiring.connect(m, walk.rows, wiring.flipped(self.rows))
            m.d.comb += [
                walk.start.eq(descriptors.r_en & descriptors.r_rdy & following.paged),
                walk.list.eq(following.list),
                walk.pages.eq(following.pages),
                walk.next.eq(step & page_ends & ~ends),
            ]
            ready, last_page = walk.ready, ~now.paged | walk.last
            no_pages = following.paged & (following.pages == 0)
        may_step = active & room & ready
        m.d.comb += [
            row_ends.eq(bursts_left == 1),
            page_ends.eq(row_ends & (rows_left == 1)),
            ends.eq(empty | (page_ends & last_page)),
            step.eq(may_step & (empty | (self.o.ready & ~self.bad_address))),
            self.o.valid.eq(may_step & ~empty & ~self.bad_address),
            descriptors.r_en.eq(~active | (step & ends)),
        ]
        if self._engine is Engine.LOAD:
            after_row, after_burst, tile_place = place + 1, place + 1, place
            outside = 0  # the ring has no end
        else:
            after_row, after_burst = row_place + now.place_stride, place + config.memory.burst_bytes
            tile_place = place[burst_bits:]
            outside = (
                place[exact_log2(config.npu.lane_buffer_bytes) :].any() | place[:burst_bits].any()
            )
        with m.If(step):
            m.d.sync += [
                address.eq(address + config.memory.burst_bytes),
                place.eq(after_burst),
                bursts_left.eq(bursts_left - 1),
            ]
            with m.If(row_ends):
                m.d.sync += [
                    address.eq(row_address + now.stride),
                    row_address.eq(row_address + now.stride),
                    place.eq(after_row),
                    row_place.eq(after_row),
                    bursts_left.eq(now.bursts),
                    rows_left.eq(rows_left - 1),
                ]
            if walk:
                with m.If(page_ends):
                    m.d.sync += [
                        address.eq(now.address),
                        row_address.eq(now.address),
                        rows_left.eq(now.rows),
                    ]
        with m.If(descriptors.r_en):
            nothing = (following.bursts == 0) | (following.rows == 0) | no_pages
            m.d.sync += [
                active.eq(descriptors.r_rdy),
                empty.eq(~following.enable | nothing),
                now.eq(following),
                address.eq(following.address),
                row_address.eq(following.address),
                place.eq(following.place),
                row_place.eq(following.place),
                bursts_left.eq(following.bursts),
                rows_left.eq(following.rows),
            ]

        # The request.
        (bank, row, column), beyond = self._place(address, now, walk)
        tag = data.View(tag_layout(config), self.o.payload.tag)
        m.d.comb += [
            self.bad_address.eq(active & ~empty & (beyond | address[:burst_bits].any() | outside)),
            self.o.payload.kind.eq(Request.WRITE if self._engine is Engine.STORE else Request.READ),
            self.o.payload.column.eq(column),
            self.o.payload.bank.eq(bank),
            self.o.payload.row.eq(row),
            tag.place.eq(tile_place),
            tag.number.eq(number),
            tag.engine.eq(self._engine),
        ]

        return m

    def _place(self, address, now, walk):
        """Return a burst's bank, row and column, and whether it is outside of channel or page."""
        config = self._config
        end = exact_log2(config.memory.channel_bytes)
        beyond = address[end:].any()
        if walk:
            page_bits = exact_log2(config.memory.page_bytes)
            beyond_page = address[page_bits:].any() | walk.outside
            beyond = Mux(now.paged, walk.ready & beyond_page, beyond)
            address = Mux(now.paged, Cat(address[:page_bits], walk.page), address[:end])
        return split_address(config, address), beyond

    def _window(self, m, step, empty, ends):
        """Return the number of the next request, and whether there is room for it.

        The window has a bit a request for its answer, and one for the last of its descriptor.
        """
        number = Signal(range(WINDOW))
        room = Signal()
        oldest = Signal(range(WINDOW))
        open_requests = Signal(range(WINDOW + 1))
        answers = Signal(WINDOW)
        lasts = Signal(WINDOW)
        pop = Signal()
        here = Signal(WINDOW)
        m.d.comb += [
            here.eq(1 << number),
            room.eq(open_requests != WINDOW),
            pop.eq(Mux(open_requests != 0, answers.bit_select(oldest, 1), 0)),
            self.done.eq(Mux(pop, lasts.bit_select(oldest, 1), 0)),
        ]
        m.d.sync += [
            number.eq(number + step),
            oldest.eq(oldest + pop),
            open_requests.eq(open_requests + step - pop),
        ]
        with m.If(pop | self.answered.valid | (step & empty)):
            m.d.sync += answers.eq(
                (answers & ~(pop << oldest))
                | (self.answered.valid << self.answered.number)
                | Mux(step & empty, here, 0)
            )
        with m.If(step):
            m.d.sync += lasts.eq((lasts & ~here) | Mux(ends, here, 0))
        return number, room
