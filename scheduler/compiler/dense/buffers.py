"""Buffers of everything between two attentions."""

from collections.abc import Sequence
from dataclasses import dataclass

from hw.config import Config
from scheduler.compiler.buffers import Buffer, SpaceAllocator
from scheduler.compiler.dense.placement import ModelPlacement
from scheduler.compiler.dense.qkv_layout import QkvLayout
from scheduler.models.shape import Activation

__all__ = ["SubBatchBuffers", "epilogue_ends", "vector_buffers"]

#: Columns of a GEMM's result that the epilogue takes at a time: fewer overlap better, more cost
#: fewer instructions (chosen).
EPILOGUE_COLUMNS = 32


def epilogue_ends(width: int, columns: int = 1) -> tuple[int, ...]:
    """Return where the pieces of a GEMM's result end that its epilogue takes.

    >>> epilogue_ends(80), epilogue_ends(128, columns=64)
    ((32, 64, 80), (64, 128))

    Parameters
    ----------
    width
        Columns of the result.
    columns
        Columns of a weight tile: a piece has at least these.
    """
    step = max(EPILOGUE_COLUMNS, columns)
    return (*range(step, width, step), width)


@dataclass(frozen=True, slots=True)
class SubBatchBuffers:
    """Buffers of one sub-batch: all in the activation memory but the first, a row a request.

    Attributes
    ----------
    embeddings
        In the lane buffer of channel 0: embeddings of the tokens, then what comes with their
        positions.
    residual, normed, qkv, attention, output, hidden, gate, activated
        The residual stream (binary32), its norm (bfloat16), queries, keys and values (binary32),
        attention (bfloat16), what is added to the residual (binary32), the FFN's inner activations
        before their non-linearity, or logits (binary32), those of the gate, if there is one
        (binary32), and what leaves the non-linearity (bfloat16).
    """

    embeddings: Buffer
    residual: Buffer
    normed: Buffer
    qkv: Buffer
    attention: Buffer
    output: Buffer
    hidden: Buffer
    gate: Buffer | None
    activated: Buffer

    @classmethod
    def take(
        cls,
        model: ModelPlacement,
        layout: QkvLayout,
        activations: SpaceAllocator,
        lane: SpaceAllocator,
        index: int,
        rows: int,
        position_bytes: int,
    ) -> "SubBatchBuffers":
        """Allocate the buffers for ``rows`` requests."""
        shape = model.shape
        width = shape.d_model
        inner = max(shape.d_ffn, model.matrices["w_head"].width)
        group = layout.group_heads * shape.query_group * shape.d_head

        def take(
            what: str, elements: int, element_bytes: int, ends: tuple[int, ...] = ()
        ) -> Buffer:
            name = f"{what} of sub-batch {index}"
            return activations.take(name, rows * elements * element_bytes, ends)

        gated = shape.activation is Activation.SWIGLU
        return cls(
            embeddings=lane.take(
                f"embeddings of sub-batch {index}", rows * (width * 2 + position_bytes)
            ),
            residual=take("residual", width, 4, epilogue_ends(width)),
            normed=take("norm", width, 2),
            qkv=take("QKV", shape.d_qkv, 4, layout.ends),
            attention=take(
                "attention", shape.d_query, 2, tuple(range(group, shape.d_query + 1, group))
            ),
            output=take("projection", width, 4, epilogue_ends(width)),
            hidden=take("FFN or logits", inner, 4, epilogue_ends(inner)),
            gate=take("gate", shape.d_ffn, 4, epilogue_ends(shape.d_ffn)) if gated else None,
            activated=take("activated FFN", shape.d_ffn, 2, epilogue_ends(shape.d_ffn)),
        )


def vector_buffers(
    config: Config, model: ModelPlacement, spaces: Sequence[SpaceAllocator]
) -> list[Buffer]:
    """Allocate buffers for layers' vectors: enough that a layer's can be loaded ahead.

    Layer l's vectors lie in channel l mod channels and go into buffer l mod (2 × channels).
    """
    nbytes = max(placement.nbytes for placement in model.vectors)
    return [
        spaces[index % config.memory.channels].take(f"vectors {index}", nbytes)
        for index in range(2 * config.memory.channels)
    ]
