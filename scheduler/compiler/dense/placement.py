"""Where a model's weights live in the memory channels."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from hw.arith import bf16
from hw.config import Config
from scheduler.compiler.attention.kv_geometry import KvGeometry
from scheduler.compiler.buffers import round_up
from scheduler.compiler.dense.qkv_layout import QkvLayout
from scheduler.models.shape import ModelShape
from scheduler.models.weights import Weights, parameter_shapes

__all__ = [
    "MatrixPlacement",
    "ModelPlacement",
    "VectorsPlacement",
    "model_images",
    "padded_vocabulary",
    "place_model",
]


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
    io_address
        Where a program's inputs and outputs may lie, in every channel; up to ``first_kv_row``.
    first_kv_row
        The first row that is free for keys and values.
    """

    shape: ModelShape
    matrices: Mapping[str, MatrixPlacement]
    vectors: tuple[VectorsPlacement, ...]
    io_address: int
    first_kv_row: int


def padded_vocabulary(config: Config, shape: ModelShape) -> int:
    """Return the columns of the output head: the vocabulary, in whole weight tiles.

    The last ones have weights of zero, and no token is chosen from them.

    >>> from hw.presets import TINY
    >>> from scheduler.models.catalog import CATALOG
    >>> padded_vocabulary(TINY, CATALOG["gpt3-7b"].shape)
    50260
    """
    return round_up(shape.vocabulary, config.npu.tile_columns)


def matrix_image(config: Config, matrix: np.ndarray, width: int) -> bytes:
    """Return a matrix as weight tiles, column block by column block, with zeros up to a width."""
    rows, columns = config.npu.array_rows, config.npu.tile_columns
    bits = bf16.to_bits(matrix)
    if bits.shape[1] < width:
        bits = np.pad(bits, ((0, 0), (0, width - bits.shape[1])))
    tiles = bits.reshape(bits.shape[0] // rows, rows, width // columns, columns)
    return tiles.transpose(2, 0, 1, 3).astype("<u2").tobytes()


def _stripe(config: Config, image: bytes) -> list[bytes]:
    """Deal out an image to the channels, burst by burst."""
    bursts = np.frombuffer(image, np.uint8).reshape(
        -1, config.memory.channels, config.memory.burst_bytes
    )
    return [bursts[:, channel].tobytes() for channel in range(config.memory.channels)]


#: Matrices of a layer, in the order in which an iteration uses them, and vectors.
_MATRICES = ("w_qkv", "w_proj", "w_gate", "w_ffn1", "w_ffn2")
_VECTORS = (
    *("ln1_gamma", "ln1_beta", "b_qkv", "b_proj"),
    *("ln2_gamma", "ln2_beta", "b_ffn1", "b_ffn2"),
)
_LAST_VECTORS = ("lnf_gamma", "lnf_beta")


def _matrix_limits(config: Config, name: str, depth: int, width: int) -> list[str]:
    """Return what is wrong with the size of a matrix."""
    rows, columns = config.npu.array_rows, config.npu.tile_columns
    stripe = config.memory.channels * config.memory.burst_bytes
    if depth % rows or width % columns:
        size = f"{rows} × {columns}"
        return [f"{name} must be a multiple of the array, {size}, not {depth} × {width}"]
    if depth * columns * 2 % stripe:
        text = f"a column block of {name} must be a multiple of a burst a channel ({stripe} bytes)"
        return [f"{text}, not {depth * columns * 2} bytes"]
    return []


def place_model(config: Config, shape: ModelShape, io_bytes: int) -> ModelPlacement:
    """Lay out a model's weights from address 0 of every channel on; only its shape is needed.

    ``io_bytes`` of every channel are kept for inputs and outputs.

    Raises
    ------
    ValueError
        Naming every matrix that is not made of weight tiles, or if the model does not fit.
    """
    sizes = parameter_shapes(shape)
    if shape.tied_head:
        sizes["w_head"] = (shape.d_model, shape.vocabulary)
    wrong: list[str] = []
    address = 0
    placed: dict[str, MatrixPlacement] = {}
    names = [
        (f"{name}.{layer}", f"layer{layer}.{name}")
        for layer in range(shape.layers)
        for name in _MATRICES
    ]
    for name, parameter in (*names, ("w_head", "w_head")):
        if parameter not in sizes:
            continue
        depth, width = sizes[parameter]
        if name == "w_head":
            width = padded_vocabulary(config, shape)
        wrong += _matrix_limits(config, name.split(".")[0], depth, width)
        placed[name] = MatrixPlacement(name, address, depth, width)
        address += depth * width * 2 // config.memory.channels
    placed_vectors = []
    for layer in range(shape.layers + 1):
        last = layer == shape.layers
        offsets, length = {}, 0
        for name in _LAST_VECTORS if last else _VECTORS:
            parameter = name if last else f"layer{layer}.{name}"
            if parameter in sizes:
                offsets[name] = length
                length += round_up(2 * sizes[parameter][0], 4 * config.npu.lanes)
        nbytes = round_up(length, config.memory.burst_bytes)
        placed_vectors.append(
            VectorsPlacement(layer % config.memory.channels, address, nbytes, offsets)
        )
        address += nbytes
    page = config.memory.page_bytes
    io_address = round_up(address, page)
    first_kv_row = (io_address + round_up(io_bytes, page)) // page
    if first_kv_row >= config.memory.rows:
        wrong.append(
            f"rows must be above {first_kv_row} for the weights of the model, "
            f"not {config.memory.rows}"
        )
    if wrong:
        raise ValueError("; ".join(dict.fromkeys(wrong)))
    return ModelPlacement(
        shape=shape,
        matrices=placed,
        vectors=tuple(placed_vectors),
        io_address=io_address,
        first_kv_row=first_kv_row,
    )


def model_images(
    config: Config, placement: ModelPlacement, weights: Weights
) -> Iterator[tuple[int, int, bytes]]:
    """Yield what to write before the first program: channel, address, bytes."""
    shape = placement.shape
    order = QkvLayout(shape, KvGeometry.of(config, shape).group_heads).order()

    def parameter(name: str, layer: int) -> np.ndarray:
        owner = weights if layer == shape.layers else weights.layers[layer]
        value: np.ndarray = getattr(owner, name)
        return value[..., order] if name in ("w_qkv", "b_qkv") else value

    for name, matrix in placement.matrices.items():
        kind, _, number = name.partition(".")
        values = parameter(kind, int(number) if number else shape.layers)
        image = matrix_image(config, values, matrix.width)
        for channel, share in enumerate(_stripe(config, image)):
            yield channel, matrix.address, share
    for layer, place in enumerate(placement.vectors):
        row = bytearray(place.nbytes)
        for name, offset in place.offsets.items():
            content = bf16.to_bits(parameter(name, layer)).astype("<u2").tobytes()
            row[offset : offset + len(content)] = content
        yield place.channel, place.address, bytes(row)
