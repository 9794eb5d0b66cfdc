"""Where a model's weights live in the memory channels."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hw.arith import bf16
from hw.config import Config
from scheduler.compiler.attention.kv_geometry import KvGeometry
from scheduler.compiler.buffers import round_up
from scheduler.compiler.dense.qkv_layout import QkvLayout
from scheduler.models.shape import ModelShape
from scheduler.models.weights import Weights

__all__ = ["MatrixPlacement", "ModelPlacement", "VectorsPlacement", "place_model"]


@dataclass(frozen=True, slots=True)
class MatrixPlacement:
    """A weight matrix in DRAM: by column blocks, each a weight tile a row block.

    Attributes
    ----------
    address
        Channel address, the same in all channels: the image is striped over them burst by burst.
    depth, width
        Rows (the reduction) and columns of the matrix.
    """

    name: str
    address: int
    depth: int
    width: int


@dataclass(frozen=True, slots=True)
class VectorsPlacement:
    """Biases and norm parameters of a layer, one after the other in one channel, in bfloat16."""

    channel: int
    address: int
    nbytes: int
    offsets: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ModelPlacement:
    """A model in the memory channels of a device.

    Attributes
    ----------
    shape
        Its sizes and kinds.
    matrices
        By name; those of a layer as ``name.layer``.
    vectors
        One entry a layer, and one for what follows the last.
    images
        What to write before the first program: channel, address, bytes.
    io_address
        Where a program's inputs and outputs may lie, in every channel; up to ``first_kv_row``.
    first_kv_row
        The first row that is free for keys and values.
    """

    shape: ModelShape
    matrices: Mapping[str, MatrixPlacement]
    vectors: tuple[VectorsPlacement, ...]
    images: tuple[tuple[int, int, bytes], ...]
    io_address: int
    first_kv_row: int


def matrix_image(config: Config, name: str, matrix: np.ndarray) -> bytes:
    """Return a matrix ``[depth, width]`` as weight tiles, column block by column block.

    Raises
    ------
    ValueError
        If the matrix is not a whole number of weight tiles, or a column block not one of stripes.
    """
    depth, width = matrix.shape
    rows, columns = config.npu.array_rows, config.npu.tile_columns
    if depth % rows or width % columns:
        raise ValueError(
            f"{name} must be a multiple of the array, {rows} × {columns}, not {depth} × {width}"
        )
    stripe = config.memory.channels * config.memory.burst_bytes
    if depth * columns * 2 % stripe:
        raise ValueError(
            f"a column block of {name} must be a multiple of a burst a channel ({stripe} bytes), "
            f"not {depth * columns * 2} bytes"
        )
    tiles = bf16.to_bits(matrix).reshape(depth // rows, rows, width // columns, columns)
    return tiles.transpose(2, 0, 1, 3).astype("<u2").tobytes()


def _stripe(config: Config, image: bytes) -> list[bytes]:
    """Deal out an image to the channels, burst by burst."""
    bursts = np.frombuffer(image, np.uint8).reshape(
        -1, config.memory.channels, config.memory.burst_bytes
    )
    return [bursts[:, channel].tobytes() for channel in range(config.memory.channels)]


def _matrices(weights: Weights, qkv_order: np.ndarray) -> dict[str, np.ndarray]:
    """Return the weight matrices in the order in which an iteration uses them."""
    matrices: dict[str, np.ndarray] = {}
    for index, layer in enumerate(weights.layers):
        matrices[f"w_qkv.{index}"] = layer.w_qkv[:, qkv_order]
        matrices[f"w_proj.{index}"] = layer.w_proj
        if layer.w_gate is not None:
            matrices[f"w_gate.{index}"] = layer.w_gate
        matrices[f"w_ffn1.{index}"] = layer.w_ffn1
        matrices[f"w_ffn2.{index}"] = layer.w_ffn2
    return {**matrices, "w_head": weights.w_head}


def _vectors(weights: Weights, qkv_order: np.ndarray) -> list[dict[str, np.ndarray]]:
    """Return biases and norm parameters: one dictionary a layer, and one for the end."""
    vectors: list[dict[str, np.ndarray | None]] = [
        {
            "ln1_gamma": layer.ln1_gamma,
            "ln1_beta": layer.ln1_beta,
            "b_qkv": None if layer.b_qkv is None else layer.b_qkv[qkv_order],
            "b_proj": layer.b_proj,
            "ln2_gamma": layer.ln2_gamma,
            "ln2_beta": layer.ln2_beta,
            "b_ffn1": layer.b_ffn1,
            "b_ffn2": layer.b_ffn2,
        }
        for layer in weights.layers
    ]
    vectors.append({"lnf_gamma": weights.lnf_gamma, "lnf_beta": weights.lnf_beta})
    return [{n: v for n, v in group.items() if v is not None} for group in vectors]


def place_model(config: Config, weights: Weights, io_bytes: int) -> ModelPlacement:
    """Lay out a model's weights from address 0 of every channel on.

    ``io_bytes`` of every channel are kept for inputs and outputs.

    Raises
    ------
    ValueError
        If a matrix is not made of weight tiles, or the model does not fit the channels.
    """
    geometry = KvGeometry.of(config, weights.shape)
    order = QkvLayout(weights.shape, geometry.group_heads).order()
    matrices, vectors = _matrices(weights, order), _vectors(weights, order)
    address = 0
    placed: dict[str, MatrixPlacement] = {}
    images: list[tuple[int, int, bytes]] = []
    for name, matrix in matrices.items():
        shares = _stripe(config, matrix_image(config, name, matrix))
        placed[name] = MatrixPlacement(name, address, matrix.shape[0], matrix.shape[1])
        images += [(channel, address, share) for channel, share in enumerate(shares)]
        address += len(shares[0])
    placed_vectors = []
    for layer, group in enumerate(vectors):
        offsets, parts, length = {}, [], 0
        for name, vector in group.items():
            content = bf16.to_bits(vector).astype("<u2").tobytes()
            content += bytes(round_up(len(content), 4 * config.npu.lanes) - len(content))
            offsets[name] = length
            parts.append(content)
            length += len(content)
        nbytes = round_up(length, config.memory.burst_bytes)
        channel = layer % config.memory.channels
        image = b"".join(parts) + bytes(nbytes - length)
        placed_vectors.append(VectorsPlacement(channel, address, nbytes, offsets))
        images.append((channel, address, image))
        address += nbytes
    io_address = round_up(address, config.memory.page_bytes)
    first_kv_row = (
        io_address + round_up(io_bytes, config.memory.page_bytes)
    ) // config.memory.page_bytes
    if first_kv_row >= config.memory.rows:
        raise ValueError(
            f"rows must be above {first_kv_row} for the weights of the model, "
            f"not {config.memory.rows}"
        )
    return ModelPlacement(
        shape=weights.shape,
        matrices=placed,
        vectors=tuple(placed_vectors),
        images=tuple(images),
        io_address=io_address,
        first_kv_row=first_kv_row,
    )
