"""GEMM feeder: GEMM, rows of activations from the activation memory into the arrays."""

from amaranth.hdl import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.arith.bf16 import BF16
from hw.config import TileConfig
from hw.npu.matrix.accumulator import Accumulator
from hw.npu.matrix.operands import matrix_operands
from hw.npu.memories.tile_memory import ReadSignature, TileMemory
from hw.program.instruction_set import Opcode

__all__ = ["GemmFeeder", "GemmRow"]


class GemmRow(data.Struct):
    """What goes with a row of activations: whether it is one, its place, what becomes of it."""

    valid: 1
    first: 1
    last: 1
    half: 1
    accumulate: 1


class GemmFeeder(wiring.Component):
    """Reads the rows of a GEMM, one a cycle.

    An instruction that starts in cycle s has row m on :attr:`activations` in cycle
    s + m + :attr:`latency`. The next one may start ``max(rows, Accumulator.interval)`` cycles
    later, so that no accumulator is read before it is written. One instruction can wait inside.
    Activations that meet a row of the weight tile that is not valid are +0, whatever the memory
    holds.

    Parameters
    ----------
    config : TileConfig
        Configuration.

    Members
    -------
    i : ``In(stream.Signature(matrix_operands(Opcode.GEMM)))``
        Instructions; ``rows`` is at least 1.
    go : ``In(1)``
        The instruction that waits inside may start.
    depth : ``In(range(array_rows + 1))``
        Valid rows of its weight tile, in the cycle of its start.
    start : ``Out(1)``
        Pulse: it starts.
    read : ``Out(ReadSignature(log2(activation_bytes), 2 * array_rows))``
        To the activation memory, of the latency of :class:`TileMemory`.
    activations : ``Out(ArrayLayout(BF16, array_rows))``
        A row of activations.
    row : ``Out(GemmRow)``
        What goes with it.
    bad_address : ``Out(1)``
        Pulse: a row is outside of the activation memory or of the accumulators.
    """

    latency = 3 + TileMemory.latency  #: Cycles from the start to the first row of activations.

    def __init__(self, config: TileConfig):
        self._config = config
        self._address_bits = exact_log2(config.npu.activation_bytes)
        super().__init__(
            {
                "i": In(stream.Signature(matrix_operands(Opcode.GEMM))),
                "go": In(1),
                "depth": In(range(config.npu.array_rows + 1)),
                "start": Out(1),
                "read": Out(ReadSignature(self._address_bits, 2 * config.npu.array_rows)),
                "activations": Out(data.ArrayLayout(BF16, config.npu.array_rows)),
                "row": Out(GemmRow),
                "bad_address": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()

        # One instruction waits.
        waiting = Signal()
        following = Signal(matrix_operands(Opcode.GEMM))
        pause = Signal(range(max(1 << 10, Accumulator.interval)))  # cycles until the next may start
        m.d.comb += [
            self.start.eq(waiting & self.go & (pause == 0)),
            self.i.ready.eq(~waiting | self.start),
        ]
        with m.If(self.start):
            m.d.sync += waiting.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [waiting.eq(1), following.eq(self.i.payload)]

        # Stage 1: the address of a row.
        left = Signal(10)  # rows, this one included
        address = Signal(28)
        stride = Signal(20)
        row = Signal(GemmRow)
        depth = Signal.like(self.depth)
        m.d.comb += [row.valid.eq(left != 0), row.last.eq(left == 1)]
        with m.If(row.valid):
            m.d.sync += [left.eq(left - 1), address.eq(address + stride), row.first.eq(0)]
        with m.If(pause != 0):
            m.d.sync += pause.eq(pause - 1)
        with m.If(self.start):
            short = following.rows < Accumulator.interval
            m.d.sync += [
                pause.eq(Mux(short, Accumulator.interval, following.rows) - 1),
                left.eq(following.rows),
                address.eq(following.address),
                stride.eq(following.stride),
                depth.eq(self.depth),
                row.first.eq(1),
                row.half.eq(following.half),
                row.accumulate.eq(following.accumulate),
            ]
        outside = row.valid & address[self._address_bits :].any()
        too_many = self.start & (following.rows > self._config.npu.accumulator_rows)
        m.d.comb += self.bad_address.eq(outside | too_many)

        # Stage 2: the address is on the port.
        m.d.sync += [self.read.enable.eq(row.valid), self.read.address.eq(address)]

        # Beside the memory: which activations are valid.
        for stage in range(TileMemory.latency):
            delayed = Signal.like(depth, name=f"depth_{stage}")
            m.d.sync += delayed.eq(depth)
            depth = delayed
        kept = Signal(self._config.npu.array_rows)  # one bit a row of the array
        m.d.sync += kept.eq(Cat(lane < depth for lane in range(self._config.npu.array_rows)))

        # Stage 3, after the memory: the row.
        m.d.sync += [
            self.activations[lane].eq(Mux(kept[lane], self.read.data.word_select(lane, 16), 0))
            for lane in range(self._config.npu.array_rows)
        ]
        for stage in range(2 + TileMemory.latency):
            delayed = Signal(GemmRow, name=f"row_{stage}")
            m.d.sync += delayed.eq(row)
            row = delayed
        m.d.comb += self.row.eq(row)

        return m
