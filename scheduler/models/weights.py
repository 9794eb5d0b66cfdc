"""The weights of models: of the trained ones that ship with the project, or random ones."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import resources
from importlib.resources.abc import Traversable

import numpy as np

from hw.arith import bf16
from scheduler.models.catalog import CATALOG
from scheduler.models.shape import Activation, ModelShape, NormKind, Positions

__all__ = [
    "LayerWeights",
    "Weights",
    "has_weights",
    "load_prompts",
    "load_weights",
    "parameter_shapes",
    "random_weights",
]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LayerWeights:
    """One decoder block: float32 arrays of bfloat16 values; matrices are ``[in, out]``.

    Columns of ``w_qkv`` and elements of ``b_qkv`` are q of all heads, then k, then v; within each,
    head h has the ``d_head`` columns from ``h × d_head`` on. ``w_proj`` takes the heads in the same
    order. ``w_gate`` is that of SwiGLU, whose FFN is ``(silu(y w_gate) × y w_ffn1) w_ffn2``. What a
    model of its kind does not have is None.
    """

    ln1_gamma: np.ndarray
    ln1_beta: np.ndarray | None = None
    w_qkv: np.ndarray
    b_qkv: np.ndarray | None = None
    w_proj: np.ndarray
    b_proj: np.ndarray | None = None
    ln2_gamma: np.ndarray
    ln2_beta: np.ndarray | None = None
    w_gate: np.ndarray | None = None
    w_ffn1: np.ndarray
    b_ffn1: np.ndarray | None = None
    w_ffn2: np.ndarray
    b_ffn2: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Weights:
    """A model: embeddings ``[token or position, d_model]``, blocks, last norm, output head.

    Blocks are pre-norm; of which kind their parts are, the shape says. Arrays are float32 and hold
    bfloat16 values. ``w_head`` of a tied head is the token embedding, transposed.
    """

    shape: ModelShape
    tok_embedding: np.ndarray
    pos_embedding: np.ndarray | None = None
    layers: tuple[LayerWeights, ...]
    lnf_gamma: np.ndarray
    lnf_beta: np.ndarray | None = None
    w_head: np.ndarray

    @classmethod
    def from_arrays(cls, shape: ModelShape, arrays: Mapping[str, np.ndarray]) -> "Weights":
        """Gather named arrays, as :func:`parameter_shapes` names them, into a model.

        Raises
        ------
        ValueError
            If an array is missing, superfluous or of another shape.
        """
        expected = parameter_shapes(shape)
        if set(arrays) != set(expected):
            names = sorted(set(arrays) ^ set(expected))
            raise ValueError(f"arrays must be those of the model, not differ in {names}")
        for name, array in arrays.items():
            if array.shape != expected[name]:
                raise ValueError(f"{name} must have shape {expected[name]}, not {array.shape}")
        layers = []
        for i in range(shape.layers):
            paths = {f.name: f"layer{i}.{f.name}" for f in fields(LayerWeights)}
            own = {name: arrays[path] for name, path in paths.items() if path in arrays}
            layers.append(LayerWeights(**own))
        outer = {name: array for name, array in arrays.items() if "." not in name}
        if shape.tied_head:
            outer["w_head"] = np.ascontiguousarray(arrays["tok_embedding"].T)
        return cls(shape=shape, layers=tuple(layers), **outer)


def parameter_shapes(shape: ModelShape) -> dict[str, tuple[int, ...]]:
    """Return the shape of every array of a model by its name in the file of weights.

    >>> tiny = CATALOG["tiny-gpt"].shape
    >>> parameter_shapes(tiny)["layer1.w_qkv"]
    (64, 192)
    >>> [name for name in parameter_shapes(CATALOG["tiny-llama"].shape) if "." not in name]
    ['tok_embedding', 'lnf_gamma']
    """
    d_model, d_ffn = shape.d_model, shape.d_ffn
    beta = shape.norm is NormKind.LAYER
    gate = shape.activation is Activation.SWIGLU
    layer = {
        "ln1_gamma": (d_model,),
        "ln1_beta": (d_model,) if beta else None,
        "w_qkv": (d_model, shape.d_qkv),
        "b_qkv": (shape.d_qkv,) if shape.qkv_bias else None,
        "w_proj": (shape.d_query, d_model),
        "b_proj": (d_model,) if shape.projection_bias else None,
        "ln2_gamma": (d_model,),
        "ln2_beta": (d_model,) if beta else None,
        "w_gate": (d_model, d_ffn) if gate else None,
        "w_ffn1": (d_model, d_ffn),
        "b_ffn1": (d_ffn,) if shape.ffn_bias else None,
        "w_ffn2": (d_ffn, d_model),
        "b_ffn2": (d_model,) if shape.ffn_bias else None,
    }
    learned = shape.positions is Positions.LEARNED
    sizes: dict[str, tuple[int, ...] | None] = {
        "tok_embedding": (shape.vocabulary, d_model),
        "pos_embedding": (shape.context, d_model) if learned else None,
        **{f"layer{i}.{name}": size for i in range(shape.layers) for name, size in layer.items()},
        "lnf_gamma": (d_model,),
        "lnf_beta": (d_model,) if beta else None,
        "w_head": None if shape.tied_head else (d_model, shape.vocabulary),
    }
    return {name: size for name, size in sizes.items() if size is not None}


def random_weights(shape: ModelShape, seed: int = 0) -> Weights:
    """Return weights that nobody has trained: the same for the same seed.

    Matrices are normal with a deviation of ``depth ** -0.5``, so that hidden vectors neither grow
    nor fade; gammas are 1, betas 0, and biases as small as weights.
    """
    rng = np.random.default_rng(seed)
    arrays = {}
    for name, size in parameter_shapes(shape).items():
        if len(size) == 1 and ".b_" not in name:
            value = np.full(size, float(name.endswith("gamma")), np.float32)
        else:
            depth = shape.d_model if "embedding" in name or len(size) == 1 else size[0]
            value = (rng.standard_normal(size) * depth**-0.5).astype(np.float32)
        arrays[name] = bf16.round(value)
    return Weights.from_arrays(shape, arrays)


def _file(name: str) -> Traversable:
    return resources.files("scheduler.models") / "data" / f"{name}.npz"


def has_weights(name: str) -> bool:
    """Return whether weights of a model ship with the project."""
    return name in CATALOG and _file(name).is_file()


def load_weights(name: str = "tiny-gpt") -> Weights:
    """Load a model that ships with the project.

    Raises
    ------
    ValueError
        If no weights of that name ship with the project.
    """
    if not has_weights(name):
        raise ValueError(f"name must be a model with weights, such as 'tiny-gpt', not {name!r}")
    with _file(name).open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        arrays = {key: bf16.from_bits(file[key]) for key in file.files}
    return Weights.from_arrays(CATALOG[name].shape, arrays)


def load_prompts(name: str = "tiny-gpt") -> list[bytes]:
    """Return the prompts that ship for a model, one a line of the file.

    A model that does not answer all of the common ones clearly has a file of its own.
    """
    folder = resources.files("scheduler.models") / "data"
    own = folder / f"prompts-{name}.txt"
    source = own if name in CATALOG and own.is_file() else folder / "prompts.txt"
    return source.read_bytes().splitlines()
