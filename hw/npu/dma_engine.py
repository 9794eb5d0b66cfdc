"""A DMA engine: transfers become requests for bursts, and their answers completions."""

from amaranth.hdl import *
from amaranth.lib import data, enum, fifo, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.config import Config
from hw.interconnect import head_layout
from hw.memory.address_map import split_address
from hw.memory.commands import Request, request_layout

__all__ = ["DmaEngine", "Engine", "descriptor_layout", "tag_layout"]

#: Requests of one engine that may be unanswered (chosen: more than link and controller hold).
WINDOW = 128


class Engine(enum.Enum, shape=2):
    """Engines of a lane, and the load queues and memories that they serve."""

    LOAD = 0  #: channel to weight ring
    TAIL = 1  #: channel to lane buffer
    STORE = 2  #: lane buffer to channel


def _places(config: Config) -> int:
    """Bits of a burst's place in the tile: a stripe of the ring, or a burst of the lane buffer."""
    stripes = config.weight_ring_bytes // (config.channels * config.burst_bytes)
    return exact_log2(max(stripes, config.lane_buffer_bytes // config.burst_bytes, 2))


def tag_layout(config: Config) -> data.StructLayout:
    """Shape of a request's tag: where its data go, which request it is, and of which engine.

    With the place in the tag, read answers find their way whatever order they come in.
    """
    return data.StructLayout(
        {"place": _places(config), "number": range(WINDOW), "engine": Engine},
    )


def descriptor_layout() -> data.StructLayout:
    """Shape of a transfer: ``rows`` rows of ``bursts`` bursts, ``stride`` bytes apart.

    ``place`` and ``place_stride`` are bytes of the lane buffer; for the ring, ``place`` is the
    first stripe, and stripes follow one another. The transfer is empty unless ``enable`` is set.
    """
    return data.StructLayout(
        {
            "address": 30,
            "bursts": 12,
            "rows": 12,
            "stride": 30,
            "place": 20,
            "place_stride": 20,
            "enable": 1,
        }
    )


class DmaEngine(wiring.Component):
    """Turns descriptors into requests, one burst a cycle at most, and tells when they are complete.

    Descriptors wait in a buffer of ``descriptors`` entries; a request can go out three cycles after
    its descriptor was taken, the next descriptor's a cycle after the last one of this one.
    Answers may come in any order. They are counted off in the order of the requests, one a cycle:
    ``done`` is high in the cycle after that of the last outstanding answer at the earliest. An
    empty descriptor is one request that goes nowhere and is answered at once.

    Parameters
    ----------
    engine : Engine
        Which one of a lane's.

    Members
    -------
    i : ``In(stream.Signature(descriptor_layout()))``
        Descriptors.
    o : ``Out(stream.Signature(head_layout(request_layout(config, tag bits))))``
        Requests.
    answered : ``In(StructLayout({"valid": 1, "number": range(WINDOW)}))``
        An answer to one of them.
    done : ``Out(1)``
        Pulse: the oldest descriptor is complete.
    bad_address : ``Out(1)``
        The next burst lies outside of the channel or the lane buffer, or is not aligned; the
        engine stays there.
    """

    def __init__(self, config: Config, engine: Engine):
        self._config = config
        self._engine = engine
        requests = request_layout(config, tag_layout(config).size)
        super().__init__(
            {
                "i": In(stream.Signature(descriptor_layout())),
                "o": Out(stream.Signature(head_layout(requests))),
                "answered": In(data.StructLayout({"valid": 1, "number": range(WINDOW)})),
                "done": Out(1),
                "bad_address": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        burst_bits = exact_log2(config.burst_bytes)
        m.submodules.descriptors = descriptors = fifo.SyncFIFOBuffered(
            width=descriptor_layout().size, depth=config.descriptors
        )
        wiring.connect(m, wiring.flipped(self.i), descriptors.w_stream)
        following = data.View(descriptor_layout(), descriptors.r_data)

        # The burst that is next; carries out of the fields' widths are kept, to be refused.
        active = Signal()
        empty = Signal()
        bursts, stride, place_stride = Signal(12), Signal(30), Signal(20)
        address, row_address = Signal(31), Signal(31)
        place, row_place = Signal(21), Signal(21)
        bursts_left, rows_left = Signal(12), Signal(12)
        row_ends, ends = Signal(), Signal()
        room = Signal()
        step = Signal()
        m.d.comb += [
            row_ends.eq(empty | (bursts_left == 1)),
            ends.eq(empty | (row_ends & (rows_left == 1))),
            step.eq(active & room & (empty | (self.o.ready & ~self.bad_address))),
            self.o.valid.eq(active & room & ~empty & ~self.bad_address),
            descriptors.r_en.eq(~active | (step & ends)),
        ]
        if self._engine is Engine.LOAD:
            after_row, after_burst, tile_place = place + 1, place + 1, place
            outside = 0  # the ring has no end
        else:
            after_row, after_burst = row_place + place_stride, place + config.burst_bytes
            tile_place = place[burst_bits:]
            outside = place[exact_log2(config.lane_buffer_bytes) :].any() | place[:burst_bits].any()
        with m.If(step):
            m.d.sync += [
                address.eq(address + config.burst_bytes),
                place.eq(after_burst),
                bursts_left.eq(bursts_left - 1),
            ]
            with m.If(row_ends):
                m.d.sync += [
                    address.eq(row_address + stride),
                    row_address.eq(row_address + stride),
                    place.eq(after_row),
                    row_place.eq(after_row),
                    bursts_left.eq(bursts),
                    rows_left.eq(rows_left - 1),
                ]
        with m.If(descriptors.r_en):
            m.d.sync += [
                active.eq(descriptors.r_rdy),
                empty.eq(~following.enable | (following.bursts == 0) | (following.rows == 0)),
                bursts.eq(following.bursts),
                stride.eq(following.stride),
                place_stride.eq(following.place_stride),
                address.eq(following.address),
                row_address.eq(following.address),
                place.eq(following.place),
                row_place.eq(following.place),
                bursts_left.eq(following.bursts),
                rows_left.eq(following.rows),
            ]

        # The request.
        bank, row, column = split_address(config, address)
        end = exact_log2(config.channel_bytes)
        tag = data.View(tag_layout(config), self.o.payload.tag)
        number = Signal(range(WINDOW))
        m.d.comb += [
            self.bad_address.eq(
                active & ~empty & (address[end:].any() | address[:burst_bits].any() | outside)
            ),
            self.o.payload.kind.eq(Request.WRITE if self._engine is Engine.STORE else Request.READ),
            self.o.payload.column.eq(column),
            self.o.payload.bank.eq(bank),
            self.o.payload.row.eq(row),
            tag.place.eq(tile_place),
            tag.number.eq(number),
            tag.engine.eq(self._engine),
        ]

        # The window: a bit a request for its answer, and one for the last of its descriptor.
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

        return m
