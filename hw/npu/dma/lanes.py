"""DMA: one lane a channel moves bursts between the channel and the memories of the tile."""

from amaranth.hdl import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import TileConfig
from hw.interconnect import head_layout, read_layout, write_layout
from hw.npu.dma.engine import DmaEngine, Engine, descriptor_layout, tag_layout
from hw.npu.memories.row_list import RowListSignature
from hw.protocol.commands import request_layout
from hw.repeated import repeated

__all__ = ["DmaLane"]


@repeated
class DmaLane(wiring.Component):
    """The lane of one channel: three engines before one request port.

    Tails go before stores, stores before weights. A STORE reads the lane buffer in the cycle in
    which its request is sent, so that the data follow it a cycle later; an answer's data are
    written in the cycle in which they come. Reads may be answered in any order, those of one engine
    too: of two LOADs into the same bytes either may write them last, unless the second waits for a
    token of the first.

    A write is answered when the controller accepts it, not when its WR issues, which below the low
    watermark may be long after while there are reads to serve. So a STORE is complete when all its
    lanes' writes are accepted, and that is enough for whatever waits for its token:

    - *a LOAD of what was stored* goes through the same controllers, each of which serves requests
      to one address in the order of acceptance, and answers a read from a write that is pending.
      Every address belongs to one channel: there is no order between channels to be kept;
    - *a PIM tile of a row that was stored to* has a path of its own, which could overtake the
      request on its way, but not its acceptance: behind that, the controller keeps the order of
      acceptance between requests and tiles of a row, and forces the writes before the tile;
    - *a new user of the lane buffer* may overwrite it: the data left it with the request;
    - *later STOREs* need no token: requests of a lane stay in their order;
    - *the host* reads cells and asks no controller: END of the store queue waits until all is
      written (:class:`hw.interconnect.Link`, ``o_settled``).

    Members
    -------
    i_load, i_tail, i_store : ``In(stream.Signature(descriptor_layout(engine)))``
        Descriptors of each engine.
    rows : ``Out(RowListSignature(config))``
        To the channel's row list, for the pages of tails.
    done : ``Out(3)``
        Pulses, by engine: its oldest descriptor is complete.
    bad_address : ``Out(3)``
        By engine: it met an address outside of a memory.
    o_requests : ``Out(stream.Signature(head_layout(request_layout(config, tag bits))))``
        To the link.
    i_reads, i_writes : always-ready streams
        Answers from the link.
    read : ``Out(StructLayout({"enable": 1, "place": …}))``
        Read of the lane buffer, by bursts; the data go to the link without passing here.
    ring, buffer : ``Out(StructLayout({"enable": 1, "place": …}))``
        Write of what ``i_reads`` brings, by stripes of the ring or by bursts of the lane buffer.
    """

    def __init__(self, config: TileConfig):
        self._config = config
        self._engines = [DmaEngine(config, engine) for engine in Engine]
        tag = tag_layout(config)
        access = data.StructLayout({"enable": 1, "place": tag["place"].shape})
        requests = head_layout(request_layout(config, tag.size))
        super().__init__(
            {
                **{
                    f"i_{engine.name.lower()}": In(stream.Signature(descriptor_layout(engine)))
                    for engine in Engine
                },
                "rows": Out(RowListSignature(config)),
                "done": Out(len(Engine)),
                "bad_address": Out(len(Engine)),
                "o_requests": Out(stream.Signature(requests)),
                "i_reads": In(stream.Signature(read_layout(config, tag.size), always_ready=True)),
                "i_writes": In(stream.Signature(write_layout(tag.size), always_ready=True)),
                "read": Out(access),
                "ring": Out(access),
                "buffer": Out(access),
            }
        )

    def elaborate(self, platform):
        m = Module()
        load, tail, store = self._engines
        m.submodules.load, m.submodules.tail, m.submodules.store = load, tail, store
        wiring.connect(m, wiring.flipped(self.i_load), load.i)
        wiring.connect(m, wiring.flipped(self.i_tail), tail.i)
        wiring.connect(m, wiring.flipped(self.i_store), store.i)
        wiring.connect(m, tail.rows, wiring.flipped(self.rows))
        m.d.comb += [
            self.done.eq(Cat(engine.done for engine in self._engines)),
            self.bad_address.eq(Cat(engine.bad_address for engine in self._engines)),
        ]

        # Requests, by fixed priority.
        place = data.View(tag_layout(self._config), store.o.payload.tag).place
        m.d.comb += [
            self.o_requests.valid.eq(tail.o.valid | store.o.valid | load.o.valid),
            tail.o.ready.eq(self.o_requests.ready),
            store.o.ready.eq(self.o_requests.ready & ~tail.o.valid),
            load.o.ready.eq(self.o_requests.ready & ~tail.o.valid & ~store.o.valid),
            self.o_requests.payload.eq(
                Mux(
                    tail.o.valid,
                    tail.o.payload,
                    Mux(store.o.valid, store.o.payload, load.o.payload),
                )
            ),
            self.read.enable.eq(store.o.valid & store.o.ready),
            self.read.place.eq(place),
        ]

        # Answers.
        read = data.View(tag_layout(self._config), self.i_reads.payload.tag)
        written = data.View(tag_layout(self._config), self.i_writes.payload.tag)
        m.d.comb += [
            self.ring.enable.eq(self.i_reads.valid & (read.engine == Engine.LOAD)),
            self.ring.place.eq(read.place),
            self.buffer.enable.eq(self.i_reads.valid & (read.engine == Engine.TAIL)),
            self.buffer.place.eq(read.place),
            load.answered.valid.eq(self.ring.enable),
            load.answered.number.eq(read.number),
            tail.answered.valid.eq(self.buffer.enable),
            tail.answered.number.eq(read.number),
            store.answered.valid.eq(self.i_writes.valid),
            store.answered.number.eq(written.number),
        ]

        return m
