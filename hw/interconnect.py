"""The interconnect: a lane of its own from the tile to every memory channel, and back."""

from amaranth.hdl import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.config import Config, DieConfig
from hw.controller.requests.burst_run import run_length
from hw.protocol.commands import pim_layout, request_layout
from hw.repeated import repeated

__all__ = ["Link", "head_layout", "read_layout", "result_layout", "write_layout"]

#: Cycles from a burst's first column on the bus until it is in the cells: the second column, and
#: the register where the data bus enters the die.
_LANDING = 2


def head_layout(layout: data.StructLayout) -> data.StructLayout:
    """Shape of a request or PIM operation without its data, which follow a cycle later.

    The data are its uppermost bits.
    """
    head = data.StructLayout({name: f.shape for name, f in layout if name != "data"})
    assert layout["data"].offset == head.size
    return head


def read_layout(config: DieConfig, tag_bits: int) -> data.StructLayout:
    """Shape of a read's answer."""
    return data.StructLayout({"tag": tag_bits, "data": config.memory.burst_bytes * 8})


def write_layout(tag_bits: int) -> data.StructLayout:
    """Shape of a write's answer: it was accepted."""
    return data.StructLayout({"tag": tag_bits})


def result_layout(config: DieConfig) -> data.StructLayout:
    """Shape of a burst of PIM results."""
    return data.StructLayout({"data": config.memory.burst_bytes * 8})


