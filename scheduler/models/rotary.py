"""Rotary positions: by how much a head's pairs of elements turn (Su et al. 2021, RoFormer)."""

from collections.abc import Sequence

import numpy as np

from scheduler.models.shape import ModelShape

__all__ = ["rotations"]


def rotations(shape: ModelShape, positions: Sequence[int]) -> np.ndarray:
    """Return cosines and sines of positions: float32 ``[positions, d_head]``.

    Element 2 i of a row is the cosine of pair i's angle, element 2 i + 1 its sine: what the ROTARY
    instruction takes. Pair i, elements 2 i and 2 i + 1 of a head, turns by ``rotary_base ** (-2 i /
    d_head)`` radians a token.

    >>> shape = ModelShape(layers=1, d_model=4, heads=1, kv_heads=1, d_head=4, d_ffn=4,
    ...                    vocabulary=4, context=4)
    >>> rotations(shape, [0, 1]).round(3).tolist()[0]
    [1.0, 0.0, 1.0, 0.0]
    """
    speeds = shape.rotary_base ** (-np.arange(0, shape.d_head, 2) / shape.d_head)
    angles = np.outer(positions, speeds)
    turns = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return turns.reshape(len(positions), -1).astype("<f4")
