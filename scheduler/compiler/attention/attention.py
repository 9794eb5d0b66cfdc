"""Attention of one request: logits and values in the banks, softmax on the vector unit."""

import math

import numpy as np

from hw.config import Config
from hw.program.instruction_set import Opcode, Queue
from hw.program.program import Label
from scheduler.compiler.attention.buffers import Decode, WorkBuffers
from scheduler.compiler.attention.kv_geometry import KvGeometry
from scheduler.compiler.attention.pim_tile import tile_cycles
from scheduler.compiler.attention.value_tail import ValueTail
from scheduler.compiler.buffers import Buffer
from scheduler.compiler.builder import ProgramBuilder, Region
from scheduler.compiler.dense.qkv_layout import QkvLayout
from scheduler.models.shape import ModelShape

__all__ = ["AttentionCompiler"]


class AttentionCompiler:
    """Emits the steps of attention for one request at a time; schedules call them in their order.

    Every step is for a range of KV heads, a whole number of head groups, and all query heads that
    share them. Between the steps nothing is shared but the regions of their buffers, so the order
    of the calls decides what overlaps.
    """

    def __init__(self, config: Config, shape: ModelShape, builder: ProgramBuilder) -> None:
        self.config = config
        self.shape = shape
        self.builder = builder
        self.geometry = KvGeometry.of(config, shape)
        self.layout = QkvLayout(shape, self.geometry.group_heads)
        self.tail = ValueTail(config, shape, builder)
        self._half = [0] * config.memory.channels
        self._keys: dict[tuple[int, int], list[tuple[range, Region]]] = {}

    def store_keys(
        self, decode: Decode, layer: int, qkv: Buffer, heads: range, label: Label
    ) -> None:
        """Store the new token's keys."""
        config, layout = self.config, self.layout
        page, bank = divmod(decode.position, config.memory.banks)
        group_bytes = layout.group_heads * self.shape.d_head * 2
        stored = self._keys.setdefault((decode.request, layer), [])
        for piece in self.geometry.k_rows(heads):
            region = Region("keys")
            stored.append((piece.heads, region))
            column = layout.key_column(piece.heads.start)
            row = int(decode.k_rows[layer, piece.part, page])
            self.builder.emit(
                Queue.STORE,
                Opcode.STORE,
                label,
                reads=qkv.part(column, self._columns(piece.heads)),
                writes=[region],
                address=row * config.memory.page_bytes
                + bank * config.memory.row_bytes
                + piece.place * self.shape.d_head * 2,
                bursts=group_bytes // config.memory.burst_bytes,
                rows=len(piece.heads) // layout.group_heads,
                stride=group_bytes,
                lanes=1 << decode.channel,
                lane_address=qkv.offset + column * 2,
                lane_stride=layout.group_columns * 2,
            )

    def logit(
        self,
        decode: Decode,
        layer: int,
        qkv: Buffer,
        work: WorkBuffers,
        heads: range,
        label: Label,
    ) -> None:
        """Multiply queries with keys, in the banks: a slot a query head, k columns each."""
        config, geometry, shape, layout = self.config, self.geometry, self.shape, self.layout
        queue = Queue.PIM + decode.channel
        sharing = shape.query_group
        k = shape.d_head // config.mac_lanes
        tiles = decode.position // config.memory.banks + 1
        for piece in geometry.k_pieces(heads):
            half = self._next_half(decode.channel)
            column = layout.query_column(piece.heads.start)
            block = layout.key_column(piece.heads.start)
            queries = layout.group_heads * sharing
            self.builder.emit(
                queue,
                Opcode.VECTOR,
                label,
                reads=qkv.part(block, self._columns(piece.heads)),
                lane_address=qkv.offset + column * 2,
                lane_stride=layout.group_columns * 2,
                bursts=queries * shape.d_head * 2 // config.memory.burst_bytes,
                rows=len(piece.heads) // layout.group_heads,
                half=half,
                offset_row=queries * k,
            )
            self.builder.emit(
                queue,
                Opcode.GEMV,
                label,
                reads=self._stored_keys(decode, layer, piece.heads),
                writes=work.logits.part(*self._queries(piece.heads)),
                lane_address=work.logits.offset + piece.heads.start * sharing * shape.context * 4,
                half=half,
                list=self.builder.list_rows(
                    decode.channel, decode.k_rows[layer, piece.part, :tiles]
                ),
                tiles=tiles,
                length=tile_cycles(config, len(piece.heads), sharing, k, True),
                gemvs=len(piece.heads),
                k=k,
                column=piece.place * k,
                column_gemv=k,
                offset_gemv=sharing * k,
                offset_step=k,
                slot_gemv=sharing,
                slots=sharing,
                read=1,
                lane_tile=config.result_bytes,
                lane_gemv=sharing * shape.context * 4,
                lane_slot=shape.context * 4,
            )

    def softmax(self, decode: Decode, work: WorkBuffers, heads: range, label: Label) -> None:
        """Turn logits into weights."""
        shape = self.shape
        scale = np.float32(1.0 / math.sqrt(shape.d_head))
        first, count = self._queries(heads)
        self.builder.emit(
            Queue.ATTENTION,
            Opcode.SOFTMAX,
            label,
            reads=work.logits.part(first, count),
            writes=work.weights.part(first, count),
            rows=count,
            n=decode.position + 1,
            a=work.logits.address + first * shape.context * 4,
            a_stride=shape.context * 4,
            o=work.weights.address + first * shape.context * 2,
            o_stride=shape.context * 2,
            x=int(scale.view(np.uint32)),
        )

    def attend(
        self, decode: Decode, layer: int, work: WorkBuffers, heads: range, label: Label
    ) -> None:
        """Sum the values of all complete pages, weighted, in the banks.

        A GEMV a query head, and a slot of it for each group of B elements.
        """
        config, geometry, shape = self.config, self.geometry, self.shape
        tokens = decode.position // geometry.v_tokens * geometry.v_tokens
        queue = Queue.PIM + decode.channel
        k = geometry.v_tokens // config.mac_lanes
        for piece in geometry.v_pieces(heads):
            first, count = self._queries(piece.heads)
            room = config.vector_columns // count * config.mac_lanes
            limit = room // geometry.v_tokens * geometry.v_tokens
            for start in range(0, tokens, limit):
                taken = min(limit, tokens - start)
                half = self._next_half(decode.channel)
                columns = taken // config.mac_lanes
                last = start + taken == tokens
                pages = decode.v_rows[
                    layer,
                    piece.part,
                    start // geometry.v_tokens : (start + taken) // geometry.v_tokens,
                ]
                self.builder.emit(
                    queue,
                    Opcode.VECTOR,
                    label,
                    reads=work.weights.part(first, count),
                    lane_address=work.weights.offset + first * shape.context * 2 + start * 2,
                    lane_stride=shape.context * 2,
                    bursts=taken * 2 // config.memory.burst_bytes,
                    rows=count,
                    half=half,
                    offset_row=columns,
                )
                self.builder.emit(
                    queue,
                    Opcode.GEMV,
                    label,
                    writes=work.result.part(first, count),
                    lane_address=work.result.offset + first * shape.d_head * 4,
                    half=half,
                    list=self.builder.list_rows(decode.channel, pages),
                    tiles=len(pages),
                    length=tile_cycles(config, count, geometry.v_groups, k, last),
                    gemvs=count,
                    k=k,
                    column=piece.place * geometry.v_groups * k,
                    queries=shape.query_group,
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

    def _stored_keys(self, decode: Decode, layer: int, heads: range) -> list[Region]:
        """Return the regions of the new token's keys that belong to KV heads."""
        return [
            region
            for kept, region in self._keys[decode.request, layer]
            if kept.start < heads.stop and heads.start < kept.stop
        ]

    def _columns(self, heads: range) -> int:
        """Return the columns of QKV from the first of some KV heads' groups to their last."""
        return len(heads) // self.layout.group_heads * self.layout.group_columns

    def _queries(self, heads: range) -> tuple[int, int]:
        """Return the first of the query heads that share KV heads, and how many they are."""
        return heads.start * self.shape.query_group, len(heads) * self.shape.query_group

    def _next_half(self, channel: int) -> int:
        self._half[channel] ^= 1
        return self._half[channel]
