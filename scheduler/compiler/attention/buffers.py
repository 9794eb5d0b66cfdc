"""A request's step in an iteration, and the buffers of a lane that its attention uses."""

from dataclasses import dataclass

import numpy as np

from hw.config import Config
from hw.program.instruction_set import lane_tile_address
from scheduler.compiler.attention.kv_geometry import KvGeometry
from scheduler.compiler.buffers import Buffer, SpaceAllocator
from scheduler.compiler.builder import Region
from scheduler.compiler.dense.placement import padded_vocabulary
from scheduler.models.shape import ModelShape

__all__ = ["Decode", "WorkBuffers", "lane_space"]


@dataclass(frozen=True, slots=True)
class Decode:
    """One request's step in an iteration.

    Attributes
    ----------
    request, channel
        Its number, and the channel that its cache lives in.
    row
        Its row in the activations of its sub-batch.
    position
        Tokens in the cache before this one.
    k_rows, v_rows, tail_rows
        DRAM rows of its pages: ``[layer, part, page]`` for keys and values, ``[layer, row]`` for
        the tail.
    """

    request: int
    channel: int
    row: int
    position: int
    k_rows: np.ndarray
    v_rows: np.ndarray
    tail_rows: np.ndarray


@dataclass(frozen=True, slots=True)
class WorkBuffers:
    """Buffers in a lane buffer that one request's attention uses while it lasts.

    The tail has two parts: the tokens that are loaded, and the new one behind them. Where that is
    depends on the request, but who reads the buffer waits for both parts, so whoever writes it for
    the next request, and waits for its readers, has it for himself.

    Logits (binary32), weights (bfloat16) and results (binary32) are ordered head group by head
    group: their parts count query heads.
    """

    tail: Buffer
    transposed: Buffer
    logits: Buffer
    weights: Buffer
    result: Buffer

    @property
    def loaded(self) -> Region:
        """The tokens of the tail that are loaded."""
        return self.tail.regions[0]

    @property
    def added(self) -> Region:
        """The tail's new token."""
        return self.tail.regions[1]

    @classmethod
    def take(
        cls, config: Config, shape: ModelShape, space: SpaceAllocator, index: int
    ) -> "WorkBuffers":
        """Allocate one set."""
        geometry = KvGeometry.of(config, shape)
        page_bytes = (
            geometry.v_parts * geometry.v_heads * geometry.v_groups * config.memory.burst_bytes
        )
        group = geometry.group_heads * shape.query_group
        ends = tuple(range(group, shape.heads + 1, group))
        elements = max(
            shape.heads * shape.context, padded_vocabulary(config, shape)
        )  # or logits of tokens
        return cls(
            tail=space.take(f"tail {index}", geometry.v_tokens * geometry.token_bytes, (1, 2)),
            transposed=space.take(f"transposed tail {index}", page_bytes * config.memory.banks),
            logits=space.take(f"logits {index}", elements * 4, ends),
            weights=space.take(f"weights {index}", shape.heads * shape.context * 2, ends),
            result=space.take(f"attention {index}", shape.heads * shape.d_head * 4, ends),
        )


def lane_space(config: Config, channel: int) -> SpaceAllocator:
    """Return an allocator for a channel's lane buffer."""
    return SpaceAllocator(
        f"lane_buffer_bytes (channel {channel})",
        lane_tile_address(channel, 0),
        config.npu.lane_buffer_bytes,
        max(config.memory.burst_bytes, 4 * config.npu.lanes),
    )
