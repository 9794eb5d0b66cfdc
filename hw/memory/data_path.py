"""Data of a controller: from writes to the bus, from the bus to read answers and results."""

from amaranth.hdl import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.config import Config
from hw.memory.delay_line import delayed
from hw.pim.results import result_cycles

__all__ = ["DataPath"]


class DataPath(wiring.Component):
    """Moves bursts, column by column, in step with the commands.

    A command named in cycle c is on the command bus in c + 1.

    Members
    -------
    write, write_slot, write_data : ``In``
        A write is accepted in this cycle: its slot and its burst.
    launch_read : ``In(1)``, tag : ``In``
        RD is named in this cycle, for the request with this tag.
    launch_write : ``In(1)``, slot : ``In``
        WR is named in this cycle, for the write in this slot.
    launch_vector : ``In(1)``
        PIM_GWRITE_DATA is named in this cycle.
    release : ``Out(1)``, release_slot : ``Out``
        The burst of this slot is on its way; the slot is free.
    fetch : ``Out(1)``, vector : ``In``
        The next vector burst is wanted, and there in the next cycle.
    o_data : ``Out``, i_data : ``In``, i_valid : ``In(1)``
        The data bus.
    result : ``In(1)``
        What the bus carries in this cycle belongs to a result.
    o_reads, o_results : ``Out``
        Read answers and results. A read answer leaves one cycle after its second column.
    idle : ``Out(1)``
        No burst is on its way.
    """

    def __init__(self, config: Config, *, tag_bits: int):
        self._config = config
        burst = config.burst_bytes * 8
        reads = stream.Signature(
            data.StructLayout({"tag": tag_bits, "data": burst}), always_ready=True
        )
        results = stream.Signature(data.StructLayout({"data": burst}), always_ready=True)
        super().__init__(
            {
                "write": In(1),
                "write_slot": In(range(config.write_queue)),
                "write_data": In(burst),
                "launch_read": In(1),
                "tag": In(tag_bits),
                "launch_write": In(1),
                "slot": In(range(config.write_queue)),
                "launch_vector": In(1),
                "release": Out(1),
                "release_slot": Out(range(config.write_queue)),
                "fetch": Out(1),
                "vector": In(burst),
                "o_data": Out(config.column_bytes * 8),
                "i_data": In(config.column_bytes * 8),
                "i_valid": In(1),
                "result": In(1),
                "o_reads": Out(reads),
                "o_results": Out(results),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, timing = self._config, self._config.timing
        width = config.column_bytes * 8

        # To the bus: a burst is read nCWL - 1 cycles after its command was named, its columns are
        # registered one after the other.
        m.submodules.bursts = bursts = Memory(shape=2 * width, depth=config.write_queue, init=[])
        write_port = bursts.write_port()
        read_port = bursts.read_port()
        wait = timing.nCWL - 1
        m.d.comb += [
            write_port.addr.eq(self.write_slot),
            write_port.data.eq(self.write_data),
            write_port.en.eq(self.write),
            self.release.eq(delayed(m, self.launch_write, wait, "write")),
            self.release_slot.eq(delayed(m, self.slot, wait, "slot")),
            self.fetch.eq(delayed(m, self.launch_vector, wait, "vector")),
            read_port.addr.eq(self.release_slot),
            read_port.en.eq(self.release),
        ]
        low, high, from_vector = Signal(), Signal(), Signal()
        m.d.sync += [low.eq(self.release | self.fetch), high.eq(low)]
        with m.If(self.release | self.fetch):
            m.d.sync += from_vector.eq(self.fetch)
        upper = Signal(width)
        burst = Mux(from_vector, self.vector, read_port.data)
        with m.If(low):
            m.d.sync += [self.o_data.eq(burst[:width]), upper.eq(burst[width:])]
        with m.Elif(high):
            m.d.sync += self.o_data.eq(upper)

        # Tags of reads, in the order of their commands.
        places = 1 << (timing.nCL // 2 + 4).bit_length()
        m.submodules.tags = tags = Memory(shape=self.tag.shape(), depth=places, init=[])
        tag_write = tags.write_port()
        tag_read = tags.read_port()
        newest, oldest = Signal(range(places)), Signal(range(places))
        m.d.comb += [
            tag_write.addr.eq(newest),
            tag_write.data.eq(self.tag),
            tag_write.en.eq(self.launch_read),
            tag_read.addr.eq(oldest),
        ]
        m.d.sync += newest.eq(newest + self.launch_read)

        # From the bus: two columns of a read are its answer.
        second = Signal()
        first_column = Signal(width)
        is_read = self.i_valid & ~self.result
        m.d.sync += self.o_reads.valid.eq(is_read & second)
        with m.If(is_read):
            m.d.sync += second.eq(~second)
            with m.If(second):
                m.d.sync += [
                    oldest.eq(oldest + 1),
                    self.o_reads.payload.tag.eq(tag_read.data),
                    self.o_reads.payload.data.eq(Cat(first_column, self.i_data)),
                ]
            with m.Else():
                m.d.sync += first_column.eq(self.i_data)

        # A result is as many columns as all ranks drive; an odd last one makes a burst of its own.
        columns = result_cycles(config) - (config.ranks - 1) * timing.nTURN
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

        leaving = Signal(range(timing.nCWL + 3))  # cycles until the last burst is on the bus
        with m.If(self.launch_write | self.launch_vector):
            m.d.sync += leaving.eq(timing.nCWL + 2)
        with m.Elif(leaving != 0):
            m.d.sync += leaving.eq(leaving - 1)
        m.d.comb += self.idle.eq((newest == oldest) & (leaving == 0) & ~self.o_reads.valid)
        return m
