"""Attention of one request: logits and values in the banks, softmax and tail on the vector unit."""

import math
from dataclasses import dataclass

import numpy as np

from hw.config import Config
from hw.isa import Format, Opcode, Queue, lane_tile_address
from hw.pim.results import result_schedule
from hw.program import Label
from scheduler.compiler.builder import ProgramBuilder, Region
from scheduler.compiler.placement import Buffer, KvGeometry, SpaceAllocator
from scheduler.models.shape import ModelShape

__all__ = ["AttentionCompiler", "Decode", "WorkBuffers", "tile_cycles"]


def tile_cycles(config: Config, gemvs: int, slots: int, k: int, read: bool) -> int:
    """Return the cycles of a PIM tile, from its first activation to its end, at most.

    All bank groups are activated, each filling its rank's four-activate window; the columns of all
    commands follow, then precharge. Ranks share the command bus. A command whose results would
    meet those of the one before waits for them.
    """
    t = config.timing
    opened = (config.bank_groups - 1) * t.nFAW + config.ranks + t.product_delay
    issue = 0
    free = 0
    for _ in range(gemvs):
        if read:
            schedule = result_schedule(config, slots, k)
            issue = max(issue, free - schedule[0][0])
            free = issue + schedule[-1][1] + t.nTURN
        issue += slots * k * t.nCCDL
    slot_grid = 2 * (gemvs + config.groups + 1)  # row and column commands take turns
    return max(t.nRAS, opened + issue + t.nRTPL) + t.nRP + slot_grid


@dataclass(frozen=True, slots=True)
class Decode:
    """One request's step in an iteration.

    Attributes
    ----------
    request, channel
        Its number, and the channel that its cache lives in.
    row
        Its row in the activations of its sub-batch.
    position
        Tokens in the cache before this one.
    k_rows, v_rows, tail_rows
        DRAM rows of its pages: ``[layer, part, page]`` for keys and values, ``[layer]`` for the
        first row of the tail.
    """

    request: int
    channel: int
    row: int
    position: int
    k_rows: np.ndarray
    v_rows: np.ndarray
    tail_rows: np.ndarray


@dataclass(frozen=True, slots=True)
class WorkBuffers:
    """Buffers in a lane buffer that one request's attention uses while it lasts."""

    tail: Buffer
    transposed: Buffer
    logits: Buffer
    weights: Buffer
    result: Buffer

    @classmethod
    def take(
        cls, config: Config, shape: ModelShape, space: SpaceAllocator, index: int
    ) -> "WorkBuffers":
        """Allocate one set."""
        geometry = KvGeometry.of(config, shape)
        tail = geometry.v_tokens * geometry.token_bytes
        return cls(
            tail=space.take(f"tail {index}", tail),
            transposed=space.take(
                f"transposed tail {index}",
                geometry.v_parts
                * geometry.v_heads
                * geometry.v_groups
                * config.banks
                * (config.burst_bytes),
            ),
            logits=space.take(f"logits {index}", shape.heads * shape.context * 4),
            weights=space.take(f"weights {index}", shape.heads * shape.context * 2),
            result=space.take(f"attention {index}", shape.heads * shape.d_head * 4),
        )


