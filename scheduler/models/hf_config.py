"""Model shapes from a ``config.json`` as Hugging Face writes it beside a checkpoint.

Only the shape is read; there are no weights in such a file. Every field is accounted for: it is
*used*; or it has to have one value, since nothing else is computed here (*fixed*); or it does not
matter to the arithmetic of decoding (*ignored*: dropout, numbers of special tokens, types of
storage …); or it is refused by name, since nobody knows what it does. Names and defaults are those
of the library ``transformers`` (classes ``LlamaConfig``, ``MistralConfig``, ``Qwen2Config`` and
``GPT2Config``); null means the default, for every field.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from scheduler.models.shape import Activation, ModelShape, NormKind, Positions

__all__ = ["parse_config"]

#: The largest size of anything (chosen: more than any model has, and no memory of ours).
LARGEST = 1 << 24

#: Fields of every model that do not change what is computed in decoding.
_IGNORED = {
    *("transformers_version", "_name_or_path", "name_or_path", "model_name"),  # where it is from
    *("torch_dtype", "dtype", "use_bfloat16", "torchscript"),  # storage: weights are bfloat16 here
    *("bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "cls_token_id"),
    *("decoder_start_token_id", "unk_token_id", "tokenizer_class", "prefix", "language"),
    *("use_cache", "return_dict", "output_attentions", "output_hidden_states"),  # of the interface
    *("return_dict_in_generate", "output_scores", "chunk_size_feed_forward"),
    *("_attn_implementation", "attn_implementation", "_flash_attn_2_enabled", "use_flash_attn"),
    *("initializer_range", "gradient_checkpointing"),  # of training
    *("task_specific_params", "id2label", "label2id", "num_labels", "finetuning_task"),
    *("problem_type", "architectures", "model_type", "auto_map"),  # checked by themselves
    # generation: the host chooses the likeliest token
    *("do_sample", "temperature", "top_k", "top_p", "typical_p", "max_length", "min_length"),
    *("num_beams", "num_beam_groups", "diversity_penalty", "repetition_penalty", "length_penalty"),
    *("no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids", "early_stopping"),
    *("num_return_sequences", "remove_invalid_values", "suppress_tokens", "begin_suppress_tokens"),
    *("forced_bos_token_id", "forced_eos_token_id", "exponential_decay_length_penalty"),
}

#: Fields that must have one of these values, whatever the model. Null stands for the first; the
#: last is named.
_FIXED: dict[str, tuple[object, ...]] = {
    "is_encoder_decoder": (False,),
    "is_decoder": (True, False),
    "add_cross_attention": (False,),
    "tie_encoder_decoder": (False,),
    "cross_attention_hidden_size": (None,),
    "quantization_config": (None,),
    "pruned_heads": ([], {}),
}

#: The same for Llama, Mistral and Qwen2.
_FIXED_LLAMA: dict[str, tuple[object, ...]] = {
    "hidden_act": ("swish", "silu"),
    "mlp_bias": (False,),
    "bias": (False,),
    "partial_rotary_factor": (1.0, 1),
    "rotary_pct": (1.0, 1),
}

#: Fields of the Llama family that do not matter: dropout, a switch of training, a size that
#: ``transformers`` does not read.
_IGNORED_LLAMA = {"attention_dropout", "pretraining_tp", "max_sequence_length"}


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
        If it is not such a file, or naming every field that cannot be what it is.
    """
    try:
        table = json.loads(
            content.decode("utf-8-sig"), object_pairs_hook=_once, parse_constant=_no_number
        )
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"a model's configuration must be JSON: {error}") from None
    if not isinstance(table, dict):
        raise ValueError(f"a model's configuration must be an object, not {type(table).__name__}")
    kind = table.get("model_type")
    if not isinstance(kind, str) or kind not in _FAMILIES:
        raise ValueError(f"model_type must be one of {', '.join(_FAMILIES)}, not {_said(kind)}")
    fields = _Fields(table)
    shape = _FAMILIES[kind].shape(fields)
    family = _FAMILIES[kind]
    fields.check_identity(family.architectures)
    fields.check_fixed({**_FIXED, **family.fixed})
    fields.check_all_known({*_IGNORED, *family.ignored})
    if fields.wrong:
        raise ValueError("; ".join(fields.wrong))
    return ModelShape(**shape)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON; ValueError if a name stands in it twice."""
    table: dict[str, Any] = {}
    for name, value in pairs:
        if name in table:
            raise ValueError(f"{name} must stand once in a model's configuration")
        table[name] = value
    return table


def _no_number(text: str) -> float:
    raise ValueError(f"a model's configuration must hold numbers, not {text}")


def _said(value: object) -> str:
    """Return a value as JSON, short enough for a line."""
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


class _Fields:
    """The fields of a file, and what is wrong with them.

    Attributes
    ----------
    wrong
        A message for every field that cannot be what it is.
    """

    def __init__(self, table: Mapping[str, Any]) -> None:
        self._table = table
        self._known: set[str] = set()
        self.wrong: list[str] = []

    def _get(self, name: str, default: Any) -> Any:
        self._known.add(name)
        value = self._table.get(name)
        return default if value is None else value

    def size(self, name: str, default: int) -> int:
        """Return a positive integer."""
        value = self._get(name, default)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= LARGEST:
            limit = f", at most {LARGEST:,}" if isinstance(value, int) and value > LARGEST else ""
            self.wrong.append(f"{name} must be a positive integer{limit}, not {_said(value)}")
            return default
        return value

    def positive(self, name: str, default: float) -> float:
        """Return a positive number."""
        value = self._get(name, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 1e30:
            self.wrong.append(f"{name} must be a positive number, not {_said(value)}")
            return default
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        """Return true or false."""
        value = self._get(name, default)
        if not isinstance(value, bool):
            self.wrong.append(f"{name} must be true or false, not {_said(value)}")
            return default
        return value

    def choice(self, name: str, default: str, choices: Mapping[str, Activation]) -> Activation:
        """Return what one of some words means."""
        value = self._get(name, default)
        if not isinstance(value, str) or value not in choices:
            words = " or ".join(map(_said, choices))
            self.wrong.append(f"{name} must be {words}, not {_said(value)}")
            value = default
        return choices[value]

    def d_head(self, width_name: str, d_model: int, heads_name: str, heads: int) -> int:
        """Return the head dimension: as it is given, or the width by the heads."""
        if self._get("head_dim", None) is not None:
            return self.size("head_dim", 1)
        if d_model % heads:
            self.wrong.append(
                f"{width_name} must be a multiple of {heads_name} ({heads}), not {d_model}"
            )
        return max(1, d_model // heads)

    def no_window(self, default_on: bool) -> None:
        """Check that attention reaches back to the first token, in every layer."""
        used = self._get("use_sliding_window", default_on)
        window = self._table.get("sliding_window", 4096 if default_on else None)
        self._known |= {"sliding_window", "max_window_layers", "layer_types"}
        if default_on and window is not None:
            given = "sliding_window" in self._table
            what = _said(window) if given else f"{window}, the default"
            self.wrong.append(f"sliding_window must be null, not {what}")
        if not default_on and used is not False:
            self.wrong.append(f"use_sliding_window must be false, not {_said(used)}")
        layers = self._table.get("layer_types") or []
        if not isinstance(layers, list) or any(kind != "full_attention" for kind in layers):
            self.wrong.append(f'layer_types must all be "full_attention", not {_said(layers)}')

    def rotary_base(self) -> float:
        """Return the base of rotary positions, in either of the two places that it may have.

        Nothing else may stand there: scaled and partial rotary positions are not computed.
        """
        base = self.positive("rope_theta", 10000.0)
        for name in ("rope_scaling", "rope_parameters"):
            inner = self._get(name, {})
            if not isinstance(inner, dict):
                self.wrong.append(f"{name} must be an object, not {_said(inner)}")
                continue
            nested = _Fields(inner)
            kinds = ("default", None)
            for word in ("rope_type", "type"):
                kind = nested._get(word, None)
                if kind not in kinds:
                    self.wrong.append(f'{word} of {name} must be "default", not {_said(kind)}')
            base = nested.positive("rope_theta", base)
            nested.check_fixed({"partial_rotary_factor": (1.0, 1)})
            if not any(f" of {name} must" in message for message in self.wrong):
                nested.check_all_known(set(), f" of {name}")
            self.wrong += nested.wrong
        return base

    def check_identity(self, architectures: tuple[str, ...]) -> None:
        """Check that the names of the model's class are those of its type, and no code of its own.

        A classifier and the like have another head.
        """
        named = self._get("architectures", [])
        if not isinstance(named, list) or any(name not in architectures for name in named):
            words = " or ".join(architectures)
            self.wrong.append(f"architectures must be {words}, not {_said(named)}")
        code = self._get("auto_map", {})
        if code:
            self.wrong.append(
                f"auto_map must be empty, since its code is not run, not {_said(code)}"
            )

    def check_fixed(self, fixed: Mapping[str, tuple[object, ...]]) -> None:
        """Check fields that may have one value only."""
        for name, values in fixed.items():
            value = self._get(name, values[0])
            if not any(v == value and type(v) is type(value) for v in values):
                self.wrong.append(f"{name} must be {_said(values[-1])}, not {_said(value)}")

    def check_all_known(self, ignored: set[str], where: str = "") -> None:
        """Refuse every field that nobody has asked for, and that is not known to be harmless."""
        for name, value in self._table.items():
            if name not in self._known and name not in ignored:
                self.wrong.append(
                    f"{name}{where} must not be there, since what it means is not known "
                    f"(it is {_said(value)})"
                )


def _llama_like(
    fields: _Fields,
    *,
    kv_heads: int | None,
    d_ffn: int,
    vocabulary: int = 32000,
    context: int,
    qkv_bias: bool = False,
    projection_bias: bool = False,
) -> dict[str, Any]:
    """Return the shape of a model of Llama's kind.

    ``kv_heads`` (None: as many as query heads), ``d_ffn``, ``vocabulary`` and ``context`` are
    defaults.
    """
    d_model, heads = fields.size("hidden_size", 4096), fields.size("num_attention_heads", 32)
    kv = fields.size("num_key_value_heads", heads if kv_heads is None else kv_heads)
    if heads % kv:
        fields.wrong.append(
            f"num_attention_heads must be a multiple of num_key_value_heads ({kv}), not {heads}"
        )
    d_head = fields.d_head("hidden_size", d_model, "num_attention_heads", heads)
    if d_head % 2:
        fields.wrong.append(f"head_dim must be even for rotary positions, not {d_head}")
    return {
        "layers": fields.size("num_hidden_layers", 32),
        "d_model": d_model,
        "heads": heads,
        "kv_heads": kv,
        "d_head": d_head,
        "d_ffn": fields.size("intermediate_size", d_ffn),
        "vocabulary": fields.size("vocab_size", vocabulary),
        "context": fields.size("max_position_embeddings", context),
        "norm": NormKind.RMS,
        "activation": Activation.SWIGLU,
        "positions": Positions.ROTARY,
        "qkv_bias": qkv_bias,
        "projection_bias": projection_bias,
        "ffn_bias": False,
        "tied_head": fields.flag("tie_word_embeddings", False),
        "epsilon": fields.positive("rms_norm_eps", 1e-6),
        "rotary_base": fields.rotary_base(),
    }


def _llama(fields: _Fields) -> dict[str, Any]:
    bias = fields.flag("attention_bias", False)
    return _llama_like(
        fields,
        kv_heads=None,
        d_ffn=11008,
        context=2048,
        qkv_bias=bias,
        projection_bias=bias,
    )


def _mistral(fields: _Fields) -> dict[str, Any]:
    fields.no_window(default_on=True)
    return _llama_like(fields, kv_heads=8, d_ffn=14336, context=131072)


def _qwen2(fields: _Fields) -> dict[str, Any]:
    fields.no_window(default_on=False)
    return _llama_like(
        fields, kv_heads=32, d_ffn=22016, vocabulary=151936, context=32768, qkv_bias=True
    )


def _gpt2(fields: _Fields) -> dict[str, Any]:
    d_model, heads = fields.size("n_embd", 768), fields.size("n_head", 12)
    gelu = {
        "gelu_new": Activation.GELU_TANH,
        "gelu_pytorch_tanh": Activation.GELU_TANH,
        "gelu": Activation.GELU_ERF,
    }
    return {
        "layers": fields.size("n_layer", 12),
        "d_model": d_model,
        "heads": heads,
        "kv_heads": heads,
        "d_head": fields.d_head("n_embd", d_model, "n_head", heads),
        "d_ffn": fields.size("n_inner", 4 * d_model),
        "vocabulary": fields.size("vocab_size", 50257),
        "context": fields.size("n_positions", fields.size("n_ctx", 1024)),
        "activation": fields.choice("activation_function", "gelu_new", gelu),
        "tied_head": fields.flag("tie_word_embeddings", True),
        "epsilon": fields.positive("layer_norm_epsilon", 1e-5),
    }


@dataclass(frozen=True, slots=True)
class _Family:
    """Models of one type: how their fields are read, and what else may stand beside them."""

    shape: Callable[[_Fields], dict[str, Any]]
    architectures: tuple[str, ...]
    fixed: Mapping[str, tuple[object, ...]]
    ignored: frozenset[str]


_FAMILIES = {
    "llama": _Family(_llama, ("LlamaForCausalLM",), _FIXED_LLAMA, frozenset(_IGNORED_LLAMA)),
    "mistral": _Family(
        _mistral,
        ("MistralForCausalLM",),
        {**_FIXED_LLAMA, "attention_bias": (False,)},
        frozenset(_IGNORED_LLAMA),
    ),
    "qwen2": _Family(_qwen2, ("Qwen2ForCausalLM",), _FIXED_LLAMA, frozenset(_IGNORED_LLAMA)),
    "gpt2": _Family(
        _gpt2,
        ("GPT2LMHeadModel",),
        {
            "scale_attn_weights": (True,),
            "scale_attn_by_inverse_layer_idx": (False,),
        },
        frozenset(
            # dropout; how half precision is kept from overflowing; the head of a classifier
            {
                *("attn_pdrop", "embd_pdrop", "resid_pdrop", "reorder_and_upcast_attn"),
                *("summary_activation", "summary_first_dropout", "summary_proj_to_labels"),
                *("summary_type", "summary_use_proj"),
            }
        ),
    ),
}
