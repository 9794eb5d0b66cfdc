"""Activation memory and lane buffers, and the ports that their users have to them."""

from amaranth.hdl import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.config import TileConfig
from hw.npu.memories.tile_memory import ReadSignature, TileMemory, WriteSignature
from hw.npu.vector.ports import NumberFormat, OperandSignature, ResultSignature
from hw.program.instruction_set import LANE_SPACE

__all__ = ["LaneSignature", "TileMemories"]

#: Where a tile address has the channel of a lane buffer.
_CHANNEL = slice(20, 27)
_LANE = exact_log2(LANE_SPACE)


class LaneSignature(wiring.Signature):
    """A lane's ports to its buffer, seen from the lane; places count bursts.

    Members
    -------
    read : ``Out(StructLayout({"enable": 1, "place": …}))``
        Read.
    read_data : ``In(burst)``
        What was read in the cycle before.
    write : ``Out(StructLayout({"enable": 1, "place": …}))``
        Write.
    write_data : ``Out(burst)``
        What is written.
    """

    def __init__(self, config: TileConfig):
        places = exact_log2(config.npu.lane_buffer_bytes // config.memory.burst_bytes)
        access = data.StructLayout({"enable": 1, "place": places})
        bits = 8 * config.memory.burst_bytes
        super().__init__(
            {
                "read": Out(access),
                "read_data": In(bits),
                "write": Out(access),
                "write_data": Out(bits),
            }
        )


class TileMemories(wiring.Component):
    """The memories behind the tile addresses. Every user has ports of its own; nothing waits.

    Every vector unit reads three operands and writes a result in every cycle, in whatever memories
    the addresses select, so each memory has as many ports for each of them.

    Members
    -------
    gemm : ``In(ReadSignature(log2(activation_bytes), 2 * array_rows))``
        Rows of activations, for the matrix unit; one cycle.
    drain : ``In(WriteSignature(log2(activation_bytes), 4 * tile_columns, 2 * tile_columns))``
        Results of the matrix unit.
    a_{v}, b_{v}, c_{v} : ``In(OperandSignature(lanes))``
        Operands of vector unit v: data after two cycles.
    o_{v} : ``In(ResultSignature(lanes))``
        Results of vector unit v.
    lane_{c} : ``In(LaneSignature(config))``
        The lane and the PIM unit of channel c.
    bad_address : ``Out(1)``
        A vector unit addresses something outside of the memories in this cycle.
    """

    def __init__(self, config: TileConfig):
        self._config = config
        self._lanes = lanes = config.npu.lanes
        self._operands = [f"{name}_{v}" for v in range(config.npu.vector_units) for name in "abc"]
        self._results = [f"o_{v}" for v in range(config.npu.vector_units)]
        address_bits = exact_log2(config.npu.activation_bytes)
        row_bytes = 4 * config.npu.tile_columns
        super().__init__(
            {
                "gemm": In(ReadSignature(address_bits, 2 * config.npu.array_rows)),
                "drain": In(WriteSignature(address_bits, row_bytes, row_bytes // 2)),
                **{name: In(OperandSignature(lanes)) for name in self._operands},
                **{name: In(ResultSignature(lanes)) for name in self._results},
                **{f"lane_{c}": In(LaneSignature(config)) for c in range(config.memory.channels)},
                "bad_address": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        operand_bytes = 4 * self._lanes
        row_bytes = 4 * config.npu.tile_columns
        reads = [operand_bytes] * len(self._operands)
        writes = [(operand_bytes, 2)] * len(self._results)

        m.submodules.activations = activations = TileMemory(
            size_bytes=config.npu.activation_bytes,
            word_bytes=max(row_bytes, 2 * config.npu.array_rows, operand_bytes),
            reads=[*reads, 2 * config.npu.array_rows],
            writes=[*writes, (row_bytes, row_bytes // 2)],
        )
        other_read, other_write = f"read_{len(reads)}", f"write_{len(writes)}"
        wiring.connect(m, wiring.flipped(self.gemm), getattr(activations, other_read))
        wiring.connect(m, wiring.flipped(self.drain), getattr(activations, other_write))

        buffers = []
        burst_bits = exact_log2(config.memory.burst_bytes)
        for channel in range(config.memory.channels):
            buffer = TileMemory(
                size_bytes=config.npu.lane_buffer_bytes,
                word_bytes=max(config.memory.burst_bytes, operand_bytes),
                reads=[*reads, config.memory.burst_bytes],
                writes=[*writes, (config.memory.burst_bytes, config.memory.burst_bytes)],
            )
            m.submodules[f"lane_{channel}"] = buffer
            buffers.append(buffer)
            lane = getattr(self, f"lane_{channel}")
            read, write = getattr(buffer, other_read), getattr(buffer, other_write)
            m.d.comb += [
                read.enable.eq(lane.read.enable),
                read.address.eq(lane.read.place << burst_bits),
                lane.read_data.eq(read.data),
                write.enable.eq(lane.write.enable),
                write.address.eq(lane.write.place << burst_bits),
                write.data.eq(lane.write_data),
            ]

        # The vector units' operands. Stage 1: the memories; stage 2: select the memory and, in
        # bfloat16, the half.
        memories = [activations, *buffers]
        outside = []
        half_bits = 16 * self._lanes
        for index, name in enumerate(self._operands):
            port = getattr(self, name)
            ports = [getattr(memory, f"read_{index}") for memory in memories]
            chosen = self._select(m, port.address, name, outside, port.enable)
            selected = Signal(len(memories), name=f"{name}_selected")
            upper = Signal(name=f"{name}_upper")
            narrow = port.format == NumberFormat.BF16
            word = 0
            for number, memory_port in enumerate(ports):
                m.d.comb += [
                    memory_port.enable.eq(port.enable & chosen[number]),
                    memory_port.address.eq(port.address),
                ]
                word = word | Mux(selected[number], memory_port.data, 0)
            read = Signal(2 * half_bits, name=f"{name}_read")
            m.d.comb += read.eq(word)
            m.d.sync += [
                selected.eq(chosen),
                upper.eq(narrow & port.address[exact_log2(half_bits // 8)]),
                port.data.eq(Cat(Mux(upper, read[half_bits:], read[:half_bits]), read[half_bits:])),
            ]

        # Their results.
        for index, name in enumerate(self._results):
            port = getattr(self, name)
            chosen = self._select(m, port.address, name, outside, port.enable.any())
            wide = Cat(enable.replicate(2) for enable in port.enable)
            upper = port.address[exact_log2(half_bits // 8)]
            enable = Signal(2 * self._lanes, name=f"{name}_enable")
            results = Signal(2 * half_bits, name=f"{name}_results")
            with m.If(port.format == NumberFormat.BF16):
                m.d.comb += [
                    enable.eq(Mux(upper, port.enable << self._lanes, port.enable)),
                    results.eq(port.data[:half_bits].replicate(2)),
                ]
            with m.Else():
                m.d.comb += [enable.eq(wide), results.eq(port.data)]
            for number, memory in enumerate(memories):
                written = getattr(memory, f"write_{index}")
                m.d.comb += [
                    written.enable.eq(Mux(chosen[number], enable, 0)),
                    written.address.eq(port.address),
                    written.data.eq(results),
                ]
        m.d.comb += self.bad_address.eq(Cat(outside).any())

        return m

    def _select(self, m, address, name, outside, enable):
        """Return which memory an address selects: the activations (bit 0), a lane's buffer."""
        config = self._config
        chosen = Signal(1 + config.memory.channels, name=f"{name}_chosen")
        in_lane = address[_LANE]
        m.d.comb += [
            chosen[0].eq(
                ~in_lane & ~address[exact_log2(config.npu.activation_bytes) : _LANE].any()
            ),
        ]
        inside = ~address[exact_log2(config.npu.lane_buffer_bytes) : _CHANNEL.start].any()
        m.d.comb += [
            chosen[1 + c].eq(in_lane & inside & (address[_CHANNEL] == c))
            for c in range(config.memory.channels)
        ]
        outside.append(enable & ~chosen.any())
        return chosen
