"""The dense part of a decoder block for one sub-batch: norms, GEMMs, biases, residuals."""

from collections.abc import Callable, Sequence

import numpy as np

from hw.config import Config
from hw.program.instruction_set import Element, Format, Function, Opcode, Queue
from hw.program.program import Block, Label
from scheduler.compiler.attention.buffers import Decode
from scheduler.compiler.buffers import Buffer
from scheduler.compiler.builder import ProgramBuilder
from scheduler.compiler.dense.buffers import SubBatchBuffers, epilogue_ends
from scheduler.compiler.dense.gemm_tiling import MatrixQueue
from scheduler.compiler.dense.placement import ModelPlacement
from scheduler.compiler.dense.qkv_layout import QkvLayout
from scheduler.compiler.vector_instructions import Operand, VectorEmitter
from scheduler.models.shape import Activation, Positions

__all__ = ["DenseCompiler"]

#: The function of each activation that has no gate.
GELU = {
    Activation.GELU_TANH: Function.GELU_TANH,
    Activation.GELU_ERF: Function.GELU_ERF,
}

#: Takes columns of a GEMM's result when they are complete: the first, and how many.
Epilogue = Callable[[int, int], None]


class DenseCompiler:
    """Emits everything between two attentions.

    Parameters
    ----------
    config, model, layout, builder
        The device, the model in it, the order of its QKV, and where instructions go.
    vectors
        Buffers for layers' vectors: layer l takes number l mod their number.
    """

    def __init__(
        self,
        config: Config,
        model: ModelPlacement,
        layout: QkvLayout,
        builder: ProgramBuilder,
        vectors: Sequence[Buffer],
    ) -> None:
        self.config = config
        self.model = model
        self.shape = model.shape
        self.layout = layout
        self.builder = builder
        self.matrix = MatrixQueue(config, builder)
        self.vector_unit = VectorEmitter(builder)
        self._vectors = vectors
        self._loaded: list[int] = [-1] * len(vectors)

    def embed(
        self, tokens: np.ndarray, positions: np.ndarray, buffers: SubBatchBuffers, label: Label
    ) -> None:
        """Load embeddings of tokens, and what comes with positions; begin the residual stream.

        Both come with the program, through channel 0. ``tokens`` are bfloat16 bits ``[rows,
        d_model]``, and so are ``positions`` where they are learned: they are added. Rotations are
        binary32, ``[rows, d_head]``; they stay in the buffer until they are used.
        """
        content = tokens.astype("<u2").tobytes() + positions.tobytes()
        sub_batch_offset = sum(len(data) for _block, data in self.builder.inputs)
        address = self.model.io_address + sub_batch_offset
        self.builder.inputs.append((Block(0, address, len(content)), content))
        self.builder.emit(
            Queue.TAIL,
            Opcode.LOAD,
            label,
            writes=[buffers.embeddings.region],
            address=address,
            bursts=len(content) // self.config.memory.burst_bytes,
            rows=1,
            lanes=1,
            lane_address=buffers.embeddings.offset,
        )
        rows, width = tokens.shape
        learned = self.shape.positions is Positions.LEARNED
        added = Operand(buffers.embeddings, rows * width * 2, width * 2, Format.BF16)
        self.vector_unit.elementwise(
            Element.ADD if learned else Element.COPY,
            label,
            rows,
            width,
            a=Operand(buffers.embeddings, 0, width * 2, Format.BF16),
            b=added if learned else None,
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
            bursts=placement.nbytes // self.config.memory.burst_bytes,
            rows=1,
            lanes=1 << placement.channel,
            lane_address=buffer.offset,
        )

    def qkv(
        self,
        layer: int,
        decodes: Sequence[Decode],
        buffers: SubBatchBuffers,
        request_qkv: Callable[[Decode], Buffer],
        label: Label,
        *,
        by_group: bool,
    ) -> None:
        """Generate q, k and v, which go to the channels of the requests, as bfloat16.

        With their biases, and turned where positions are rotary; either all at once, or head group
        by head group, then the values.
        """
        rows, width = len(decodes), self.shape.d_qkv
        bias = self._vector(layer, "b_qkv") if self.shape.qkv_bias else None
        rotary = self.shape.positions is Positions.ROTARY

        def epilogue(first: int, count: int) -> None:
            if rotary and self.shape.qkv_bias:
                self._bias(layer, "b_qkv", buffers.qkv, width, rows, first, count, label)
            turned = min(count, max(0, self.layout.value_column - first)) if rotary else 0
            operands = [
                (
                    decode,
                    Operand(buffers.qkv, decode.row * width * 4, 0, Format.BINARY32),
                    Operand(request_qkv(decode), 0, 0, Format.BF16),
                )
                for decode in decodes
            ]
            for decode, a, o in operands if turned else ():
                self.vector_unit.rotary(
                    label,
                    turned // self.shape.d_head,
                    self.shape.d_head,
                    first=first,
                    a=a,
                    rotation=self._rotation(decode, buffers, rows),
                    o=o,
                )
            b = None if rotary else bias
            for _decode, a, o in operands if count > turned else ():
                self.vector_unit.elementwise(
                    Element.COPY if b is None else Element.ADD,
                    label,
                    1,
                    count - turned,
                    first=first + turned,
                    a=a,
                    b=b,
                    o=o,
                )

        self._norm(layer, "ln1", buffers, rows, label)
        ends = self.layout.ends if by_group else (width,)
        matrices = [(f"w_qkv.{layer}", buffers.qkv)]
        self._gemm(matrices, buffers.normed, rows, label, ends, epilogue)

    def after_attention(
        self,
        layer: int,
        rows: int,
        buffers: SubBatchBuffers,
        label: Callable[[str], Label],
        *,
        by_group: bool,
    ) -> None:
        """Projection, residual, norm, FFN, residual.

        By group, the projection of each head group is added to the residual by itself, so it can be
        computed when attention of that group is there.
        """
        shape = self.shape
        ends = epilogue_ends(shape.d_model, self.config.npu.tile_columns)
        name = label("projection")
        for number, depth in enumerate(self._projection_parts(by_group)):
            bias = "b_proj" if shape.projection_bias and not number else None
            self._gemm(
                [(f"w_proj.{layer}", buffers.output)],
                buffers.attention,
                rows,
                name,
                ends,
                self._residual_epilogue(layer, bias, rows, buffers, name),
                depth,
            )
        self._ffn(layer, rows, buffers, label)

    def head(self, rows: int, buffers: SubBatchBuffers, label: Label) -> None:
        """Norm and output head: logits of all rows, in ``buffers.hidden``."""
        layer = self.shape.layers
        self.load_vectors(layer, label)
        self._norm(layer, "lnf", buffers, rows, label)
        self._gemm([("w_head", buffers.hidden)], buffers.normed, rows, label)

    def _ffn(
        self, layer: int, rows: int, buffers: SubBatchBuffers, label: Callable[[str], Label]
    ) -> None:
        shape, gate = self.shape, buffers.gate
        inner = shape.d_ffn
        name = label("FFN1")
        hidden = Operand(buffers.hidden, 0, inner * 4, Format.BINARY32)
        activated = Operand(buffers.activated, 0, inner * 2, Format.BF16)

        def activate(first: int, count: int) -> None:
            if shape.ffn_bias:
                self._bias(layer, "b_ffn1", buffers.hidden, inner, rows, first, count, name)
            if gate is None:
                self.vector_unit.function(
                    GELU[shape.activation], name, rows, count, first=first, a=hidden, o=activated
                )
            else:
                self.vector_unit.elementwise(
                    Element.GATE,
                    name,
                    rows,
                    count,
                    first=first,
                    a=Operand(gate, 0, inner * 4, Format.BINARY32),
                    b=hidden,
                    o=activated,
                )

        self._norm(layer, "ln2", buffers, rows, name)
        matrices = [(f"w_ffn1.{layer}", buffers.hidden)]
        if gate is not None:
            matrices.insert(0, (f"w_gate.{layer}", gate))
        ends = epilogue_ends(inner, self.config.npu.tile_columns)
        self._gemm(matrices, buffers.normed, rows, name, ends, activate)
        name = label("FFN2")
        bias = "b_ffn2" if shape.ffn_bias else None
        self._gemm(
            [(f"w_ffn2.{layer}", buffers.output)],
            buffers.activated,
            rows,
            name,
            epilogue_ends(shape.d_model, self.config.npu.tile_columns),
            self._residual_epilogue(layer, bias, rows, buffers, name),
        )

    def _residual_epilogue(
        self, layer: int, bias: str | None, rows: int, buffers: SubBatchBuffers, label: Label
    ) -> Epilogue:
        """Return an epilogue that adds the output, and a bias, to the residual stream."""
        width = self.shape.d_model
        residual = Operand(buffers.residual, 0, width * 4, Format.BINARY32)
        output = Operand(buffers.output, 0, width * 4, Format.BINARY32)

        def epilogue(first: int, count: int) -> None:
            if bias is not None:
                self._bias(layer, bias, buffers.output, width, rows, first, count, label)
            self.vector_unit.elementwise(
                Element.ADD, label, rows, count, first=first, a=residual, b=output, o=residual
            )

        return epilogue

    def _projection_parts(self, by_group: bool) -> list[range]:
        """Cut the depth of the projection at head groups, where weight tiles allow it."""
        depth = self.shape.d_query
        if not by_group:
            return [range(depth)]
        step = self.layout.group_heads * self.shape.query_group * self.shape.d_head
        ends = [e for e in range(step, depth, step) if e % self.matrix.depth_unit == 0]
        return [range(a, b) for a, b in zip([0, *ends], [*ends, depth], strict=True)]

    def _vector(self, layer: int, name: str) -> Operand:
        """Return a vector of a layer, repeated row by row."""
        buffer = self._vectors[layer % len(self._vectors)]
        return Operand(buffer, self.model.vectors[layer].offsets[name], 0, Format.BF16)

    def _rotation(self, decode: Decode, buffers: SubBatchBuffers, rows: int) -> Operand:
        """Return cosines and sines of a request's position."""
        offset = rows * self.shape.d_model * 2 + decode.row * self.shape.d_head * 4
        return Operand(buffers.embeddings, offset, 0, Format.BINARY32)

    def _gemm(
        self,
        matrices: Sequence[tuple[str, Buffer]],
        activations: Buffer,
        rows: int,
        label: Label,
        ends: Sequence[int] | None = None,
        epilogue: Epilogue | None = None,
        depth: range | None = None,
    ) -> None:
        """Emit GEMMs of the same activations, and after each piece of columns its epilogue.

        Pieces end at ``ends``; of several matrices, the same columns of all come before it.
        """
        width = self.model.matrices[matrices[0][0]].width
        columns = self.config.npu.tile_columns
        first = block = 0
        for end in (width,) if ends is None else ends:
            blocks = range(block, -(-end // columns))
            for name, output in matrices:
                matrix = self.model.matrices[name]
                for index in blocks:
                    self.matrix.block(
                        matrix, index, activations, rows, output, Format.BINARY32, label, depth
                    )
            block = blocks.stop
            if epilogue:
                epilogue(first, end - first)
            first = end

    def _norm(
        self, layer: int, name: str, buffers: SubBatchBuffers, rows: int, label: Label
    ) -> None:
        width = self.shape.d_model
        beta = f"{name}_beta"
        self.vector_unit.norm(
            label,
            rows,
            width,
            self.shape.epsilon,
            a=Operand(buffers.residual, 0, width * 4, Format.BINARY32),
            gamma=self._vector(layer, f"{name}_gamma"),
            beta=self._vector(layer, beta) if beta in self.model.vectors[layer].offsets else None,
            o=Operand(buffers.normed, 0, width * 2, Format.BF16),
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
        self.vector_unit.elementwise(
            Element.ADD,
            label,
            rows,
            count,
            first=first,
            a=columns,
            b=self._vector(layer, name),
            o=columns,
        )
