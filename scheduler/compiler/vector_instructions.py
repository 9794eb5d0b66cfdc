"""Emitting instructions of the vector unit: operands as columns of rows in buffers."""

from typing import NamedTuple

import numpy as np

from hw.program.instruction_set import Element, Format, Function, Norm, Opcode, Queue
from hw.program.program import Label
from scheduler.compiler.buffers import Buffer
from scheduler.compiler.builder import ProgramBuilder, Region

__all__ = ["Operand", "VectorEmitter", "float_bits"]


def float_bits(value: float) -> int:
    """Return the bits of a number in binary32.

    >>> hex(float_bits(1.0))
    '0x3f800000'
    """
    return int(np.float32(value).view(np.uint32))


class Operand(NamedTuple):
    """Rows of numbers in a buffer; offset of the first and stride in bytes."""

    buffer: Buffer
    offset: int
    stride: int
    format: Format

    def address(self, column: int) -> int:
        """Return the tile address of a column of the first row."""
        return self.buffer.address + self.offset + column * (4 if self.format else 2)


class VectorEmitter:
    """Emits instructions to the epilogue queue.

    Each works on ``n`` columns from ``first`` on, of ``rows`` rows; what it reads and writes are
    the parts of the buffers with those columns.
    """

    def __init__(self, builder: ProgramBuilder) -> None:
        self.builder = builder

    def elementwise(
        self,
        function: Element,
        label: Label,
        rows: int,
        n: int,
        *,
        first: int = 0,
        a: Operand,
        b: Operand | None = None,
        o: Operand,
    ) -> None:
        """Emit ELEMENTWISE; a copy has no ``b``."""
        operands = {"a": a, "o": o} | ({} if b is None else {"b": b})
        self._emit(Opcode.ELEMENTWISE, label, rows, n, first, operands, function=function)

    def function(
        self,
        function: Function,
        label: Label,
        rows: int,
        n: int,
        *,
        first: int = 0,
        a: Operand,
        o: Operand,
    ) -> None:
        """Emit FUNCTION."""
        self._emit(Opcode.FUNCTION, label, rows, n, first, {"a": a, "o": o}, function=function)

    def rotary(
        self,
        label: Label,
        heads: int,
        d_head: int,
        *,
        first: int,
        a: Operand,
        rotation: Operand,
        o: Operand,
    ) -> None:
        """Emit ROTARY for one row: ``heads`` heads from column ``first`` on, all turned alike."""
        self.builder.emit(
            Queue.EPILOGUE,
            Opcode.ROTARY,
            label,
            reads=[*a.buffer.part(first, heads * d_head), *rotation.buffer.regions],
            writes=o.buffer.part(first, heads * d_head),
            rows=1,
            m=heads,
            n=d_head,
            a=a.address(first),
            a_format=a.format,
            b=rotation.address(0),
            b_format=rotation.format,
            o=o.address(first),
            o_format=o.format,
        )

    def norm(
        self,
        label: Label,
        rows: int,
        n: int,
        epsilon: float,
        *,
        a: Operand,
        gamma: Operand,
        beta: Operand | None,
        o: Operand,
    ) -> None:
        """Emit NORM: LayerNorm, or RMSNorm where there is no beta."""
        self.builder.emit(
            Queue.EPILOGUE,
            Opcode.NORM,
            label,
            reads=[*a.buffer.regions, *gamma.buffer.regions],
            writes=o.buffer.regions,
            function=Norm.RMS if beta is None else Norm.LAYER,
            rows=rows,
            n=n,
            a=a.address(0),
            a_stride=a.stride,
            a_format=a.format,
            b=gamma.address(0),
            b_format=gamma.format,
            c=0 if beta is None else beta.address(0),
            o=o.address(0),
            o_stride=o.stride,
            o_format=o.format,
            x=float_bits(1.0 / n),
            y=float_bits(epsilon),
        )

    def _emit(
        self,
        opcode: Opcode,
        label: Label,
        rows: int,
        n: int,
        first: int,
        operands: dict[str, Operand],
        **fields: int,
    ) -> None:
        reads: list[Region] = []
        for name, operand in operands.items():
            fields[name] = operand.address(first)
            fields[f"{name}_stride"] = operand.stride
            fields[f"{name}_format"] = operand.format
            if name != "o":
                reads += operand.buffer.part(first, n)
        self.builder.emit(
            Queue.EPILOGUE,
            opcode,
            label,
            reads=reads,
            writes=operands["o"].buffer.part(first, n),
            rows=rows,
            n=n,
            **fields,
        )
