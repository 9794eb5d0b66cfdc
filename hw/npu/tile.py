"""The NPU tile: queues, DMA lanes, matrix unit, vector units, PIM units and their memories."""

from amaranth.hdl import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.config import TileConfig
from hw.interconnect import head_layout, read_layout, result_layout, write_layout
from hw.npu.completion import AllReduce, Join
from hw.npu.dma.engine import tag_layout
from hw.npu.dma.lanes import DmaLane
from hw.npu.instruction_queue import token_queues
from hw.npu.matrix.unit import MatrixUnit
from hw.npu.memories.row_list import RowList, list_layout
from hw.npu.memories.tile_memories import TileMemories
from hw.npu.memories.weight_ring import WeightRing, stripe_bytes
from hw.npu.pim.unit import PimUnit
from hw.npu.sequencer import Sequencer, error_layout, queue_kinds
from hw.npu.vector.units import VectorUnits
from hw.program.instruction_set import Opcode, Queue, bit_layout
from hw.protocol.commands import pim_layout, request_layout

__all__ = ["ChannelSignature", "Tile", "check_ranks"]


def check_ranks(config: TileConfig) -> None:
    """Check that bits of an index share tokens and elements out over all banks of a channel.

    Raises
    ------
    ValueError
        If they do not.
    """
    if config.memory.ranks & (config.memory.ranks - 1):
        raise ValueError(
            "ranks must be a power of two where there is an NPU tile (a memory channel alone may "
            f"have others), not {config.memory.ranks!r}"
        )


class ChannelSignature(wiring.Signature):
    """What a tile has towards one channel: one side of a :class:`hw.interconnect.Link`.

    Members
    -------
    requests, pim : streams out
        Requests and PIM operations without their data.
    data : ``Out(burst)``
        Data of what was sent in the cycle before.
    reads, writes, results : always-ready streams in
        Answers.
    pim_done : ``In(1)``
        Pulse: a PIM tile has ended.
    settled : ``In(1)``
        Every write that was answered is in the cells.
    """

    def __init__(self, config: TileConfig):
        tag_bits = tag_layout(config).size
        requests = head_layout(request_layout(config, tag_bits))
        answers = {
            "reads": read_layout(config, tag_bits),
            "writes": write_layout(tag_bits),
            "results": result_layout(config),
        }
        super().__init__(
            {
                "requests": Out(stream.Signature(requests)),
                "pim": Out(stream.Signature(head_layout(pim_layout(config)))),
                "data": Out(8 * config.memory.burst_bytes),
                **{
                    name: In(stream.Signature(layout, always_ready=True))
                    for name, layout in answers.items()
                },
                "pim_done": In(1),
                "settled": In(1),
            }
        )


