"""Drain: DRAIN, rows of accumulators to the activation memory."""

from amaranth.hdl import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.arith.binary32 import Binary32
from hw.arith.convert import ToBF16
from hw.config import TileConfig
from hw.npu.matrix.operands import matrix_operands
from hw.npu.memories.tile_memory import WriteSignature
from hw.program.instruction_set import Format, Opcode

__all__ = ["Drain"]


class Drain(wiring.Component):
    """Takes out rows of accumulators, one a cycle, and writes them, rounded to bfloat16 or not.

    An instruction that starts in cycle s reads row m of the accumulators in cycle s + 1 + m and
    writes it in cycle s + m + :attr:`latency`. The next one may start ``rows`` cycles later.
    One instruction can wait inside. Columns from the operand ``columns`` on are written as +0; a
    ``columns`` of 0 writes all.

    Parameters
    ----------
    config : TileConfig
        Configuration.

    Members
    -------
    i : ``In(stream.Signature(matrix_operands(Opcode.DRAIN)))``
        Instructions; ``rows`` is at least 1, addresses are multiples of a row in its format.
    go : ``In(1)``
        The instruction that waits inside may start.
    start : ``Out(1)``
        Pulse: it starts.
    read : ``Out(1)``
        Take out a row of accumulators.
    read_half, read_row : ``Out(1)``, ``Out(range(accumulator_rows))``
        Which row.
    read_last : ``Out(1)``
        Pulse: it is the last one of the instruction.
    accumulators : ``In(ArrayLayout(Binary32, tile_columns))``
        That row, one cycle later.
    write : ``Out(WriteSignature(log2(activation_bytes), 4 * tile_columns, 2 * tile_columns))``
        To the activation memory; a row in bfloat16 is half as wide as the port.
    done : ``Out(1)``
        Pulse: the last row of an instruction is written in this cycle.
    bad_address : ``Out(1)``
        Pulse: a row is outside of the activation memory or of the accumulators.
    """

    latency = 2 + ToBF16.latency  #: Cycles from the start to the first write.

    def __init__(self, config: TileConfig):
        self._config = config
        self._address_bits = exact_log2(config.npu.activation_bytes)
        row_bytes = 4 * config.npu.tile_columns
        super().__init__(
            {
                "i": In(stream.Signature(matrix_operands(Opcode.DRAIN))),
                "go": In(1),
                "start": Out(1),
                "read": Out(1),
                "read_half": Out(1),
                "read_row": Out(range(config.npu.accumulator_rows)),
                "read_last": Out(1),
                "accumulators": In(data.ArrayLayout(Binary32, config.npu.tile_columns)),
                "write": Out(WriteSignature(self._address_bits, row_bytes, row_bytes // 2)),
                "done": Out(1),
                "bad_address": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()

        # One instruction waits.
        waiting = Signal()
        following = Signal(matrix_operands(Opcode.DRAIN))
        left = Signal(10)  # rows still to be read
        m.d.comb += [
            self.start.eq(waiting & self.go & (left <= 1)),
            self.i.ready.eq(~waiting | self.start),
        ]
        with m.If(self.start):
            m.d.sync += waiting.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [waiting.eq(1), following.eq(self.i.payload)]

        # Stage 1: read a row.
        address = Signal(28)
        stride = Signal(20)
        row_format = Signal(Format)
        columns = Signal(11)
        m.d.comb += [self.read.eq(left != 0), self.read_last.eq(left == 1)]
        with m.If(self.read):
            m.d.sync += [
                left.eq(left - 1),
                self.read_row.eq(self.read_row + 1),
                address.eq(address + stride),
            ]
        with m.If(self.start):
            m.d.sync += [
                left.eq(following.rows),
                self.read_half.eq(following.half),
                self.read_row.eq(0),
                address.eq(following.address),
                stride.eq(following.stride),
                row_format.eq(following.format),
                columns.eq(following.columns),
            ]
        outside = self.read & address[self._address_bits :].any()
        too_many = self.start & (following.rows > self._config.npu.accumulator_rows)
        m.d.comb += self.bad_address.eq(outside | too_many)

        # Stage 2: the row is here, valid columns of it; round it, or keep it as long as that takes.
        kept = Signal(len(self.accumulators))  # one bit a column
        m.d.sync += kept.eq(
            Cat((columns == 0) | (column < columns) for column in range(len(self.accumulators)))
        )
        valid_columns = [
            Mux(kept[column], accumulator.as_value(), 0)
            for column, accumulator in enumerate(self.accumulators)
        ]
        target = Cat(self.read, self.read_last, row_format, address[: self._address_bits])
        for stage in range(self.latency - 1):
            delayed = Signal(len(target), name=f"target_{stage}")
            m.d.sync += delayed.eq(target)
            target = delayed
        exact = Cat(valid_columns)
        for stage in range(ToBF16.latency):
            delayed = Signal(len(exact), name=f"exact_{stage}")
            m.d.sync += delayed.eq(exact)
            exact = delayed
        rounded = []
        for column, accumulator in enumerate(valid_columns):
            m.submodules[f"round_{column}"] = unit = ToBF16()
            m.d.comb += unit.a.eq(accumulator)
            rounded.append(unit.o)

        # Stage 3: write it.
        valid, last, wide, address = target[0], target[1], target[2], target[3:]
        upper = address[exact_log2(2 * self._config.npu.tile_columns)]
        m.d.comb += [
            self.write.enable.eq(Mux(valid, Mux(wide, 0b11, Cat(~upper, upper)), 0)),
            self.write.address.eq(address),
            self.write.data.eq(Mux(wide, exact, Cat(rounded).replicate(2))),
            self.done.eq(valid & last),
        ]

        return m
