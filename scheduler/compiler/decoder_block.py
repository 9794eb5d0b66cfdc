"""The dense part of a decoder block for one sub-batch: norms, GEMMs, biases, residuals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hw.config import Config
from hw.isa import Element, Format, Function, Norm, Opcode, Queue
from hw.program import Block, Label
from scheduler.compiler.attention import Decode
from scheduler.compiler.builder import ProgramBuilder
from scheduler.compiler.gemm_tiling import MatrixQueue
from scheduler.compiler.placement import Buffer, ModelPlacement, SpaceAllocator

__all__ = ["DenseCompiler", "SubBatchBuffers"]

#: Columns of a GEMM's result that the epilogue takes at a time: fewer overlap better, more cost
#: fewer instructions (chosen).
EPILOGUE_COLUMNS = 32


def float_bits(value: float) -> int:
    """Return the bits of a number in binary32.

    >>> hex(float_bits(1.0))
    '0x3f800000'
    """
    return int(np.float32(value).view(np.uint32))


class Operand(NamedTuple):
    """An operand of an element-wise instruction; offset and stride in bytes."""

    buffer: Buffer
    offset: int
    stride: int
    format: Format


@dataclass(frozen=True, slots=True)
class SubBatchBuffers:
    """Buffers of one sub-batch in the activation memory, all with one row a request.

    Attributes
    ----------
    residual, normed, qkv, attention, output, hidden, activated
        The residual stream (binary32), its norm (bfloat16), queries, keys and values without bias
        (binary32), attention (bfloat16), what is added to the residual (binary32), the FFN's inner
        activations before (binary32) and after its non-linearity (bfloat16).
    """

    residual: Buffer
    normed: Buffer
    qkv: Buffer
    attention: Buffer
    output: Buffer
    hidden: Buffer
    activated: Buffer

    @classmethod
    def take(
        cls, model: ModelPlacement, space: SpaceAllocator, index: int, rows: int
    ) -> "SubBatchBuffers":
        """Allocate the buffers for ``rows`` requests."""
        shape = model.shape
        width = shape.d_model

        def take(what: str, elements: int, element_bytes: int, whole: bool = False) -> Buffer:
            return space.take(
                f"{what} of sub-batch {index}",
                rows * elements * element_bytes,
                1 if whole else -(-elements // EPILOGUE_COLUMNS),
                0 if whole else EPILOGUE_COLUMNS,
            )

        return cls(
            residual=take("residual", width, 4),
            normed=take("norm", width, 2, whole=True),
            qkv=take("QKV", 3 * width, 4, whole=True),
            attention=take("attention", width, 2, whole=True),
            output=take("projection", width, 4),
            hidden=take("FFN or logits", max(shape.d_ffn, shape.vocabulary), 4),
            activated=take("activated FFN", shape.d_ffn, 2),
        )


class DenseCompiler:
    """Emits everything between two attentions."""

    def __init__(
        self,
        config: Config,
        model: ModelPlacement,
        builder: ProgramBuilder,
        vectors: Sequence[Buffer],
        staging: Buffer,
    ) -> None:
        self.config = config
        self.model = model
        self.builder = builder
        self.matrix = MatrixQueue(config, builder)
        self._vectors = vectors  # two buffers a channel's lane, by the parity of the layer
        self._staging = staging
        self._loaded: list[int] = [-1] * len(vectors)

    def embed(
        self, tokens: np.ndarray, positions: np.ndarray, buffers: SubBatchBuffers, label: Label
    ) -> None:
        """Add token and position embeddings, ``[rows, d_model]`` in bfloat16 bits each.

        Both come with the program, through channel 0.
        """
        content = tokens.astype("<u2").tobytes() + positions.astype("<u2").tobytes()
        sub_batch_offset = sum(len(data) for _block, data in self.builder.inputs)
        address = self.model.io_address + sub_batch_offset
        self.builder.inputs.append((Block(0, address, len(content)), content))
        self.builder.emit(
            Queue.TAIL,
            Opcode.LOAD,
            label,
            writes=[self._staging.region],
            address=address,
            bursts=len(content) // self.config.burst_bytes,
            rows=1,
            lanes=1,
            lane_address=self._staging.address & 0xFFFFF,
        )
        rows, width = tokens.shape
        self._elementwise(
            Element.ADD,
            label,
            rows,
            width,
            a=Operand(self._staging, 0, width * 2, Format.BF16),
            b=Operand(self._staging, rows * width * 2, width * 2, Format.BF16),
            o=Operand(buffers.residual, 0, width * 4, Format.BINARY32),
        )

    def load_vectors(self, layer: int, label: Label) -> None:
        """Load a layer's biases and norm parameters, unless they are there."""
        placement = self.model.vectors[layer]
        slot = layer % len(self._vectors)
        if self._loaded[slot] == layer:
            return
        self._loaded[slot] = layer
        buffer = self._vectors[slot]
        self.builder.emit(
            Queue.TAIL,
            Opcode.LOAD,
            label,
            writes=[buffer.region],
            address=placement.address,
            bursts=placement.nbytes // self.config.burst_bytes,
            rows=1,
            lanes=1 << placement.channel,
            lane_address=buffer.address & 0xFFFFF,
        )

    def qkv(
        self,
        layer: int,
        decodes: Sequence[Decode],
        buffers: SubBatchBuffers,
        request_qkv: Callable[[Decode], Buffer],
        label: Label,
    ) -> None:
        """Generate q, k and v; with their biases they go to the channels of the requests."""
        rows = len(decodes)
        width = 3 * self.model.shape.d_model
        self._norm(layer, "ln1", buffers, rows, label)
        self._gemm(
            f"w_qkv.{layer}", buffers.normed, buffers.qkv, Format.BINARY32, rows, label, None
        )
        for decode in decodes:
            self._elementwise(
                Element.ADD,
                label,
                1,
                width,
                a=Operand(buffers.qkv, decode.row * width * 4, 0, Format.BINARY32),
                b=Operand(*self._vector(layer, "b_qkv"), 0, Format.BF16),
                o=Operand(request_qkv(decode), 0, 0, Format.BF16),
            )

    def after_attention(
        self, layer: int, rows: int, buffers: SubBatchBuffers, label: Callable[[str], Label]
    ) -> None:
        """Projection, residual, norm, FFN, residual."""
        shape = self.model.shape
        width, inner = shape.d_model, shape.d_ffn

        def add_residual(bias: str, name: Label) -> Callable[[int, int], None]:
            def epilogue(first: int, count: int) -> None:
                self._bias(layer, bias, buffers.output, width, rows, first, count, name)
                self._elementwise(
                    Element.ADD,
                    name,
                    rows,
                    count,
                    first=first,
                    a=Operand(buffers.residual, 0, width * 4, Format.BINARY32),
                    b=Operand(buffers.output, 0, width * 4, Format.BINARY32),
                    o=Operand(buffers.residual, 0, width * 4, Format.BINARY32),
                )

            return epilogue

        def activate(first: int, count: int) -> None:
            name = label("FFN1")
            self._bias(layer, "b_ffn1", buffers.hidden, inner, rows, first, count, name)
            self.builder.emit(
                Queue.EPILOGUE,
                Opcode.FUNCTION,
                name,
                reads=buffers.hidden.part(first, count),
                writes=buffers.activated.part(first, count),
                function=Function.GELU_TANH,
                rows=rows,
                n=count,
                a=buffers.hidden.address + first * 4,
                a_stride=inner * 4,
                a_format=Format.BINARY32,
                o=buffers.activated.address + first * 2,
                o_stride=inner * 2,
                o_format=Format.BF16,
            )

        name = label("projection")
        self._gemm(
            f"w_proj.{layer}",
            buffers.attention,
            buffers.output,
            Format.BINARY32,
            rows,
            name,
            add_residual("b_proj", name),
        )
        name = label("FFN1")
        self._norm(layer, "ln2", buffers, rows, name)
        self._gemm(
            f"w_ffn1.{layer}", buffers.normed, buffers.hidden, Format.BINARY32, rows, name, activate
        )
        name = label("FFN2")
        self._gemm(
            f"w_ffn2.{layer}",
            buffers.activated,
            buffers.output,
            Format.BINARY32,
            rows,
            name,
            add_residual("b_ffn2", name),
        )

    def head(self, rows: int, buffers: SubBatchBuffers, label: Label) -> None:
        """Norm and output head: logits of all rows, in ``buffers.hidden``."""
        layer = self.model.shape.layers
        self.load_vectors(layer, label)
        self._norm(layer, "lnf", buffers, rows, label)
        self._gemm("w_head", buffers.normed, buffers.hidden, Format.BINARY32, rows, label, None)

    def _vector(self, layer: int, name: str) -> tuple[Buffer, int]:
        buffer = self._vectors[layer % len(self._vectors)]
        return buffer, self.model.vectors[layer].offsets[name]

    def _gemm(
        self,
        name: str,
        activations: Buffer,
        output: Buffer,
        output_format: Format,
        rows: int,
        label: Label,
        epilogue: Callable[[int, int], None] | None,
    ) -> None:
        """Emit a GEMM; ``epilogue(first, count)`` follows when so many columns are complete."""
        matrix = self.model.matrices[name]
        columns = self.config.tile_columns
        done = 0
        for index in range(matrix.width // columns):
            self.matrix.block(matrix, index, activations, rows, output, output_format, label)
            complete = (index + 1) * columns
            if epilogue and (complete - done >= EPILOGUE_COLUMNS or complete == matrix.width):
                epilogue(done, complete - done)
                done = complete

    def _norm(
        self, layer: int, name: str, buffers: SubBatchBuffers, rows: int, label: Label
    ) -> None:
        width = self.model.shape.d_model
        gamma, gamma_offset = self._vector(layer, f"{name}_gamma")
        beta, beta_offset = self._vector(layer, f"{name}_beta")
        self.builder.emit(
            Queue.EPILOGUE,
            Opcode.NORM,
            label,
            reads=[*buffers.residual.regions, gamma.region, beta.region],
            writes=[buffers.normed.region],
            function=Norm.LAYER,
            rows=rows,
            n=width,
            a=buffers.residual.address,
            a_stride=width * 4,
            a_format=Format.BINARY32,
            b=gamma.address + gamma_offset,
            b_format=Format.BF16,
            c=beta.address + beta_offset,
            o=buffers.normed.address,
            o_stride=width * 2,
            o_format=Format.BF16,
            x=float_bits(1.0 / width),
            y=float_bits(self.model.epsilon),
        )

    def _bias(
        self,
        layer: int,
        name: str,
        buffer: Buffer,
        width: int,
        rows: int,
        first: int,
        count: int,
        label: Label,
    ) -> None:
        """Add a bias to columns of binary32 rows, in place."""
        columns = Operand(buffer, 0, width * 4, Format.BINARY32)
        self._elementwise(
            Element.ADD,
            label,
            rows,
            count,
            first=first,
            a=columns,
            b=Operand(*self._vector(layer, name), 0, Format.BF16),
            o=columns,
        )

    def _elementwise(
        self,
        function: Element,
        label: Label,
        rows: int,
        n: int,
        *,
        first: int = 0,
        a: Operand,
        b: Operand,
        o: Operand,
    ) -> None:
        """Emit an element-wise instruction on ``n`` columns of the operands, from ``first`` on."""
        addresses = {
            name: operand.buffer.address + operand.offset + first * (4 if operand.format else 2)
            for name, operand in (("a", a), ("b", b), ("o", o))
        }
        self.builder.emit(
            Queue.EPILOGUE,
            Opcode.ELEMENTWISE,
            label,
            reads=[*a.buffer.part(first, n), *b.buffer.part(first, n)],
            writes=o.buffer.part(first, n),
            function=function,
            rows=rows,
            n=n,
            **addresses,
            a_stride=a.stride,
            b_stride=b.stride,
            o_stride=o.stride,
            a_format=a.format,
            b_format=b.format,
            o_format=o.format,
        )


def vector_buffers(
    config: Config, model: ModelPlacement, spaces: Sequence[SpaceAllocator]
) -> list[Buffer]:
    """Allocate buffers for layers' vectors: enough that a layer's can be loaded ahead.

    Layer l's vectors lie in channel l mod channels and go into buffer l mod (2 × channels).
    """
    nbytes = max(placement.nbytes for placement in model.vectors)
    return [
        spaces[index % config.channels].take(f"vectors {index}", nbytes)
        for index in range(2 * config.channels)
    ]
