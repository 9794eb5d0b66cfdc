"""GEMMs: weight tiles through the ring, activations through the array, results to memory."""

from collections import deque

import numpy as np

from hw.config import Config
from hw.program.instruction_set import Format, Opcode, Queue
from hw.program.program import Label
from scheduler.compiler.buffers import Buffer
from scheduler.compiler.builder import ProgramBuilder, Region
from scheduler.compiler.dense.placement import MatrixPlacement

__all__ = ["MatrixQueue", "WeightRing"]


class WeightRing:
    """The weight ring as the compiler sees it: pieces are handed out round and round."""

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self._next = 0
        self._live: deque[tuple[int, int, Region]] = deque()

    def take(self, nbytes: int) -> tuple[int, Region, list[Region]]:
        """Return the start of a piece, its region, and the older regions that it overwrites."""
        if self._next + nbytes > self.capacity_bytes:
            self._next = 0
        start, end = self._next, self._next + nbytes
        self._next = end
        overwritten = [r for first, last, r in self._live if first < end and start < last]
        self._live = deque(e for e in self._live if e[0] >= end or start >= e[1])
        region = Region(f"weight ring: {start} to {end}")
        self._live.append((start, end, region))
        return start, region, overwritten


class MatrixQueue:
    """Emits GEMMs: loads of weights, weight tiles through the array, drains.

    A column block is loaded in pieces of at most a quarter of the ring, so that loading runs ahead
    of the array.
    """

    def __init__(self, config: Config, builder: ProgramBuilder) -> None:
        self.config = config
        self.builder = builder
        self.ring = WeightRing(config.npu.weight_ring_bytes)
        self._half = 0

    @property
    def depth_unit(self) -> int:
        """Rows of a matrix whose tiles, in one column block, are whole stripes."""
        stripe = self.config.memory.channels * self.config.memory.burst_bytes
        return self.config.npu.array_rows * max(1, stripe // self.config.npu.weight_tile_bytes)

    def block(
        self,
        matrix: MatrixPlacement,
        index: int,
        activations: Buffer,
        rows: int,
        output: Buffer,
        output_format: Format,
        label: Label,
        depth: range | None = None,
    ) -> None:
        """Emit one column block of ``activations[rows, depth] @ matrix[depth, width]``.

        ``activations`` are bfloat16 rows of the matrix's depth, ``output`` rows of its width. Of
        the depth, only the part ``depth`` is taken, which is a whole number of
        :attr:`depth_unit`; None takes all of it.
        """
        config, builder = self.config, self.builder
        tile_bytes, height = config.npu.weight_tile_bytes, config.npu.array_rows
        stripe = config.memory.channels * config.memory.burst_bytes
        tiles = matrix.depth // height
        depth = range(matrix.depth) if depth is None else depth
        unit = self.depth_unit // height
        limit = max(unit, config.npu.weight_ring_bytes // 4 // tile_bytes // unit * unit)
        chain = range(depth.start // height, depth.stop // height)
        for first in chain[::limit]:
            count = min(limit, chain.stop - first)
            start, region, overwritten = self.ring.take(count * tile_bytes)
            builder.emit(
                Queue.LOAD,
                Opcode.LOAD,
                label,
                writes=[region, *overwritten],
                address=matrix.address
                + (index * tiles + first) * tile_bytes // config.memory.channels,
                bursts=count * tile_bytes // stripe,
                rows=1,
                ring=start,
            )
            records = builder.records(Queue.MATRIX, 2 * count)
            records["opcode"][0::2] = Opcode.WEIGHTS
            records["ring"][0::2] = start + np.arange(count) * tile_bytes
            gemms = records[1::2]
            gemms["opcode"] = Opcode.GEMM
            gemms["rows"] = rows
            gemms["address"] = activations.address + (first + np.arange(count)) * height * 2
            gemms["stride"] = matrix.depth * 2
            gemms["half"] = self._half
            gemms["accumulate"] = (first + np.arange(count)) > chain.start
            taken = activations.part(first * height, count * height)
            builder.emit_records(Queue.MATRIX, records, label, reads=[region, *taken])
        element_bytes = 4 if output_format is Format.BINARY32 else 2
        builder.emit(
            Queue.MATRIX,
            Opcode.DRAIN,
            label,
            writes=output.part(index * config.npu.tile_columns, config.npu.tile_columns),
            rows=rows,
            half=self._half,
            address=output.address + index * config.npu.tile_columns * element_bytes,
            stride=matrix.width * element_bytes,
            format=output_format,
        )
        self._half ^= 1