class Tile(wiring.Component):
    """Executes programs; see :class:`hw.npu.sequencer.Sequencer` for their order.

    The vector units serve two queues: when both have an instruction that may start, the attention
    queue's goes first. The two load queues and the store queue work in all lanes at once, and an
    instruction of theirs starts when every lane has room for it.

    Members
    -------
    queue_{q} : ``In(stream.Signature(unsigned(width)))``
        Instructions of queue ``q``.
    list_write_{c} : ``In(list_layout(config))``
        Write of the row list of channel c.
    start, retire, done, error
        As of the sequencer.
    channel_{c} : ``Out(ChannelSignature(config))``
        To the link of channel c.
    matrix_row, vector_busy : ``Out(1)``
        A row of activations enters the arrays; the vector units work.
    """

    def __init__(self, config: TileConfig):
        check_ranks(config)
        self._config = config
        self._kinds = queue_kinds(config)
        channels = range(config.memory.channels)
        super().__init__(
            {
                **{
                    f"queue_{q}": In(stream.Signature(unsigned(bit_layout(kind)[1])))
                    for q, kind in enumerate(self._kinds)
                },
                **{f"list_write_{c}": In(list_layout(config)) for c in channels},
                "start": Out(token_queues(config)),
                "retire": Out(token_queues(config)),
                "done": Out(1),
                "error": Out(error_layout(config)),
                **{f"channel_{c}": Out(ChannelSignature(config)) for c in channels},
                "matrix_row": Out(1),
                "vector_busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.sequencer = sequencer = Sequencer(config)
        m.submodules.weight_ring = ring = WeightRing(config)
        m.submodules.memories = memories = TileMemories(config)
        for q in range(token_queues(config)):
            name = f"queue_{q}"
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(sequencer, name))
        m.d.comb += [
            self.start.eq(sequencer.start),
            self.retire.eq(sequencer.retire),
            self.done.eq(sequencer.done),
            self.error.eq(sequencer.error),
        ]
        channels = [getattr(self, f"channel_{c}") for c in range(config.memory.channels)]
        m.d.comb += sequencer.settled.eq(Cat(channel.settled for channel in channels).all())
        lanes = self._elaborate_lanes(m, sequencer, ring, memories)
        self._elaborate_dma(m, sequencer, lanes)
        self._elaborate_matrix(m, sequencer, ring, memories)
        self._elaborate_vector(m, sequencer, memories)
        m.submodules.all_reduce = all_reduce = AllReduce()
        wiring.connect(m, getattr(sequencer, f"o_{Queue.LINK}"), all_reduce.i)
        m.d.comb += getattr(sequencer, f"done_{Queue.LINK}").eq(all_reduce.done)
        return m

    def _elaborate_lanes(self, m, sequencer, ring, memories):
        """Put the DMA lane and the PIM unit of every channel to its memories and its link."""
        lanes = []
        for c in range(self._config.memory.channels):
            m.submodules[f"dma_{c}"] = lane = DmaLane(self._config)
            m.submodules[f"pim_{c}"] = pim = PimUnit(self._config)
            m.submodules[f"row_list_{c}"] = row_list = RowList(self._config)
            lanes.append(lane)
            channel = getattr(self, f"channel_{c}")
            buffer = getattr(memories, f"lane_{c}")
            stripes = getattr(ring, f"lane_{c}")
            wiring.connect(m, lane.o_requests, wiring.flipped(channel.requests))
            wiring.connect(m, pim.o_pim, wiring.flipped(channel.pim))
            wiring.connect(m, wiring.flipped(channel.reads), lane.i_reads)
            wiring.connect(m, wiring.flipped(channel.writes), lane.i_writes)
            wiring.connect(m, pim.rows, row_list.tiles)
            wiring.connect(m, lane.rows, row_list.pages)

            # Reads of the buffer: stores go before vectors; both send the data on in the next
            # cycle. Writes: read answers and results never come together.
            m.d.comb += [
                pim.read_busy.eq(lane.read.enable),
                buffer.read.enable.eq(lane.read.enable | pim.read.enable),
                buffer.read.place.eq(Mux(lane.read.enable, lane.read.place, pim.read.place)),
                channel.data.eq(buffer.read_data),
                pim.result.eq(channel.results.valid),
                pim.pim_done.eq(channel.pim_done),
                row_list.write.eq(getattr(self, f"list_write_{c}")),
                buffer.write.enable.eq(lane.buffer.enable | pim.write.enable),
                buffer.write.place.eq(Mux(lane.buffer.enable, lane.buffer.place, pim.write.place)),
                buffer.write_data.eq(
                    Mux(
                        lane.buffer.enable, channel.reads.payload.data, channel.results.payload.data
                    )
                ),
                stripes.enable.eq(lane.ring.enable),
                stripes.address.eq(lane.ring.place),
                stripes.data.eq(channel.reads.payload.data),
            ]

            q = Queue.PIM + c
            wiring.connect(m, getattr(sequencer, f"o_{q}"), pim.i)
            m.d.comb += [
                getattr(sequencer, f"done_{q}").eq(pim.done),
                sequencer.bad_address[q].eq(pim.bad_address),
            ]
        return lanes

    def _elaborate_dma(self, m, sequencer, lanes):
        """Give every lane the instructions of the load queues and the store queue."""
        stripe_bits = exact_log2(stripe_bytes(self._config))
        for queue, name in ((Queue.LOAD, "load"), (Queue.TAIL, "tail"), (Queue.STORE, "store")):
            issued = getattr(sequencer, f"o_{queue}")
            operands = issued.payload
            ports = [getattr(lane, f"i_{name}") for lane in lanes]
            m.submodules[f"{name}_join"] = join = Join(len(lanes), 2 * self._config.npu.descriptors)
            m.d.comb += [
                issued.ready.eq(Cat(port.ready for port in ports).all()),
                join.i.eq(Cat(lane.done[queue] for lane in lanes)),
                getattr(sequencer, f"done_{queue}").eq(join.o),
                sequencer.bad_address[queue].eq(
                    Cat(lane.bad_address[queue] for lane in lanes).any()
                ),
            ]
            for c, port in enumerate(ports):
                m.d.comb += port.valid.eq(issued.valid & issued.ready)
                m.d.comb += [
                    port.payload[field].eq(operands[field])
                    for field in ("address", "bursts", "rows", "stride")
                ]
                if queue is Queue.LOAD:
                    m.d.comb += [
                        port.payload.place.eq(operands.ring[stripe_bits:]),
                        port.payload.enable.eq(1),
                    ]
                else:
                    m.d.comb += [
                        port.payload.place.eq(operands.lane_address),
                        port.payload.place_stride.eq(operands.lane_stride),
                        port.payload.enable.eq(operands.lanes[c]),
                    ]
                if queue is Queue.TAIL:
                    m.d.comb += [
                        port.payload.paged.eq(operands.opcode == Opcode.LOAD_PAGES),
                        port.payload.pages.eq(operands.pages),
                        port.payload.list.eq(operands.list),
                    ]

    def _elaborate_matrix(self, m, sequencer, ring, memories):
        m.submodules.matrix_unit = unit = MatrixUnit(self._config)
        wiring.connect(m, unit.ring, ring.read)
        wiring.connect(m, unit.activations, memories.gemm)
        wiring.connect(m, unit.results, memories.drain)
        issued = getattr(sequencer, f"o_{Queue.MATRIX}")
        for port, opcode in (
            (unit.i_weights, Opcode.WEIGHTS),
            (unit.i_gemm, Opcode.GEMM),
            (unit.i_drain, Opcode.DRAIN),
        ):
            m.d.comb += port.valid.eq(issued.valid & (issued.payload.opcode == opcode))
            m.d.comb += [
                port.payload[name].eq(issued.payload[name]) for name in port.payload.shape().members
            ]
            with m.If(issued.payload.opcode == opcode):
                m.d.comb += issued.ready.eq(port.ready)
        m.d.comb += [
            getattr(sequencer, f"done_{Queue.MATRIX}").eq(
                Cat(unit.done_weights, unit.done_gemm, unit.done_drain)
            ),
            sequencer.bad_address[Queue.MATRIX].eq(unit.o_bad_address),
            self.matrix_row.eq(unit.o_macs),
        ]

    def _elaborate_vector(self, m, sequencer, memories):
        m.submodules.vector_units = units = VectorUnits(self._config)
        for number in range(self._config.npu.vector_units):
            for name in (f"{operand}_{number}" for operand in "abco"):
                wiring.connect(m, getattr(units, name), getattr(memories, name))
        epilogue = getattr(sequencer, f"o_{Queue.EPILOGUE}")
        attention = getattr(sequencer, f"o_{Queue.ATTENTION}")

        holder = Signal(Queue)  # whose instruction, or whose two, are at work
        offered = Signal(Queue)
        taken = units.i.valid & units.i.ready
        m.d.comb += [
            units.i.valid.eq(attention.valid | epilogue.valid),
            units.i.payload.eq(Mux(attention.valid, attention.payload, epilogue.payload)),
            offered.eq(Mux(attention.valid, Queue.ATTENTION, Queue.EPILOGUE)),
            units.overlap.eq(units.i.payload.overlap & (offered == holder)),
            attention.ready.eq(units.i.ready),
            epilogue.ready.eq(units.i.ready & ~attention.valid),
            self.vector_busy.eq(units.busy),
        ]
        with m.If(taken):
            m.d.sync += holder.eq(offered)
        for queue in (Queue.EPILOGUE, Queue.ATTENTION):
            m.d.comb += [
                getattr(sequencer, f"done_{queue}").eq(units.done & (holder == queue)),
                sequencer.bad_address[queue].eq(memories.bad_address & (holder == queue)),
            ]
