"""Data of a controller: from writes to the bus, from the bus to read answers and results."""

from amaranth.hdl import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.config import ChannelConfig
from hw.controller.requests.burst_run import candidate_layout
from hw.delay_line import delayed
from hw.protocol.results import result_cycles

__all__ = ["DataPath"]


class DataPath(wiring.Component):
    """Moves bursts, column by column, in step with the commands.

    A command named in cycle c is on the command bus in c + 1.

    Members
    -------
    read, write : ``In(1)``, slot, place, tag, data : ``In``
        A read or a write is accepted in this cycle: its slot, its place in the slot's run, its tag,
        and the burst of a write.
    forward : ``In(1)``, forward_slot, forward_place : ``In``
        A read is accepted in this cycle, with ``tag``, that this pending write answers.
    forward_ready : ``Out(1)``
        Such a read may be.
    launch_read, launch_write : ``In(1)``, launch_slot, launch_place : ``In``
        RD or WR is named in this cycle, for this request.
    last : ``In(1)``
        With it, the run ends.
    launch_vector : ``In(1)``
        PIM_GWRITE_DATA is named in this cycle.
    o_tag : ``Out``
        Tag of the request that was launched in the cycle before.
    release : ``Out(1)``, release_slot : ``Out``
        The last burst of this slot of the writes is on its way; the slot is free.
    fetch : ``Out(1)``, vector : ``In``
        The next vector burst is wanted, and there in the next cycle.
    o_data : ``Out``, i_data : ``In``, i_valid : ``In(1)``
        The data bus.
    result : ``In(1)``
        What the bus carries in this cycle belongs to a result.
    o_reads, o_results : ``Out``
        Read answers and results. A read answer leaves one cycle after its second column; one that
        is forwarded two cycles after its acceptance, or three if the bus has an answer then.
    idle : ``Out(1)``
        No burst is on its way.
    """

    def __init__(self, config: ChannelConfig, *, tag_bits: int):
        self._config = config
        burst = config.memory.burst_bytes * 8
        candidate = candidate_layout(config)
        slot, place = candidate["slot"].shape, candidate["place"].shape
        reads = stream.Signature(
            data.StructLayout({"tag": tag_bits, "data": burst}), always_ready=True
        )
        results = stream.Signature(data.StructLayout({"data": burst}), always_ready=True)
        super().__init__(
            {
                "read": In(1),
                "write": In(1),
                "slot": In(slot),
                "place": In(place),
                "tag": In(tag_bits),
                "data": In(burst),
                "forward": In(1),
                "forward_slot": In(slot),
                "forward_place": In(place),
                "forward_ready": Out(1),
                "launch_read": In(1),
                "launch_write": In(1),
                "launch_slot": In(slot),
                "launch_place": In(place),
                "last": In(1),
                "launch_vector": In(1),
                "o_tag": Out(tag_bits),
                "release": Out(1),
                "release_slot": Out(slot),
                "fetch": Out(1),
                "vector": In(burst),
                "o_data": Out(config.memory.column_bytes * 8),
                "i_data": In(config.memory.column_bytes * 8),
                "i_valid": In(1),
                "result": In(1),
                "o_reads": Out(reads),
                "o_results": Out(results),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, timing = self._config, self._config.memory.timing
        width = config.memory.column_bytes * 8

        # Requests lie by slot and place. Tags of writes follow those of reads.
        places = 1 << self.place.shape().width
        slots = 1 << self.slot.shape().width
        m.submodules.tags = tags = Memory(shape=self.tag.shape(), depth=2 * slots * places, init=[])
        tag_write = tags.write_port()
        tag_read = tags.read_port()
        m.d.comb += [
            tag_write.addr.eq(Cat(self.place, self.slot, self.write)),
            tag_write.data.eq(self.tag),
            tag_write.en.eq(self.read | self.write),
            tag_read.addr.eq(Cat(self.launch_place, self.launch_slot, self.launch_write)),
            tag_read.en.eq(self.launch_read | self.launch_write),
            self.o_tag.eq(tag_read.data),
        ]

        # To the bus: a burst is read nCWL - 1 cycles after its command was named, its columns are
        # registered one after the other.
        m.submodules.bursts = bursts = Memory(
            shape=2 * width, depth=config.controller.write_queue * places, init=[]
        )
        write_port = bursts.write_port()
        read_port = bursts.read_port()
        wait = timing.nCWL - 1
        leaving = delayed(m, self.launch_write, wait, "write")
        place = delayed(m, self.launch_place, wait, "place")
        m.d.comb += [
            write_port.addr.eq(Cat(self.place, self.slot)),
            write_port.data.eq(self.data),
            write_port.en.eq(self.write),
            self.release.eq(delayed(m, self.launch_write & self.last, wait, "last")),
            self.release_slot.eq(delayed(m, self.launch_slot, wait, "slot")),
            self.fetch.eq(delayed(m, self.launch_vector, wait, "vector")),
            read_port.addr.eq(Cat(place, self.release_slot)),
            read_port.en.eq(leaving),
        ]
        low, high, from_vector = Signal(), Signal(), Signal()
        m.d.sync += [low.eq(leaving | self.fetch), high.eq(low)]
        with m.If(leaving | self.fetch):
            m.d.sync += from_vector.eq(self.fetch)
        upper = Signal(width)
        burst = Mux(from_vector, self.vector, read_port.data)
        with m.If(low):
            m.d.sync += [self.o_data.eq(burst[:width]), upper.eq(burst[width:])]
        with m.Elif(high):
            m.d.sync += self.o_data.eq(upper)

        # Tags of reads, in the order of their commands.
        entries = 1 << (timing.nCL // 2 + 4).bit_length()
        m.submodules.in_flight = in_flight = Memory(shape=self.tag.shape(), depth=entries, init=[])
        newest_port = in_flight.write_port()
        oldest_port = in_flight.read_port()
        newest, oldest = Signal(range(entries)), Signal(range(entries))
        launched = Signal()
        m.d.comb += [
            newest_port.addr.eq(newest),
            newest_port.data.eq(tag_read.data),
            newest_port.en.eq(launched),
            oldest_port.addr.eq(oldest),
        ]
        m.d.sync += [launched.eq(self.launch_read), newest.eq(newest + launched)]

        # A forwarded read takes the burst from where it waits for its WR; its answer leaves as soon
        # as the bus has none, which it cannot have in two cycles running.
        second = Signal()
        is_read = self.i_valid & ~self.result
        forward_port = bursts.read_port()
        forwarded, leaves = Signal(), Signal()
        forwarded_tag = Signal.like(self.tag)
        m.d.comb += [
            forward_port.addr.eq(Cat(self.forward_place, self.forward_slot)),
            forward_port.en.eq(self.forward),
            leaves.eq(forwarded & ~(is_read & second)),
            self.forward_ready.eq(~forwarded | ~second),
        ]
        m.d.sync += [
            forwarded.eq(self.forward | (forwarded & ~leaves)),
            self.o_reads.valid.eq((is_read & second) | leaves),
        ]
        with m.If(self.forward):
            m.d.sync += forwarded_tag.eq(self.tag)
        with m.If(leaves):
            m.d.sync += [
                self.o_reads.payload.tag.eq(forwarded_tag),
                self.o_reads.payload.data.eq(forward_port.data),
            ]

        # From the bus: two columns of a read are its answer.
        first_column = Signal(width)
        with m.If(is_read):
            m.d.sync += second.eq(~second)
            with m.If(second):
                m.d.sync += [
                    oldest.eq(oldest + 1),
                    self.o_reads.payload.tag.eq(oldest_port.data),
                    self.o_reads.payload.data.eq(Cat(first_column, self.i_data)),
                ]
            with m.Else():
                m.d.sync += first_column.eq(self.i_data)

        # A result is as many columns as all ranks drive; an odd last one makes a burst of its own.
        columns = result_cycles(config) - (config.memory.ranks - 1) * timing.nTURN
        column = Signal(range(max(2, columns)))
        result_low = Signal(width)
        is_result = self.i_valid & self.result
        ends = column == columns - 1
        m.d.sync += self.o_results.valid.eq(is_result & (column[0] | ends))
        with m.If(is_result):
            m.d.sync += column.eq(Mux(ends, 0, column + 1))
            with m.If(column[0]):
                m.d.sync += self.o_results.payload.data.eq(Cat(result_low, self.i_data))
            with m.Else():
                m.d.sync += [
                    result_low.eq(self.i_data),
                    self.o_results.payload.data.eq(self.i_data),
                ]

        rest = Signal(range(timing.nCWL + 3))  # cycles until the last burst has left
        with m.If(self.launch_write | self.launch_vector):
            m.d.sync += rest.eq(timing.nCWL + 2)
        with m.Elif(rest != 0):
            m.d.sync += rest.eq(rest - 1)
        quiet = (newest == oldest) & ~launched & (rest == 0) & ~self.o_reads.valid & ~forwarded
        m.d.comb += self.idle.eq(quiet)
        return m
