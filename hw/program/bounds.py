"""What an instruction reads and writes: ranges of bytes of the memories, for checks by the host."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hw.config import TileConfig
from hw.program.instruction_set import (
    LANE_SPACE,
    Element,
    Format,
    Norm,
    Opcode,
    Queue,
    Tail,
    queue_kind,
)

__all__ = ["Access", "accesses", "outside"]


@dataclass(frozen=True, slots=True)
class Access:
    """Addresses of one memory, from the first to the last that an operand touches.

    Attributes
    ----------
    memory
        What messages call the memory.
    size
        Its size; addresses from there on are outside.
    start, end
        The first address, and that behind the last one. Of all memories but the row list, the rows
        that it names, the vector buffer, the accumulators and slots, which count entries, addresses
        are in bytes.
    write
        Whether it is written.
    grain
        What the start must be a multiple of.
    """

    memory: str
    size: int
    start: int
    end: int
    write: bool
    grain: int = 1

    @property
    def legal(self) -> bool:
        """Whether it is inside of the memory, and aligned."""
        return self.end <= self.size and self.start % self.grain == 0

    def __str__(self) -> str:
        what = "writes" if self.write else "reads"
        if self.start % self.grain:
            return f"{what} {self.memory} from {self.start:#x} on, no multiple of {self.grain}"
        return (
            f"{what} {self.memory} from {self.start:#x} to {self.end:#x}, which ends at "
            f"{self.size:#x}"
        )


def outside(
    config: TileConfig, queue: int, record: Any, row_lists: Sequence[Any] = ()
) -> Access | None:
    """Return the first access of an instruction that no memory can take; None if all are legal."""
    found = accesses(config, queue, record, row_lists)
    return next((access for access in found if not access.legal), None)


def accesses(
    config: TileConfig, queue: int, record: Any, row_lists: Sequence[Any] = ()
) -> Iterator[Access]:
    """Yield what an instruction reads and writes, of each memory the range that it spans.

    The weight ring, which has no end, is not among them.

    Parameters
    ----------
    config
        The device.
    queue
        Number of the instruction's queue.
    record
        Its fields by name.
    row_lists
        The row list of each channel; without them, rows that they name are not among the accesses.
    """
    kind = queue_kind(queue)
    opcode = Opcode(int(record["opcode"]))
    r = _Fields(record)
    if opcode in (Opcode.END, Opcode.ALLREDUCE):
        return
    if opcode is Opcode.LOAD_PAGES:
        yield from _pages(config, r, row_lists)
    elif kind in (Queue.LOAD, Queue.TAIL, Queue.STORE):
        yield from _transfer(config, kind, r)
    elif kind is Queue.MATRIX:
        yield from _matrix(config, opcode, r)
    elif kind is Queue.PIM:
        yield from _pim(config, queue - Queue.PIM, opcode, r, row_lists)
    else:
        yield from _vector(config, opcode, r)


class _Fields:
    """Fields of an instruction as integers."""

    def __init__(self, record: Any) -> None:
        self._record = record

    def __getattr__(self, name: str) -> int:
        return int(self._record[name])


def _span(start: int, *steps: tuple[int, int], length: int) -> tuple[int, int]:
    """Return first address and end of pieces of a length, of counts of them and strides between."""
    return start, start + sum((count - 1) * stride for count, stride in steps) + length


def _transfer(config: TileConfig, kind: Queue, r: _Fields) -> Iterator[Access]:
    """LOAD and STORE; one without bursts, rows or lanes does nothing."""
    if not r.rows or not r.bursts:
        return
    length = r.bursts * config.memory.burst_bytes
    lanes = (1 << config.memory.channels) - 1 if kind is Queue.LOAD else r.lanes
    for channel in range(config.memory.channels):
        if not lanes >> channel & 1:
            continue
        grain = config.memory.burst_bytes
        span = _span(r.address, (r.rows, r.stride), length=length)
        store = kind is Queue.STORE
        yield Access(f"channel {channel}", config.memory.channel_bytes, *span, store, grain)
        if kind is not Queue.LOAD:
            span = _span(r.lane_address, (r.rows, r.lane_stride), length=length)
            memory = f"lane buffer {channel}"
            yield Access(memory, config.npu.lane_buffer_bytes, *span, not store, grain)


def _pages(config: TileConfig, r: _Fields, row_lists: Sequence[Any]) -> Iterator[Access]:
    """LOAD_PAGES; one without pages, bursts, rows or lanes does nothing."""
    if not r.pages or not r.rows or not r.bursts:
        return
    length = r.bursts * config.memory.burst_bytes
    grain = config.memory.burst_bytes
    for channel in range(config.memory.channels):
        if not r.lanes >> channel & 1:
            continue
        yield from _listed(config, channel, r.list, r.pages, row_lists)
        span = _span(r.address, (r.rows, r.stride), length=length)
        yield Access("a page", config.memory.page_bytes, *span, False, grain)
        span = _span(r.lane_address, (r.rows * r.pages, r.lane_stride), length=length)
        yield Access(f"lane buffer {channel}", config.npu.lane_buffer_bytes, *span, True, grain)


def _listed(
    config: TileConfig, channel: int, first: int, count: int, row_lists: Sequence[Any]
) -> Iterator[Access]:
    """Entries of a channel's row list, and the rows that they name."""
    yield Access("row list", config.npu.row_list_entries, first, first + count, False)
    for row in row_lists[channel][first : first + count] if row_lists else ():
        yield Access(
            f"rows of channel {channel}", config.memory.rows, int(row), int(row) + 1, False
        )