class _Forward(wiring.Component):
    """One way to the controller: a buffer at its end, and credits for the buffer's entries.

    What is sent in cycle t can be taken from cycle t + cycles + 2 on; an entry taken in cycle t can
    be sent again from cycle t + cycles + 1 on. So nothing pushes back across the link but credits.

    Members
    -------
    i : ``In(stream.Signature(head_layout(layout)))``
        What is sent.
    i_data : ``In(bits of the data)``
        Its data, a cycle after it was sent.
    o : ``Out(stream.Signature(layout))``
        Both, in order.
    """

    def __init__(self, layout: data.StructLayout, cycles: int):
        self._layout = layout
        self._cycles = cycles
        super().__init__(
            {
                "i": In(stream.Signature(head_layout(layout))),
                "i_data": In(layout["data"].width),
                "o": Out(stream.Signature(layout)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # Enough for a transfer in nearly every cycle; a power of two, so that pointers just wrap.
        entries = 1 << (2 * self._cycles - 1).bit_length()
        head = head_layout(self._layout)
        m.submodules.heads = heads = Memory(shape=head.size, depth=entries, init=[])
        m.submodules.data = data_memory = Memory(
            shape=self._layout["data"].width, depth=entries, init=[]
        )

        # The tile's end. An entry is written at once; only the news of it takes its time.
        credits = Signal(range(entries + 1), init=entries)
        sent = Signal()
        sent_before = Signal()
        first, first_before = Signal(range(entries)), Signal(range(entries))
        write_head, write_data = heads.write_port(), data_memory.write_port()
        m.d.comb += [
            self.i.ready.eq(credits != 0),
            sent.eq(self.i.valid & self.i.ready),
            write_head.en.eq(sent),
            write_head.addr.eq(first),
            write_head.data.eq(self.i.payload),
            write_data.en.eq(sent_before),
            write_data.addr.eq(first_before),
            write_data.data.eq(self.i_data),
        ]
        m.d.sync += [
            first.eq(first + sent),
            first_before.eq(first),
            sent_before.eq(sent),
        ]

        # The wires.
        news = Signal(self._cycles)
        freed = Signal(self._cycles)
        taken = Signal()
        m.d.sync += [
            news.eq(Cat(sent, news)),
            freed.eq(Cat(taken, freed)),
            credits.eq(credits - sent + freed[-1]),
        ]

        # The controller's end.
        level = Signal(range(entries + 1))
        last = Signal(range(entries))
        fetch = Signal()
        read_head, read_data = heads.read_port(), data_memory.read_port()
        m.d.comb += [
            taken.eq(self.o.valid & self.o.ready),
            fetch.eq((level != 0) & (~self.o.valid | self.o.ready)),
            read_head.en.eq(fetch),
            read_head.addr.eq(last),
            read_data.en.eq(fetch),
            read_data.addr.eq(last),
        ]
        m.d.comb += self.o.payload.eq(Cat(read_head.data, read_data.data))
        m.d.sync += [
            last.eq(last + fetch),
            level.eq(level + news[-1] - fetch),
            self.o.valid.eq(fetch | (self.o.valid & ~self.o.ready)),
        ]

        return m


@repeated
class Link(wiring.Component):
    """What lies between the tile and one channel controller.

    Towards the controller a request or operation takes :attr:`forward` cycles from the cycle in
    which it is sent to the first in which it can be taken; requests and PIM operations have a
    buffer each, of ``2 × link_cycles`` entries rounded up to a power of two, and the sender one
    credit an entry. Answers take :attr:`back` cycles, always: the way back never stalls. So a
    completion at a controller and a request that it triggers are at least ``2 × link_cycles + 3``
    cycles apart.

    Read answers and PIM results share the wires for data: they may not come in one cycle, which
    the controller ensures (both arrive over the channel's one data bus).

    A write is answered when the controller accepts it (why that is enough:
    :class:`hw.npu.dma.lanes.DmaLane`); ``o_settled`` tells when it is in the cells.

    Members
    -------
    i_requests : ``In(stream.Signature(head_layout(request_layout(config, tag_bits))))``
        Ordinary requests of the tile.
    i_pim : ``In(stream.Signature(head_layout(pim_layout(config))))``
        PIM operations of the tile. Not in one cycle with a request that has data, if it has some.
    i_data : ``In(burst)``
        Data of what was sent in the cycle before.
    o_reads, o_writes, o_results : always-ready streams
        Answers to the tile.
    o_pim_done : ``Out(1)``
        Pulse to the tile: a PIM tile has ended.
    o_settled : ``Out(1)``
        To the tile: every write that was answered so far is in the cells. Sent
        nCWL + 3 cycles after the last WR.
    o_requests : ``Out(stream.Signature(request_layout(config, tag_bits)))``
        Ordinary requests to the controller.
    o_pim : ``Out(stream.Signature(pim_layout(config)))``
        PIM operations to the controller.
    i_reads, i_writes, i_results : always-ready streams
        Answers of the controller: for a write, its tag when it is accepted.
    i_written : ``In(1)``
        Pulse of the controller: WR of an accepted write is on the bus.
    i_pim_done : ``In(1)``
        Pulse of the controller.
    """

    def __init__(self, config: Config, tag_bits: int):
        self._config = config
        self._tag_bits = tag_bits
        self.forward = config.link.link_cycles + 2  #: Cycles from the tile to the controller.
        self.back = config.link.link_cycles + 1  #: Cycles from the controller to the tile.
        requests, pim = request_layout(config, tag_bits), pim_layout(config)
        reads = stream.Signature(read_layout(config, tag_bits), always_ready=True)
        writes = stream.Signature(write_layout(tag_bits), always_ready=True)
        results = stream.Signature(result_layout(config), always_ready=True)
        super().__init__(
            {
                "i_requests": In(stream.Signature(head_layout(requests))),
                "i_pim": In(stream.Signature(head_layout(pim))),
                "i_data": In(config.memory.burst_bytes * 8),
                "o_reads": Out(reads),
                "o_writes": Out(writes),
                "o_results": Out(results),
                "o_pim_done": Out(1),
                "o_settled": Out(1),
                "o_requests": Out(stream.Signature(requests)),
                "o_pim": Out(stream.Signature(pim)),
                "i_reads": In(reads),
                "i_writes": In(writes),
                "i_results": In(results),
                "i_written": In(1),
                "i_pim_done": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()

        # To the controller.
        for name, layout in (
            ("requests", request_layout(self._config, self._tag_bits)),
            ("pim", pim_layout(self._config)),
        ):
            m.submodules[name] = forward = _Forward(layout, self._config.link.link_cycles)
            wiring.connect(m, wiring.flipped(getattr(self, f"i_{name}")), forward.i)
            wiring.connect(m, forward.o, wiring.flipped(getattr(self, f"o_{name}")))
            m.d.comb += forward.i_data.eq(self.i_data)

        # Back: rings of as many entries as there are cycles, written only when something comes.
        # An entry is read just before its place is written again.
        cycles = self.back
        place, next_place = Signal(range(cycles)), Signal(range(cycles))
        underway = Signal()  # something comes or is on its way; else the rings rest
        m.d.comb += next_place.eq(Mux(place == cycles - 1, 0, place + 1))
        with m.If(underway):
            m.d.sync += place.eq(next_place)
        ways = []

        def delay(name, valid, payload):
            m.submodules[name] = ring = Memory(shape=len(payload), depth=cycles, init=[])
            coming = Signal(cycles - 1, name=f"{name}_coming")
            arrives = Signal(name=f"{name}_arrives")
            write, read = ring.write_port(), ring.read_port()
            m.d.comb += [
                write.en.eq(valid),
                write.addr.eq(place),
                write.data.eq(payload),
                read.en.eq(coming[-1]),
                read.addr.eq(next_place),
            ]
            m.d.sync += [coming.eq(Cat(valid, coming)), arrives.eq(coming[-1])]
            ways.append(valid | coming.any())
            return arrives, read.data

        is_read = self.i_reads.valid
        burst = Mux(is_read, self.i_reads.payload.data, self.i_results.payload.data)
        arrives, returned = delay(
            "returned",
            is_read | self.i_results.valid,
            Cat(burst, is_read, self.i_reads.payload.tag),
        )
        written, tag = delay("written", self.i_writes.valid, self.i_writes.payload.tag)
        m.d.comb += underway.eq(Cat(ways).any())
        bits = self._config.memory.burst_bytes * 8
        ended = Signal(cycles)
        m.d.sync += ended.eq(Cat(self.i_pim_done, ended))

        # Writes that were accepted and are not in the cells.
        waiting = Signal(range(self._config.controller.write_queue * run_length(self._config) + 1))
        landing = Signal(
            range(_LANDING + self._config.memory.timing.nCWL + 1)
        )  # cycles of the last one
        settled = Signal(cycles, init=-1)
        m.d.sync += [
            waiting.eq(waiting + self.i_writes.valid - self.i_written),
            settled.eq(Cat((waiting == 0) & (landing == 0) & ~self.i_writes.valid, settled)),
        ]
        with m.If(self.i_written):
            m.d.sync += landing.eq(self._config.memory.timing.nCWL + _LANDING)
        with m.Elif(landing != 0):
            m.d.sync += landing.eq(landing - 1)

        m.d.comb += [
            self.o_settled.eq(settled[-1]),
            self.o_reads.valid.eq(arrives & returned[bits]),
            self.o_reads.payload.data.eq(returned[:bits]),
            self.o_reads.payload.tag.eq(returned[bits + 1 :]),
            self.o_results.valid.eq(arrives & ~returned[bits]),
            self.o_results.payload.data.eq(returned[:bits]),
            self.o_writes.valid.eq(written),
            self.o_writes.payload.tag.eq(tag),
            self.o_pim_done.eq(ended[-1]),
        ]

        return m
