"""V's tail: the values of the last tokens, fewer than fill a page, which stay token-major."""

from collections.abc import Iterator

from hw.config import Config
from hw.program.instruction_set import Element, Format, Opcode, Queue
from hw.program.program import Label
from scheduler.compiler.attention.buffers import Decode, WorkBuffers
from scheduler.compiler.attention.kv_geometry import KvGeometry
from scheduler.compiler.buffers import Buffer
from scheduler.compiler.builder import ProgramBuilder
from scheduler.compiler.dense.qkv_layout import QkvLayout
from scheduler.models.shape import ModelShape

__all__ = ["ValueTail"]


class ValueTail:
    """Emits what has to do with the tails of requests, one request at a time.

    A tail is a range of bytes, token after token, over the rows that the request has for it: whole
    ones are loaded through the channel's row list.
    """

    def __init__(self, config: Config, shape: ModelShape, builder: ProgramBuilder) -> None:
        self.config = config
        self.shape = shape
        self.builder = builder
        self.geometry = KvGeometry.of(config, shape)
        self.layout = QkvLayout(shape, self.geometry.group_heads)

    def store(self, decode: Decode, layer: int, qkv: Buffer, label: Label) -> None:
        """Store the new token's values, of all heads, in the tail, for later iterations."""
        geometry, page_bytes = self.geometry, self.config.memory.page_bytes
        column = self.layout.value_column
        in_tail = decode.position % geometry.v_tokens
        first = in_tail * geometry.token_bytes
        for start, nbytes in self._page_pieces(first, geometry.token_bytes):
            page, offset = divmod(start, page_bytes)
            self.builder.emit(
                Queue.STORE,
                Opcode.STORE,
                label,
                reads=qkv.part(column, self.shape.d_kv),
                address=int(decode.tail_rows[layer, page]) * page_bytes + offset,
                bursts=nbytes // self.config.memory.burst_bytes,
                rows=1,
                lanes=1 << decode.channel,
                lane_address=qkv.offset + column * 2 + start - first,
            )

    def load(self, decode: Decode, layer: int, work: WorkBuffers, label: Label) -> None:
        """Load the tail as earlier iterations have left it: before its new values are there."""
        config, geometry = self.config, self.geometry
        in_tail = decode.position % geometry.v_tokens
        pages, rest = divmod(in_tail * geometry.token_bytes, config.memory.page_bytes)
        tail_rows = decode.tail_rows[layer]
        if pages:
            self.builder.emit(
                Queue.TAIL,
                Opcode.LOAD_PAGES,
                label,
                writes=[work.loaded],
                bursts=config.memory.page_bytes // config.memory.burst_bytes,
                rows=1,
                lanes=1 << decode.channel,
                lane_address=work.tail.offset,
                lane_stride=config.memory.page_bytes,
                pages=pages,
                list=self.builder.list_rows(decode.channel, tail_rows[:pages]),
            )
        if rest:
            self.builder.emit(
                Queue.TAIL,
                Opcode.LOAD,
                label,
                writes=[work.loaded],
                address=int(tail_rows[pages]) * config.memory.page_bytes,
                bursts=rest // config.memory.burst_bytes,
                rows=1,
                lanes=1 << decode.channel,
                lane_address=work.tail.offset + pages * config.memory.page_bytes,
            )

    def append(self, decode: Decode, qkv: Buffer, work: WorkBuffers, label: Label) -> None:
        """Put the new token's values behind the tail, without a way through the channel."""
        column = self.layout.value_column
        in_tail = decode.position % self.geometry.v_tokens
        self.builder.emit(
            Queue.ATTENTION,
            Opcode.ELEMENTWISE,
            label,
            reads=qkv.part(column, self.shape.d_kv),
            writes=[work.added],
            function=Element.COPY,
            rows=1,
            n=self.shape.d_kv,
            a=qkv.address + column * 2,
            o=work.tail.address + in_tail * self.geometry.token_bytes,
        )

    def attend(
        self, decode: Decode, work: WorkBuffers, output: Buffer, heads: range, label: Label
    ) -> None:
        """Add the tail's share: an instruction for every query head that shares a KV head."""
        geometry, shape = self.geometry, self.shape
        in_tail = decode.position % geometry.v_tokens
        complete = decode.position - in_tail
        sharing = shape.query_group
        first, count = heads.start * sharing, len(heads) * sharing
        reads = [*work.weights.part(first, count), *work.tail.regions]
        if complete:
            reads += work.result.part(first, count)
        for query in range(first, first + sharing):
            self.builder.emit(
                Queue.ATTENTION,
                Opcode.TAIL,
                label,
                reads=reads,
                writes=output.part(first * shape.d_head, count * shape.d_head),
                function=int(complete > 0),
                rows=len(heads),
                n=shape.d_head,
                m=in_tail + 1,
                a=work.result.address + query * shape.d_head * 4,
                a_stride=sharing * shape.d_head * 4,
                b=work.weights.address + query * shape.context * 2 + complete * 2,
                b_stride=sharing * shape.context * 2,
                c=work.tail.address + heads.start * shape.d_head * 2,
                c_stride=geometry.token_bytes,
                o=output.address + (decode.row * shape.d_query + query * shape.d_head) * 2,
                o_stride=sharing * shape.d_head * 2,
                o_format=Format.BF16,
            )

    def store_page(self, decode: Decode, layer: int, work: WorkBuffers, label: Label) -> None:
        """Store the tail as a page of values, if it is complete."""
        config, geometry, shape = self.config, self.geometry, self.shape
        page, in_tail = divmod(decode.position, geometry.v_tokens)
        if in_tail + 1 < geometry.v_tokens:
            return
        burst = config.memory.burst_bytes
        bank_bytes = geometry.v_heads * geometry.v_groups * burst
        part_bytes = bank_bytes * config.memory.banks
        for head in range(shape.kv_heads):
            part, place = divmod(head, geometry.v_heads)
            self.builder.emit(
                Queue.ATTENTION,
                Opcode.TRANSPOSE,
                label,
                reads=work.tail.regions,
                writes=[work.transposed.region],
                rows=geometry.v_tokens,
                n=shape.d_head,
                a=work.tail.address + head * shape.d_head * 2,
                a_stride=geometry.token_bytes,
                o=work.transposed.address + part * part_bytes + place * geometry.v_groups * burst,
                o_stride=bank_bytes,
                c_stride=burst,
            )
        for part in range(geometry.v_parts):
            self.builder.emit(
                Queue.STORE,
                Opcode.STORE,
                label,
                reads=[work.transposed.region],
                address=int(decode.v_rows[layer, part, page]) * config.memory.page_bytes,
                bursts=geometry.v_heads * geometry.v_groups,
                rows=config.memory.banks,
                stride=config.memory.row_bytes,
                lanes=1 << decode.channel,
                lane_address=work.transposed.offset + part * part_bytes,
                lane_stride=bank_bytes,
            )

    def _page_pieces(self, first: int, nbytes: int) -> Iterator[tuple[int, int]]:
        """Cut bytes of a tail into those that lie in one page each: where they start, how many."""
        start, page_bytes = first, self.config.memory.page_bytes
        while start < first + nbytes:
            end = min(first + nbytes, (start // page_bytes + 1) * page_bytes)
            yield start, end - start
            start = end