def _matrix(config: TileConfig, opcode: Opcode, r: _Fields) -> Iterator[Access]:
    """Yield what WEIGHTS, GEMM and DRAIN use; the units look at the starts of rows."""
    if opcode is Opcode.WEIGHTS:
        yield Access("weight ring", config.npu.weight_ring_bytes, r.ring, r.ring + 1, False)
        return
    write = opcode is Opcode.DRAIN
    number = 4 if write and r.format == Format.BINARY32 else 2
    columns = config.npu.tile_columns if write else config.npu.array_rows
    span = _span(r.address, (r.rows, r.stride), length=number * columns)
    yield Access("activation memory", config.npu.activation_bytes, *span, write)
    yield Access("accumulators", config.npu.accumulator_rows, 0, r.rows, not write)


def _pim(
    config: TileConfig, channel: int, opcode: Opcode, r: _Fields, row_lists: Sequence[Any]
) -> Iterator[Access]:
    """VECTOR and GEMV."""
    memory, size = f"lane buffer {channel}", config.npu.lane_buffer_bytes
    grain = config.memory.burst_bytes
    if opcode is Opcode.VECTOR:
        length = r.bursts * config.memory.burst_bytes
        span = _span(r.lane_address, (r.rows, r.lane_stride), length=length)
        yield Access(memory, size, *span, False, grain)
        span = _span(r.offset, (r.rows, r.offset_row), length=2 * r.bursts)
        yield Access("vector buffer", config.vector_columns, *span, True, 2)
        return
    yield from _listed(config, channel, r.list, r.tiles, row_lists)
    columns = _span(
        r.column, (r.gemvs, r.column_gemv), (r.slots, r.column_step), length=max(r.k, 1)
    )
    yield Access("row", config.memory.columns, *columns, False)
    columns = _span(
        r.offset,
        *((r.gemvs, r.offset_gemv), (r.slots, r.offset_step), (r.tiles, r.offset_tile)),
        length=max(r.k, 1),
    )
    yield Access("vector buffer", config.vector_columns, *columns, False)
    slots = _span(r.slot, (r.gemvs, r.slot_gemv), length=r.slots)
    yield Access("accumulator slots", config.pim.slots, *slots, True)
    if r.read:
        span = _span(
            r.lane_address,
            (1 if r.read == 2 else r.tiles, r.lane_tile),
            *((r.gemvs, r.lane_gemv), (r.slots, r.lane_slot)),
            length=config.result_bursts * config.memory.burst_bytes,
        )
        yield Access(memory, size, *span, True, grain)


def _vector(config: TileConfig, opcode: Opcode, r: _Fields) -> Iterator[Access]:
    """Instructions of the vector unit; one without rows or elements does nothing."""
    if not r.rows or not r.n:
        return
    unit = config.npu.lanes
    a_bytes = _BYTES[Format.BINARY32 if opcode in _BINARY32_A else Format(r.a_format)]
    b_bytes, o_bytes = _BYTES[Format(r.b_format)], _BYTES[Format(r.o_format)]
    row = r.n * r.m if opcode is Opcode.ROTARY else r.n

    def operand(name: str, write: bool, *steps: tuple[int, int], length: int) -> Access:
        start, end = _span(getattr(r, name), *steps, length=length)
        if start & LANE_SPACE:
            memory, size = f"lane buffer {start >> 20 & 0x7F}", config.npu.lane_buffer_bytes
            if start >> 20 & 0x7F >= config.memory.channels:
                size = 0
            base = start & ~0xFFFFF
        else:
            memory, size, base = "activation memory", config.npu.activation_bytes, 0
        return Access(memory, size, start - base, end - base, write)

    if not (opcode is Opcode.TAIL and r.function == Tail.NOTHING):
        yield operand("a", False, (r.rows, r.a_stride), length=row * a_bytes)
    if opcode is Opcode.ELEMENTWISE and r.function != Element.COPY:
        yield operand("b", False, (r.rows, r.b_stride), length=row * b_bytes)
    elif opcode is Opcode.ROTARY:
        yield operand("b", False, (r.rows, r.b_stride), length=r.n * b_bytes)
    elif opcode is Opcode.NORM:
        yield operand("b", False, length=row * b_bytes)
        if r.function == Norm.LAYER:
            yield operand("c", False, length=row * b_bytes)
    elif opcode is Opcode.TAIL and r.m:
        yield operand("b", False, (r.rows, r.b_stride), length=r.m * 2)
        yield operand("c", False, (r.m, r.c_stride), length=r.rows * r.n * 2)

    if opcode is Opcode.TRANSPOSE:
        steps = (
            (min(r.n, config.memory.banks), r.o_stride),
            (-(-r.n // config.memory.banks), r.c_stride),
        )
        yield operand("o", True, *steps, length=r.rows * 2)
    elif opcode in (Opcode.ARGMAX, Opcode.REDUCE):
        number = 4 if opcode is Opcode.ARGMAX else o_bytes
        yield operand("o", True, (r.rows, r.o_stride), length=unit * number)
    elif opcode is Opcode.SOFTMAX:
        yield operand("o", True, (r.rows, r.o_stride), length=-(-r.n // unit) * unit * 2)
    else:
        yield operand("o", True, (r.rows, r.o_stride), length=row * o_bytes)


_BYTES = {Format.BF16: 2, Format.BINARY32: 4}
_BINARY32_A = (Opcode.ARGMAX, Opcode.SOFTMAX, Opcode.TAIL)
