"""Where PIM results go in the lane buffer, and when a GEMV is complete."""

from amaranth.hdl import *
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.config import TileConfig
from hw.npu.instruction import operand_layout
from hw.program.instruction_set import Queue

__all__ = ["ResultWriter"]

#: GEMV instructions whose results may be outstanding (chosen).
OUTSTANDING = 4

#: What is kept of a GEMV: ``end`` is the number of tiles, modulo 2¹⁶, that end before or with it.
_RECORD = data.StructLayout(
    {
        "lane_address": 20,
        "lane_tile": 20,
        "lane_gemv": 20,
        "lane_slot": 20,
        "tiles": 16,
        "gemvs": 6,
        "slots": 6,
        "read": 1,
        "end": 16,
    }
)


class ResultWriter(wiring.Component):
    """Gives every burst of results its place, in the cycle in which it comes.

    Results come in the order of the instructions, tile after tile, PIM_GEMV after PIM_GEMV, slot
    after slot, ``result_bursts`` bursts a slot. An instruction must have been taken three cycles
    before its first result comes. Instructions that read nothing are counted off by ended tiles.

    Members
    -------
    i : ``In(stream.Signature(operand_layout(Queue.PIM)))``
        GEMV instructions.
    result, pim_done : ``In(1)``
        A burst has come; a tile has ended.
    write : ``Out(StructLayout({"enable": 1, "place": …}))``
        Where the burst goes in the lane buffer, by bursts.
    done : ``Out(1)``
        Pulse: the oldest instruction is complete; in the cycle after its last result, or two
        cycles after the end of its last tile.
    bad_address : ``Out(1)``
        The burst's place is outside of the lane buffer, or not aligned; it is not written.
    """

    def __init__(self, config: TileConfig):
        self._config = config
        places = exact_log2(config.npu.lane_buffer_bytes // config.memory.burst_bytes)
        super().__init__(
            {
                "i": In(stream.Signature(operand_layout(Queue.PIM))),
                "result": In(1),
                "pim_done": In(1),
                "write": Out(data.StructLayout({"enable": 1, "place": places})),
                "done": Out(1),
                "bad_address": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        burst_bits = exact_log2(config.memory.burst_bytes)
        m.submodules.records = records = fifo.SyncFIFOBuffered(
            width=_RECORD.size, depth=OUTSTANDING
        )

        # Remember an instruction, and how many tiles will have ended with it.
        end = Signal(16)
        following = data.View(_RECORD, records.w_data)
        for name in ("lane_address", "lane_tile", "lane_gemv", "lane_slot", "gemvs", "slots"):
            m.d.comb += following[name].eq(self.i.payload[name])
        m.d.comb += [
            following.tiles.eq(Mux(self.i.payload.read == 2, 1, self.i.payload.tiles)),
            following.read.eq(self.i.payload.read != 0),
            following.end.eq(end + self.i.payload.tiles),
            records.w_en.eq(self.i.valid),
            self.i.ready.eq(records.w_rdy),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += end.eq(following.end)

        # Offsets from lane_address: of the tile, of the PIM_GEMV in it, of the slot in that.
        record = data.View(_RECORD, records.r_data)
        tile, gemv, slot = Signal(21), Signal(21), Signal(21)
        burst = Signal(range(config.result_bursts))
        tiles, gemvs, slots = Signal(16), Signal(6), Signal(6)  # counted up to the record's
        place = Signal(22)
        last_burst, last_slot, last_gemv, last_tile = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            place.eq(record.lane_address + slot + (burst << burst_bits)),
            last_burst.eq(burst == config.result_bursts - 1),
            last_slot.eq(last_burst & (slots == record.slots - 1)),
            last_gemv.eq(last_slot & (gemvs == record.gemvs - 1)),
            last_tile.eq(last_gemv & (tiles == record.tiles - 1)),
            self.bad_address.eq(
                self.result
                & (
                    place[exact_log2(config.npu.lane_buffer_bytes) :].any()
                    | place[:burst_bits].any()
                )
            ),
            self.write.enable.eq(self.result & ~self.bad_address),
            self.write.place.eq(place[burst_bits:]),
        ]
        with m.If(self.result):
            m.d.sync += burst.eq(Mux(last_burst, 0, burst + 1))
            with m.If(last_tile):
                m.d.sync += [tile.eq(0), gemv.eq(0), slot.eq(0)]
                m.d.sync += [tiles.eq(0), gemvs.eq(0), slots.eq(0)]
            with m.Elif(last_gemv):
                following_tile = tile + record.lane_tile
                m.d.sync += [x.eq(following_tile) for x in (tile, gemv, slot)]
                m.d.sync += [tiles.eq(tiles + 1), gemvs.eq(0), slots.eq(0)]
            with m.Elif(last_slot):
                following_gemv = gemv + record.lane_gemv
                m.d.sync += [x.eq(following_gemv) for x in (gemv, slot)]
                m.d.sync += [gemvs.eq(gemvs + 1), slots.eq(0)]
            with m.Elif(last_burst):
                m.d.sync += [slot.eq(slot + record.lane_slot), slots.eq(slots + 1)]

        # Completion.
        ended = Signal(16)
        all_ended = Signal()
        complete = Signal()
        m.d.comb += [
            all_ended.eq(~(ended - record.end)[15]),
            complete.eq(records.r_rdy & Mux(record.read, self.result & last_tile, all_ended)),
            records.r_en.eq(complete),
        ]
        m.d.sync += [ended.eq(ended + self.pim_done), self.done.eq(complete)]

        return m
