"""Where things live: weights and caches in DRAM, buffers in the memories of the tile."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hw.arith import bf16
from hw.config import Config
from scheduler.compiler.builder import Region
from scheduler.models.shape import ModelShape
from scheduler.models.weights import Weights

__all__ = [
    "Buffer",
    "KvGeometry",
    "MatrixPlacement",
    "ModelPlacement",
    "SpaceAllocator",
    "place_model",
]


def round_up(value: int, unit: int) -> int:
    """Return the least multiple of ``unit`` that is not below ``value``."""
    return -(-value // unit) * unit


@dataclass(frozen=True, slots=True)
class Buffer:
    """A named piece of a tile memory: its tile address, its size, and its regions.

    A buffer whose columns are made and used group by group has one region a group of
    ``part_columns`` columns; every other has a single one.
    """

    address: int
    nbytes: int
    regions: tuple[Region, ...]
    part_columns: int = 0

    @property
    def region(self) -> Region:
        """The single region of a buffer that has no parts."""
        (region,) = self.regions
        return region

    def part(self, first: int, count: int) -> tuple[Region, ...]:
        """Return the regions that hold ``count`` columns from ``first`` on."""
        if not self.part_columns:
            return self.regions
        return self.regions[first // self.part_columns : -(-(first + count) // self.part_columns)]


class SpaceAllocator:
    """Hands out pieces of one memory, one after the other, aligned for every user of it."""

    def __init__(self, name: str, base: int, capacity_bytes: int, alignment: int) -> None:
        self.name = name
        self.base = base
        self.capacity_bytes = capacity_bytes
        self.alignment = alignment
        self.used_bytes = 0

    def take(self, what: str, nbytes: int, parts: int = 1, part_columns: int = 0) -> Buffer:
        """Return a fresh buffer."""
        start = self.used_bytes
        self.used_bytes += round_up(nbytes, self.alignment)
        if self.used_bytes > self.capacity_bytes:
            raise ValueError(
                f"{self.name} must hold at least {self.used_bytes} bytes (for {what}), "
                f"not {self.capacity_bytes}"
            )
        regions = tuple(Region(f"{self.name}: {what}[{part}]") for part in range(parts))
        return Buffer(self.base + start, nbytes, regions, part_columns)


@dataclass(frozen=True, slots=True)
class KvGeometry:
    """How keys and values of one layer of a request are laid out in its channel.

    Keys: token t in bank t mod B, as many heads as fit side by side in a row. Values: element e of
    a head in bank e mod B; a burst holds one element of T tokens, a row ``v_heads`` heads times
    ``v_groups`` bursts. The last tokens, fewer than T, stay token-major in a tail.

    Attributes
    ----------
    k_heads, k_parts
        Heads of a row of keys, and rows that a token's keys take.
    v_tokens, v_heads, v_groups, v_parts
        T; heads of a row of values; bursts of a head; rows that T tokens' values take.
    token_bytes, tail_rows
        Bytes of one token's values, and rows (of all banks) of a tail.
    """

    k_heads: int
    k_parts: int
    v_tokens: int
    v_heads: int
    v_groups: int
    v_parts: int
    token_bytes: int
    tail_rows: int

    @classmethod
    def of(cls, config: Config, shape: ModelShape) -> "KvGeometry":
        """Derive the layout; multi-head attention only."""
        elements = config.row_bytes // 2
        d_head, heads = shape.d_head, shape.heads
        if shape.kv_heads != heads:
            raise ValueError(f"kv_heads must equal heads ({heads}), not {shape.kv_heads!r}")
        if d_head % config.mac_lanes or d_head % config.banks or d_head > elements:
            raise ValueError(
                f"d_head must be a multiple of a column ({config.mac_lanes}) and of the banks "
                f"({config.banks}), and at most a row ({elements}), not {d_head!r}"
            )
        v_tokens = config.burst_bytes // 2
        v_groups = d_head // config.banks
        v_heads = min(heads, elements // (v_tokens * v_groups), config.slots // v_groups)
        if v_heads < 1:
            raise ValueError(
                f"slots must be at least {v_groups} (d_head / banks), not {config.slots}"
            )
        k_heads = min(heads, elements // d_head, config.slots)
        token_bytes = heads * d_head * 2
        return cls(
            k_heads=k_heads,
            k_parts=-(-heads // k_heads),
            v_tokens=v_tokens,
            v_heads=v_heads,
            v_groups=v_groups,
            v_parts=-(-heads // v_heads),
            token_bytes=token_bytes,
            tail_rows=-(-v_tokens * token_bytes // (config.banks * config.row_bytes)),
        )


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
    shape, epsilon
        Its sizes, and the epsilon of its norms.
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
    epsilon: float
    matrices: Mapping[str, MatrixPlacement]
    vectors: tuple[VectorsPlacement, ...]
    images: tuple[tuple[int, int, bytes], ...]
    io_address: int
    first_kv_row: int


def matrix_image(config: Config, matrix: np.ndarray) -> bytes:
    """Return a matrix ``[depth, width]`` as weight tiles, column block by column block.

    Raises
    ------
    ValueError
        If the matrix is not a whole number of weight tiles, or a column block not one of stripes.
    """
    depth, width = matrix.shape
    rows, columns = config.array_rows, config.tile_columns
    if depth % rows or width % columns:
        raise ValueError(
            f"a matrix must be a multiple of the array, {rows} × {columns}, not {depth} × {width}"
        )
    stripe = config.channels * config.burst_bytes
    if depth * columns * 2 % stripe:
        raise ValueError(
            f"a column block must be a multiple of a burst a channel ({stripe} bytes), "
            f"not {depth * columns * 2} bytes"
        )
    tiles = bf16.to_bits(matrix).reshape(depth // rows, rows, width // columns, columns)
    return tiles.transpose(2, 0, 1, 3).astype("<u2").tobytes()


def _stripe(config: Config, image: bytes) -> list[bytes]:
    """Deal out an image to the channels, burst by burst."""
    bursts = np.frombuffer(image, np.uint8).reshape(-1, config.channels, config.burst_bytes)
    return [bursts[:, channel].tobytes() for channel in range(config.channels)]


def _matrices(weights: Weights) -> dict[str, np.ndarray]:
    """Return the weight matrices in the order in which an iteration uses them."""
    names = ("w_qkv", "w_proj", "w_ffn1", "w_ffn2")
    matrices = {
        f"{name}.{index}": getattr(layer, name)
        for index, layer in enumerate(weights.layers)
        for name in names
    }
    return {**matrices, "w_head": weights.w_head}


def _vectors(weights: Weights) -> list[dict[str, np.ndarray]]:
    """Return biases and norm parameters: one dictionary a layer, and one for the end."""
    names = ["ln1_gamma", "ln1_beta", "b_qkv", "b_proj"]
    names += ["ln2_gamma", "ln2_beta", "b_ffn1", "b_ffn2"]
    vectors = [{name: getattr(layer, name) for name in names} for layer in weights.layers]
    return [*vectors, {"lnf_gamma": weights.lnf_gamma, "lnf_beta": weights.lnf_beta}]


def place_model(config: Config, weights: Weights, io_bytes: int) -> ModelPlacement:
    """Lay out a model's weights from address 0 of every channel on.

    ``io_bytes`` of every channel are kept for inputs and outputs.
    """
    matrices, vectors = _matrices(weights), _vectors(weights)
    address = 0
    placed: dict[str, MatrixPlacement] = {}
    images: list[tuple[int, int, bytes]] = []
    for name, matrix in matrices.items():
        shares = _stripe(config, matrix_image(config, matrix))
        placed[name] = MatrixPlacement(name, address, matrix.shape[0], matrix.shape[1])
        images += [(channel, address, share) for channel, share in enumerate(shares)]
        address += len(shares[0])
    placed_vectors = []
    for layer, group in enumerate(vectors):
        offsets, parts, length = {}, [], 0
        for name, vector in group.items():
            content = bf16.to_bits(vector).astype("<u2").tobytes()
            content += bytes(round_up(len(content), 4 * config.lanes) - len(content))
            offsets[name] = length
            parts.append(content)
            length += len(content)
        nbytes = round_up(length, config.burst_bytes)
        channel = layer % config.channels
        image = b"".join(parts) + bytes(nbytes - length)
        placed_vectors.append(VectorsPlacement(channel, address, nbytes, offsets))
        images.append((channel, address, image))
        address += nbytes
    row_stripe = config.banks * config.row_bytes
    io_address = round_up(address, row_stripe)
    first_kv_row = (io_address + round_up(io_bytes, row_stripe)) // row_stripe
    if first_kv_row >= config.rows:
        raise ValueError(
            f"rows must be above {first_kv_row} for the weights of the model, not {config.rows}"
        )
    return ModelPlacement(
        shape=weights.shape,
        epsilon=weights.epsilon,
        matrices=placed,
        vectors=tuple(placed_vectors),
        images=tuple(images),
        io_address=io_address,
        first_kv_row=first_kv_row,
    )
