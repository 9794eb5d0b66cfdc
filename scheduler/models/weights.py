"""The weights of the trained models that ship with the project."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import resources

import numpy as np

from hw.arith import bf16
from scheduler.models.catalog import CATALOG
from scheduler.models.shape import ModelShape

__all__ = ["LayerWeights", "Weights", "load_prompts", "load_weights", "parameter_shapes"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LayerWeights:
    """One decoder block: float32 arrays of bfloat16 values; matrices are ``[in, out]``.

    Columns of ``w_qkv`` and elements of ``b_qkv`` are q of all heads, then k, then v; within each,
    head h has the ``d_head`` columns from ``h × d_head`` on. ``w_proj`` takes the heads in the same
    order.
    """

    ln1_gamma: np.ndarray
    ln1_beta: np.ndarray
    w_qkv: np.ndarray
    b_qkv: np.ndarray
    w_proj: np.ndarray
    b_proj: np.ndarray
    ln2_gamma: np.ndarray
    ln2_beta: np.ndarray
    w_ffn1: np.ndarray
    b_ffn1: np.ndarray
    w_ffn2: np.ndarray
    b_ffn2: np.ndarray


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Weights:
    """A model: embeddings ``[token or position, d_model]``, blocks, last norm, output head.

    Blocks are pre-norm, with LayerNorm (epsilon :attr:`epsilon`) and the tanh form of GELU; linear
    layers have biases but for the output head. Arrays are float32 and hold bfloat16 values.
    """

    shape: ModelShape
    epsilon: float
    tok_embedding: np.ndarray
    pos_embedding: np.ndarray
    layers: tuple[LayerWeights, ...]
    lnf_gamma: np.ndarray
    lnf_beta: np.ndarray
    w_head: np.ndarray

    @classmethod
    def from_arrays(
        cls, shape: ModelShape, arrays: Mapping[str, np.ndarray], epsilon: float = 1e-5
    ) -> "Weights":
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
        layers = [
            LayerWeights(**{f.name: arrays[f"layer{i}.{f.name}"] for f in fields(LayerWeights)})
            for i in range(shape.layers)
        ]
        outer = {name: array for name, array in arrays.items() if "." not in name}
        return cls(shape=shape, epsilon=epsilon, layers=tuple(layers), **outer)


def parameter_shapes(shape: ModelShape) -> dict[str, tuple[int, ...]]:
    """Return the shape of every array of a model by its name in the file of weights.

    >>> tiny = CATALOG["tiny-gpt"].shape
    >>> parameter_shapes(tiny)["layer1.w_qkv"]
    (64, 192)
    """
    d_model, d_ffn = shape.d_model, shape.d_ffn
    layer = {
        "ln1_gamma": (d_model,),
        "ln1_beta": (d_model,),
        "w_qkv": (d_model, shape.d_qkv),
        "b_qkv": (shape.d_qkv,),
        "w_proj": (shape.heads * shape.d_head, d_model),
        "b_proj": (d_model,),
        "ln2_gamma": (d_model,),
        "ln2_beta": (d_model,),
        "w_ffn1": (d_model, d_ffn),
        "b_ffn1": (d_ffn,),
        "w_ffn2": (d_ffn, d_model),
        "b_ffn2": (d_model,),
    }
    return {
        "tok_embedding": (shape.vocabulary, d_model),
        "pos_embedding": (shape.context, d_model),
        **{f"layer{i}.{name}": size for i in range(shape.layers) for name, size in layer.items()},
        "lnf_gamma": (d_model,),
        "lnf_beta": (d_model,),
        "w_head": (d_model, shape.vocabulary),
    }


def load_weights(name: str = "tiny-gpt") -> Weights:
    """Load a model that ships with the project.

    Raises
    ------
    ValueError
        If no weights of that name ship with the project.
    """
    source = resources.files("scheduler.models") / "data" / f"{name}.npz"
    if name not in CATALOG or not source.is_file():
        raise ValueError(f"name must be a model with weights, such as 'tiny-gpt', not {name!r}")
    with source.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        arrays = {key: bf16.from_bits(file[key]) for key in file.files}
    return Weights.from_arrays(CATALOG[name].shape, arrays)


def load_prompts() -> list[bytes]:
    """Return the prompts that ship with the models, one a line of the file."""
    source = resources.files("scheduler.models") / "data" / "prompts.txt"
    return source.read_bytes().splitlines()
