"""Model shapes from a ``config.json`` as Hugging Face writes it beside a checkpoint.

Only the shape is read; there are no weights in such a file. Names and defaults are those of the
library ``transformers`` (classes ``LlamaConfig`` and ``GPT2Config``). Fields that do not change
what is computed in decoding (dropout, token numbers, types of storage …) are ignored.
"""

import json
from collections.abc import Mapping
from typing import Any

from scheduler.models.shape import Activation, ModelShape, NormKind, Positions

__all__ = ["parse_config"]

#: Fields that must have one of these values, where they are there at all: nothing else is built.
_LLAMA_SUPPORTED: dict[str, tuple[object, ...]] = {
    "hidden_act": ("silu",),
    "rope_scaling": (None,),
    "attention_bias": (False,),
    "mlp_bias": (False,),
    "sliding_window": (None,),
    "quantization_config": (None,),
    "is_encoder_decoder": (False,),
}
_GPT2_SUPPORTED: dict[str, tuple[object, ...]] = {
    "activation_function": ("gelu_new", "gelu_pytorch_tanh", "gelu"),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
    "quantization_config": (None,),
    "is_encoder_decoder": (False,),
}


def parse_config(content: bytes) -> ModelShape:
    """Return the shape that a ``config.json`` describes.

    Rotary positions turn neighbouring elements of a head here, where ``transformers`` turns element
    i with element i + d_head / 2: the same model with the columns of q and k in another order.

    >>> parse_config(b'{"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 4,'
    ...              b' "n_positions": 128, "vocab_size": 256}').d_ffn
    256

    Raises
    ------
    ValueError
        If it is not such a file, or a field is missing, not positive, or not supported.
    """
    try:
        table = json.loads(content)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"a model's configuration must be JSON: {error}") from None
    if not isinstance(table, dict):
        raise ValueError(f"a model's configuration must be an object, not {type(table).__name__}")
    kinds = {"llama": _llama, "gpt2": _gpt2}
    kind = table.get("model_type")
    if not isinstance(kind, str) or kind not in kinds:
        raise ValueError(f"model_type must be one of {', '.join(kinds)}, not {kind!r}")
    return kinds[kind](table)


def _llama(table: Mapping[str, Any]) -> ModelShape:
    _check_supported(table, _LLAMA_SUPPORTED)
    d_model, heads = _size(table, "hidden_size"), _size(table, "num_attention_heads")
    return ModelShape(
        layers=_size(table, "num_hidden_layers"),
        d_model=d_model,
        heads=heads,
        kv_heads=_size(table, "num_key_value_heads", heads),
        d_head=_d_head(table, "hidden_size", d_model, "num_attention_heads", heads),
        d_ffn=_size(table, "intermediate_size"),
        vocabulary=_size(table, "vocab_size"),
        context=_size(table, "max_position_embeddings"),
        norm=NormKind.RMS,
        activation=Activation.SWIGLU,
        positions=Positions.ROTARY,
        biases=False,
        tied_head=_flag(table, "tie_word_embeddings", False),
        epsilon=_positive(table, "rms_norm_eps", 1e-6),
        rotary_base=_rotary_base(table),
    )


def _rotary_base(table: Mapping[str, Any]) -> float:
    """Return the base of rotary positions, which newer files have in ``rope_parameters``."""
    parameters = table.get("rope_parameters")
    if parameters is None:
        return _positive(table, "rope_theta", 10000.0)
    if not isinstance(parameters, dict):
        raise ValueError(f"rope_parameters must be an object, not {json.dumps(parameters)}")
    kind = parameters.get("rope_type", "default")
    if kind != "default":
        raise ValueError(f'rope_type of rope_parameters must be "default", not {json.dumps(kind)}')
    return _positive({**table, **parameters}, "rope_theta", 10000.0)


def _gpt2(table: Mapping[str, Any]) -> ModelShape:
    _check_supported(table, _GPT2_SUPPORTED)
    d_model, heads = _size(table, "n_embd"), _size(table, "n_head")
    return ModelShape(
        layers=_size(table, "n_layer"),
        d_model=d_model,
        heads=heads,
        kv_heads=heads,
        d_head=_d_head(table, "n_embd", d_model, "n_head", heads),
        d_ffn=_size(table, "n_inner", 4 * d_model),
        vocabulary=_size(table, "vocab_size"),
        context=_size(table, "n_positions"),
        activation=Activation.GELU_ERF
        if table.get("activation_function") == "gelu"
        else Activation.GELU_TANH,
        tied_head=_flag(table, "tie_word_embeddings", True),
        epsilon=_positive(table, "layer_norm_epsilon", 1e-5),
    )


def _check_supported(table: Mapping[str, Any], supported: Mapping[str, tuple[object, ...]]) -> None:
    for name, values in supported.items():
        if name in table and table[name] not in values:
            wanted = " or ".join(json.dumps(value) for value in values)
            raise ValueError(f"{name} must be {wanted}, not {json.dumps(table[name])}")


def _size(table: Mapping[str, Any], name: str, default: int | None = None) -> int:
    """Return a positive integer; null means the default, as it does in ``transformers``."""
    value = table.get(name)
    if value is None:
        if default is None:
            raise ValueError(f"{name} must be there, a positive integer")
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a positive integer, not {json.dumps(value)}")
    return value


def _d_head(
    table: Mapping[str, Any], width_name: str, d_model: int, heads_name: str, heads: int
) -> int:
    if table.get("head_dim") is not None:
        return _size(table, "head_dim")
    if d_model % heads:
        raise ValueError(
            f"{width_name} must be a multiple of {heads_name} ({heads}), not {d_model}"
        )
    return d_model // heads


def _positive(table: Mapping[str, Any], name: str, default: float) -> float:
    value = table.get(name, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 1e30:
        raise ValueError(f"{name} must be a positive number, not {json.dumps(value)}")
    return float(value)


def _flag(table: Mapping[str, Any], name: str, default: bool) -> bool:
    value = table.get(name, default)
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, not {json.dumps(value)}")
    return value
