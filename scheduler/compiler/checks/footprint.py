"""Which bytes of which memories an instruction reads and writes."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from hw.config import Config
from hw.program.instruction_set import LANE_SPACE, Element, Format, Norm, Opcode, Queue
from hw.program.program import Program

__all__ = ["Access", "accesses", "memories"]

Record = Mapping[str, int]


class Access(NamedTuple):
    """Bytes that an instruction reads or writes.

    Attributes
    ----------
    memory
        Its name, one of :func:`memories`.
    start, nbytes
        First byte of the first piece, and bytes of a piece.
    strides
        Count and stride in bytes of each level at which pieces repeat.
    write
        Whether they are written.
    """

    memory: str
    start: int
    nbytes: int
    strides: tuple[tuple[int, int], ...]
    write: bool

    def granules(self, size: int) -> np.ndarray:
        """Return the numbers of the granules of ``size`` bytes that hold the bytes."""
        if not self.nbytes:
            return np.zeros(0, np.int64)
        places = self.start + np.arange(0, self.nbytes + size - 1, size)
        places[-1] = self.start + self.nbytes - 1
        for count, stride in self.strides:
            places = np.add.outer(np.arange(count) * stride, places).ravel()
        return np.unique(places // size)


def memories(config: Config) -> dict[str, int]:
    """Return the memories of a device that queues share, and their bytes."""
    sizes = {
        "weight ring": config.npu.weight_ring_bytes,
        "activation memory": config.npu.activation_bytes,
    }
    for channel in range(config.memory.channels):
        sizes[f"lane buffer {channel}"] = config.npu.lane_buffer_bytes
        sizes[f"channel {channel}"] = config.memory.channel_bytes
    return sizes


def accesses(config: Config, program: Program, queue: int, record: Record) -> Iterator[Access]:
    """Yield what an instruction reads and writes in the memories that queues share."""
    opcode = Opcode(record["opcode"])
    if opcode is Opcode.LOAD_PAGES:
        yield from _pages(config, program, record)
    elif opcode in (Opcode.LOAD, Opcode.STORE):
        yield from _moves(config, opcode, queue, record)
    elif opcode is Opcode.WEIGHTS:
        yield from _ring(config, record["ring"], config.npu.weight_tile_bytes, False)
    elif opcode is Opcode.GEMM:
        rows = ((record["rows"], record["stride"]),)
        nbytes = config.npu.array_rows * 2
        yield Access("activation memory", record["address"], nbytes, rows, False)
    elif opcode is Opcode.DRAIN:
        rows = ((record["rows"], record["stride"]),)
        nbytes = config.npu.tile_columns * (4 if record["format"] == Format.BINARY32 else 2)
        yield Access("activation memory", record["address"], nbytes, rows, True)
    elif queue >= Queue.PIM:
        yield from _pim(config, program, queue - Queue.PIM, opcode, record)
    elif opcode not in (Opcode.END, Opcode.ALLREDUCE):
        yield from _vector_unit(config, opcode, record)


def _ring(config: Config, start: int, nbytes: int, write: bool) -> Iterator[Access]:
    """Bytes of the weight ring, behind whose end comes its beginning."""
    before_end = min(nbytes, config.npu.weight_ring_bytes - start)
    yield Access("weight ring", start, before_end, (), write)
    rest = min(nbytes - before_end, config.npu.weight_ring_bytes)
    yield Access("weight ring", 0, rest, (), write)


def _moves(config: Config, opcode: Opcode, queue: int, record: Record) -> Iterator[Access]:
    """Weights, other loads, and stores."""
    store = opcode is Opcode.STORE
    nbytes = record["bursts"] * config.memory.burst_bytes
    outside = ((record["rows"], record["stride"]),)
    if queue == Queue.LOAD:
        total = record["rows"] * nbytes * config.memory.channels
        yield from _ring(config, record["ring"], total, True)
    for channel in range(config.memory.channels):
        if queue == Queue.LOAD or record["lanes"] >> channel & 1:
            yield Access(f"channel {channel}", record["address"], nbytes, outside, store)
        if queue != Queue.LOAD and record["lanes"] >> channel & 1:
            inside = ((record["rows"], record["lane_stride"]),)
            lane = f"lane buffer {channel}"
            yield Access(lane, record["lane_address"], nbytes, inside, not store)


def _pages(config: Config, program: Program, record: Record) -> Iterator[Access]:
    """Pages of the channels that take part, and where they go."""
    nbytes = record["bursts"] * config.memory.burst_bytes
    rows, first, pages = record["rows"], record["list"], record["pages"]
    for channel in range(config.memory.channels):
        if not record["lanes"] >> channel & 1:
            continue
        for page in program.row_lists[channel][first : first + pages].tolist():
            start = page * config.memory.page_bytes + record["address"]
            yield Access(f"channel {channel}", start, nbytes, ((rows, record["stride"]),), False)
        inside = ((rows * pages, record["lane_stride"]),)
        yield Access(f"lane buffer {channel}", record["lane_address"], nbytes, inside, True)


def _pim(
    config: Config, program: Program, channel: int, opcode: Opcode, record: Record
) -> Iterator[Access]:
    """Vectors out of the lane buffer; rows of all banks, and results into the lane buffer."""
    lane = f"lane buffer {channel}"
    if opcode is Opcode.VECTOR:
        rows = ((record["rows"], record["lane_stride"]),)
        nbytes = record["bursts"] * config.memory.burst_bytes
        yield Access(lane, record["lane_address"], nbytes, rows, False)
    elif opcode is Opcode.GEMV:
        gemvs, slots = record["gemvs"], record["slots"]
        sets = -(-gemvs // max(record["queries"], 1))  # of GEMVs with the same columns
        columns = (
            (slots, record["column_step"] * config.memory.column_bytes),
            (sets, record["column_gemv"] * config.memory.column_bytes),
            (config.memory.banks, config.memory.row_bytes),
        )
        nbytes = record["k"] * config.memory.column_bytes
        first = record["column"] * config.memory.column_bytes
        last = record["list"] + record["tiles"]
        for row in program.row_lists[channel][record["list"] : last].tolist():
            start = row * config.memory.page_bytes + first
            yield Access(f"channel {channel}", start, nbytes, columns, False)
        if record["read"]:
            tiles = record["tiles"] if record["read"] == 1 else 1
            results = (
                (slots, record["lane_slot"]),
                (gemvs, record["lane_gemv"]),
                (tiles, record["lane_tile"]),
            )
            yield Access(lane, record["lane_address"], config.result_bytes, results, True)


def _vector_unit(config: Config, opcode: Opcode, record: Record) -> Iterator[Access]:
    """Operands and results of the vector unit; without rows or elements there are none."""
    rows, n, m = record["rows"], record["n"], record["m"]
    if not rows or not n:
        return
    width = n * m if opcode is Opcode.ROTARY else n

    def operand(
        name: str, elements: int, size: int, count: int = rows, write: bool = False
    ) -> Access:
        address = record[name]
        memory, start = "activation memory", address
        if address & LANE_SPACE:
            memory, start = f"lane buffer {(address ^ LANE_SPACE) >> 20}", address & 0xFFFFF
        strides = ((count, record[f"{name}_stride"]),)
        return Access(memory, start, elements * size, strides, write)

    def size(name: str) -> int:
        return 4 if record[f"{name}_format"] == Format.BINARY32 else 2

    if opcode is Opcode.SOFTMAX:
        yield operand("a", n, 4)
        yield operand("o", n + -n % config.npu.lanes, 2, write=True)
    elif opcode is Opcode.ARGMAX:
        yield operand("a", n, 4)
        yield operand("o", config.npu.lanes, 4, write=True)
    elif opcode is Opcode.TAIL:
        if record["function"]:
            yield operand("a", n, 4)
        yield operand("b", m, 2)
        yield operand("c", rows * n, 2, count=m)
        yield operand("o", n, size("o"), write=True)
    elif opcode is Opcode.TRANSPOSE:
        yield operand("a", n, 2)
        whole, rest = divmod(n, config.memory.banks)
        groups, columns = (whole, record["c_stride"]), (config.memory.banks, record["o_stride"])
        written = operand("o", rows, 2, write=True)
        yield written._replace(strides=(groups, columns))
        last = written.start + whole * record["c_stride"]
        yield written._replace(start=last, strides=((rest, record["o_stride"]),))
    else:
        yield operand("a", width, size("a"))
        if opcode is Opcode.NORM:
            yield operand("b", n, size("b"), count=1)
            if record["function"] == Norm.LAYER:
                yield operand("c", n, size("b"), count=1)
        elif opcode is Opcode.ROTARY or (
            opcode is Opcode.ELEMENTWISE and record["function"] != Element.COPY
        ):
            yield operand("b", n, size("b"))
        if opcode is Opcode.REDUCE:
            width = config.npu.lanes
        yield operand("o", width, size("o"), write=True)