class AttentionCompiler:
    """Emits the steps of attention for one request at a time; schedules call them in their order.

    Between the steps nothing is shared but the regions of their buffers, so the order of the calls
    decides what overlaps.
    """

    def __init__(self, config: Config, shape: ModelShape, builder: ProgramBuilder) -> None:
        self.config = config
        self.shape = shape
        self.builder = builder
        self.geometry = KvGeometry.of(config, shape)
        self._half = [0] * config.channels
        self._stored: dict[tuple[int, int], tuple[Region, Region]] = {}

    def _address(self, row: int) -> int:
        return row * self.config.banks * self.config.row_bytes

    def _offset(self, buffer: Buffer) -> int:
        return buffer.address & 0xFFFFF

    def store_token(self, decode: Decode, layer: int, qkv: Buffer, label: Label) -> None:
        """Store the new key, and the new value in the tail."""
        config, geometry = self.config, self.geometry
        lane = 1 << decode.channel
        bank = decode.position % config.banks
        page = decode.position // config.banks
        stored_key, stored_value = Region("key"), Region("value")
        self._stored[decode.request, layer] = stored_key, stored_value
        key_bytes = geometry.k_heads * self.shape.d_head * 2
        for part in range(geometry.k_parts):
            row = int(decode.k_rows[layer, part, page])
            self.builder.emit(
                Queue.STORE,
                Opcode.STORE,
                label,
                reads=[qkv.region],
                writes=[stored_key],
                address=self._address(row) + bank * config.row_bytes,
                bursts=key_bytes // config.burst_bytes,
                rows=1,
                lanes=lane,
                lane_address=self._offset(qkv) + geometry.token_bytes + part * key_bytes,
            )
        tail = self._address(int(decode.tail_rows[layer]))
        in_tail = decode.position % geometry.v_tokens
        self.builder.emit(
            Queue.STORE,
            Opcode.STORE,
            label,
            reads=[qkv.region],
            writes=[stored_value],
            address=tail + in_tail * geometry.token_bytes,
            bursts=geometry.token_bytes // config.burst_bytes,
            rows=1,
            lanes=lane,
            lane_address=self._offset(qkv) + 2 * geometry.token_bytes,
        )

    def load_tail(self, decode: Decode, layer: int, work: WorkBuffers, label: Label) -> None:
        """Load the tail, the new value included."""
        config, geometry = self.config, self.geometry
        in_tail = decode.position % geometry.v_tokens
        self.builder.emit(
            Queue.TAIL,
            Opcode.LOAD,
            label,
            reads=[self._stored[decode.request, layer][1]],
            writes=[work.tail.region],
            address=self._address(int(decode.tail_rows[layer])),
            bursts=(in_tail + 1) * geometry.token_bytes // config.burst_bytes,
            rows=1,
            lanes=1 << decode.channel,
            lane_address=self._offset(work.tail),
        )

    def logit(
        self, decode: Decode, layer: int, qkv: Buffer, work: WorkBuffers, label: Label
    ) -> None:
        """Multiply the queries of all heads with the keys, in the banks."""
        config, geometry, shape = self.config, self.geometry, self.shape
        queue = Queue.PIM + decode.channel
        k = shape.d_head // config.mac_lanes
        tiles = decode.position // config.banks + 1
        part_bytes = geometry.k_heads * shape.d_head * 2
        for part in range(geometry.k_parts):
            half = self._next_half(decode.channel)
            heads = min(geometry.k_heads, shape.heads - part * geometry.k_heads)
            self.builder.emit(
                queue,
                Opcode.VECTOR,
                label,
                reads=[qkv.region],
                lane_address=self._offset(qkv) + part * part_bytes,
                bursts=heads * shape.d_head * 2 // config.burst_bytes,
                rows=1,
                half=half,
            )
            self.builder.emit(
                queue,
                Opcode.GEMV,
                label,
                reads=[self._stored[decode.request, layer][0]],
                writes=[work.logits.region],
                lane_address=self._offset(work.logits)
                + part * geometry.k_heads * shape.context * 4,
                half=half,
                list=self._list(decode.channel, decode.k_rows[layer, part, :tiles]),
                tiles=tiles,
                length=tile_cycles(config, heads, 1, k, True),
                gemvs=heads,
                k=k,
                column_gemv=k,
                offset_gemv=k,
                slot_gemv=1,
                slots=1,
                read=1,
                lane_tile=config.result_bytes,
                lane_gemv=shape.context * 4,
            )

    def softmax(self, decode: Decode, work: WorkBuffers, label: Label) -> None:
        """Turn logits into weights."""
        shape = self.shape
        scale = np.float32(1.0 / math.sqrt(shape.d_head))
        self.builder.emit(
            Queue.ATTENTION,
            Opcode.SOFTMAX,
            label,
            reads=[work.logits.region],
            writes=[work.weights.region],
            rows=shape.heads,
            n=decode.position + 1,
            a=work.logits.address,
            a_stride=shape.context * 4,
            o=work.weights.address,
            o_stride=shape.context * 2,
            x=int(scale.view(np.uint32)),
        )

    def attend(self, decode: Decode, layer: int, work: WorkBuffers, label: Label) -> None:
        """Sum the values of all complete pages, weighted, in the banks."""
        config, geometry, shape = self.config, self.geometry, self.shape
        tokens = decode.position // geometry.v_tokens * geometry.v_tokens
        if not tokens:
            return
        queue = Queue.PIM + decode.channel
        k = geometry.v_tokens // config.mac_lanes
        for part in range(geometry.v_parts):
            first_head = part * geometry.v_heads
            heads = min(geometry.v_heads, shape.heads - first_head)
            room = config.vector_columns // heads * config.mac_lanes
            limit = room // geometry.v_tokens * geometry.v_tokens
            for start in range(0, tokens, limit):
                count = min(limit, tokens - start)
                half = self._next_half(decode.channel)
                columns = count // config.mac_lanes
                last = start + count == tokens
                pages = decode.v_rows[
                    layer, part, start // geometry.v_tokens : (start + count) // geometry.v_tokens
                ]
                self.builder.emit(
                    queue,
                    Opcode.VECTOR,
                    label,
                    reads=[work.weights.region],
                    lane_address=self._offset(work.weights)
                    + first_head * shape.context * 2
                    + start * 2,
                    lane_stride=shape.context * 2,
                    bursts=count * 2 // config.burst_bytes,
                    rows=heads,
                    half=half,
                    offset_row=columns,
                )
                self.builder.emit(
                    queue,
                    Opcode.GEMV,
                    label,
                    writes=[work.result.region],
                    lane_address=self._offset(work.result) + first_head * shape.d_head * 4,
                    half=half,
                    list=self._list(decode.channel, pages),
                    tiles=len(pages),
                    length=tile_cycles(config, heads, geometry.v_groups, k, last),
                    gemvs=heads,
                    k=k,
                    column_gemv=geometry.v_groups * k,
                    column_step=k,
                    offset_gemv=columns,
                    offset_tile=k,
                    slot_gemv=geometry.v_groups,
                    slots=geometry.v_groups,
                    read=2 if last else 0,
                    lane_gemv=shape.d_head * 4,
                    lane_slot=config.result_bytes,
                )

    def tail(
        self, decode: Decode, layer: int, work: WorkBuffers, output: Buffer, label: Label
    ) -> None:
        """Add the tail's share; store the tail as a page of values when it is complete."""
        geometry, shape = self.geometry, self.shape
        in_tail = decode.position % geometry.v_tokens
        complete = decode.position - in_tail
        self.builder.emit(
            Queue.ATTENTION,
            Opcode.TAIL,
            label,
            reads=[work.weights.region, work.tail.region]
            + ([work.result.region] if complete else []),
            writes=[output.region],
            function=int(complete > 0),
            rows=shape.heads,
            n=shape.d_head,
            m=in_tail + 1,
            a=work.result.address,
            a_stride=shape.d_head * 4,
            b=work.weights.address + complete * 2,
            b_stride=shape.context * 2,
            c=work.tail.address,
            c_stride=geometry.token_bytes,
            o=output.address + decode.row * geometry.token_bytes,
            o_stride=shape.d_head * 2,
            o_format=Format.BF16,
        )
        if in_tail + 1 == geometry.v_tokens:
            self._store_page(decode, layer, work, label)

    def _store_page(self, decode: Decode, layer: int, work: WorkBuffers, label: Label) -> None:
        config, geometry, shape = self.config, self.geometry, self.shape
        burst = config.burst_bytes
        bank_bytes = geometry.v_heads * geometry.v_groups * burst
        part_bytes = bank_bytes * config.banks
        for head in range(shape.heads):
            part, place = divmod(head, geometry.v_heads)
            self.builder.emit(
                Queue.ATTENTION,
                Opcode.TRANSPOSE,
                label,
                reads=[work.tail.region],
                writes=[work.transposed.region],
                rows=geometry.v_tokens,
                n=shape.d_head,
                a=work.tail.address + head * shape.d_head * 2,
                a_stride=geometry.token_bytes,
                o=work.transposed.address + part * part_bytes + place * geometry.v_groups * burst,
                o_stride=bank_bytes,
                c_stride=burst,
            )
        page = decode.position // geometry.v_tokens
        for part in range(geometry.v_parts):
            self.builder.emit(
                Queue.STORE,
                Opcode.STORE,
                label,
                reads=[work.transposed.region],
                address=self._address(int(decode.v_rows[layer, part, page])),
                bursts=geometry.v_heads * geometry.v_groups,
                rows=config.banks,
                stride=config.row_bytes,
                lanes=1 << decode.channel,
                lane_address=self._offset(work.transposed) + part * part_bytes,
                lane_stride=bank_bytes,
            )

    def _next_half(self, channel: int) -> int:
        self._half[channel] ^= 1
        return self._half[channel]

    def _list(self, channel: int, rows: np.ndarray) -> int:
        """Append rows to the channel's row list; return the index of the first."""
        entries = self.builder.row_lists[channel]
        start = len(entries)
        entries += [int(row) for row in rows]
        if len(entries) > self.config.row_list_entries:
            raise ValueError(
                f"row_list_entries must be at least {len(entries)}, "
                f"not {self.config.row_list_entries}"
            )
        return start


def lane_space(config: Config, channel: int) -> SpaceAllocator:
    """Return an allocator for a channel's lane buffer."""
    return SpaceAllocator(
        f"lane_buffer_bytes (channel {channel})",
        lane_tile_address(channel, 0),
        config.lane_buffer_bytes,
        max(config.burst_bytes, 4 * config.lanes),
    )
