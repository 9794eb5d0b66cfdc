"""A ``config.json`` becomes a shape, or a message that names the field."""

import json
import re

import pytest

from scheduler.models.catalog import CATALOG
from scheduler.models.hf_config import parse_config
from scheduler.models.shape import Activation, NormKind, Positions

LLAMA = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 192,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 256,
    "max_position_embeddings": 128,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-05,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}
GPT2 = {
    "model_type": "gpt2",
    "n_embd": 64,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 128,
    "vocab_size": 256,
    "n_inner": None,
    "activation_function": "gelu_new",
    "tie_word_embeddings": False,
}


MISTRAL = {**LLAMA, "model_type": "mistral", "sliding_window": None}
QWEN2 = {**LLAMA, "model_type": "qwen2", "use_sliding_window": False}


def parse(table, **changes):
    table = {**table, **changes}
    kept = {name: value for name, value in table.items() if value is not ...}
    return parse_config(json.dumps(kept).encode())


def test_the_shapes_of_the_catalog_can_be_written_as_configurations():
    assert parse(LLAMA) == CATALOG["tiny-llama"].shape
    assert parse(GPT2) == CATALOG["tiny-gpt"].shape


def test_what_is_left_out_has_the_default_of_the_format():
    shape = parse(
        LLAMA, num_key_value_heads=..., rms_norm_eps=..., tie_word_embeddings=..., hidden_act=...
    )
    assert (shape.kv_heads, shape.epsilon, shape.tied_head) == (4, 1e-6, False)
    assert shape.rotary_base == 10000.0
    assert (shape.norm, shape.activation) == (NormKind.RMS, Activation.SWIGLU)
    assert shape.positions is Positions.ROTARY
    assert parse(GPT2, tie_word_embeddings=...).tied_head


def test_gelu_in_its_erf_form():
    assert parse(GPT2, activation_function="gelu").activation is Activation.GELU_ERF


def test_rotary_base_of_either_form():
    assert parse(LLAMA, rope_theta=5e5).rotary_base == 5e5
    assert parse(LLAMA, rope_parameters={"rope_theta": 5e5}).rotary_base == 5e5
    assert parse(LLAMA, rope_parameters={"rope_type": "default"}).rotary_base == 1e4


def test_missing_and_null_have_the_default_of_transformers():
    """As of its version 5.24: LlamaConfig, MistralConfig, Qwen2Config, GPT2Config."""
    for content in (b'{"model_type": "llama"}', b'{"model_type": "llama", "hidden_size": null}'):
        shape = parse_config(content)
        assert (shape.layers, shape.d_model, shape.heads, shape.kv_heads) == (32, 4096, 32, 32)
        assert (shape.d_head, shape.d_ffn, shape.vocabulary) == (128, 11008, 32000)
        assert (shape.context, shape.epsilon, shape.rotary_base) == (2048, 1e-6, 10000.0)
    mistral = parse_config(b'{"model_type": "mistral", "sliding_window": null}')
    assert (mistral.kv_heads, mistral.d_ffn, mistral.context) == (8, 14336, 131072)
    qwen = parse_config(b'{"model_type": "qwen2"}')
    assert (qwen.kv_heads, qwen.d_ffn, qwen.vocabulary) == (32, 22016, 151936)
    assert qwen.context == 32768
    gpt = parse_config(b'{"model_type": "gpt2"}')
    assert (gpt.layers, gpt.d_model, gpt.heads, gpt.d_ffn) == (12, 768, 12, 3072)
    assert (gpt.vocabulary, gpt.context, gpt.epsilon) == (50257, 1024, 1e-5)
    assert parse(LLAMA, rope_theta=None).rotary_base == 10000.0


def test_which_linear_layers_have_biases():
    def biases(table, **changes):
        shape = parse(table, **changes)
        return shape.qkv_bias, shape.projection_bias, shape.ffn_bias

    assert biases(LLAMA) == biases(MISTRAL) == (False, False, False)
    assert biases(LLAMA, attention_bias=True) == (True, True, False)
    assert biases(QWEN2) == (True, False, False)
    assert biases(GPT2) == (True, True, True)


def test_whole_floats_are_sizes():
    assert parse(LLAMA, hidden_size=64.0).d_model == 64


def test_fields_that_do_not_matter_are_ignored():
    harmless = {"torch_dtype": "float16", "use_cache": False, "eos_token_id": [1, 2]}
    assert parse(LLAMA, max_sequence_length=96, attention_dropout=0.1, **harmless) == parse(LLAMA)
    assert parse(GPT2, attn_pdrop=0.1, summary_type="cls_index") == parse(GPT2)


def test_every_field_that_is_wrong_is_named():
    message = "hidden_act must be .*; .*bias must be false.*; experts must not be there"
    with pytest.raises(ValueError, match=message):
        parse(LLAMA, hidden_act="relu", mlp_bias=True, experts=8)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b'{"model_type": "llama", "hidden_size": 64, "hidden_size": 128}',
            "hidden_size must",
        ),
        (
            b'{"model_type": "llama", "rope_theta": NaN}',
            "a model's configuration must",
        ),
    ],
)
def test_json_that_is_ambiguous_is_refused(content, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        parse_config(content)


def test_byte_order_mark_is_no_part_of_the_file():
    assert parse_config(b"\xef\xbb\xbf" + json.dumps(LLAMA).encode()) == parse(LLAMA)


def test_a_head_dimension_of_its_own():
    assert parse(LLAMA, head_dim=32).d_query == 128


@pytest.mark.parametrize(
    ("table", "field", "value", "message"),
    [
        (LLAMA, "num_hidden_layers", -2, "num_hidden_layers must be a positive integer, not -2"),
        (
            LLAMA,
            "num_hidden_layers",
            10**9,
            "num_hidden_layers must be a positive integer, at most ",
        ),
        (LLAMA, "hidden_size", 64.5, "hidden_size must be a positive integer, not 64.5"),
        (LLAMA, "hidden_size", True, "hidden_size must be a positive integer, not true"),
        (LLAMA, "hidden_size", 66, "hidden_size must be a multiple of num_attention_heads (4), "),
        (LLAMA, "head_dim", 15, "head_dim must be even for rotary positions, not 15"),
        (
            LLAMA,
            "num_key_value_heads",
            3,
            "num_attention_heads must be a multiple of num_key_value_heads (3), not 4",
        ),
        (LLAMA, "hidden_act", "gelu", 'hidden_act must be "silu", not "gelu"'),
        (LLAMA, "rope_scaling", {"factor": 2}, "factor of rope_scaling must not be there"),
        (LLAMA, "rope_scaling", {"type": "linear"}, 'type of rope_scaling must be "default", '),
        (LLAMA, "rope_scaling", [2], "rope_scaling must be an object, not [2]"),
        (LLAMA, "mlp_bias", True, "mlp_bias must be false, not true"),
        (LLAMA, "bias", True, "bias must be false, not true"),
        (LLAMA, "partial_rotary_factor", 0.5, "partial_rotary_factor must be 1, not 0.5"),
        (
            LLAMA,
            "rope_parameters",
            {"rope_type": "default", "partial_rotary_factor": 0.5},
            "partial_rotary_factor must be 1, not 0.5",
        ),
        (LLAMA, "rms_norm_eps", 0, "rms_norm_eps must be a positive number, not 0"),
        (LLAMA, "rope_theta", "big", 'rope_theta must be a positive number, not "big"'),
        (LLAMA, "rope_parameters", 2, "rope_parameters must be an object, not 2"),
        (
            LLAMA,
            "rope_parameters",
            {"rope_type": "yarn", "rope_theta": 10000.0},
            'rope_type of rope_parameters must be "default", not "yarn"',
        ),
        (LLAMA, "tie_word_embeddings", 1, "tie_word_embeddings must be true or false, not 1"),
        (LLAMA, "num_local_experts", 8, "num_local_experts must not be there, since what it means"),
        (LLAMA, "logit_scale", 0.1, "logit_scale must not be there, since what it means"),
        (LLAMA, "quantization_config", {"bits": 4}, "quantization_config must be null, not "),
        (
            LLAMA,
            "architectures",
            ["LlamaForSequenceClassification"],
            "architectures must be LlamaForCausalLM, not ",
        ),
        (
            LLAMA,
            "architectures",
            ["MistralForCausalLM"],
            "architectures must be LlamaForCausalLM, ",
        ),
        (LLAMA, "auto_map", {"AutoModel": "modeling.X"}, "auto_map must be empty, since its code"),
        (MISTRAL, "sliding_window", 4096, "sliding_window must be null, not 4096"),
        (MISTRAL, "sliding_window", ..., "sliding_window must be null, not 4096, the default"),
        (QWEN2, "use_sliding_window", True, "use_sliding_window must be false, not true"),
        (QWEN2, "layer_types", ["sliding_attention"], 'layer_types must all be "full_attention", '),
        (
            LLAMA,
            "model_type",
            "opt",
            'model_type must be one of llama, mistral, qwen2, gpt2, not "opt"',
        ),
        (
            LLAMA,
            "model_type",
            ...,
            "model_type must be one of llama, mistral, qwen2, gpt2, ",
        ),
        (GPT2, "n_layer", 0, "n_layer must be a positive integer, not 0"),
        (GPT2, "scale_attn_by_inverse_layer_idx", True, "scale_attn_by_inverse_layer_"),
        (
            GPT2,
            "activation_function",
            "relu",
            'activation_function must be "gelu_new" or "gelu_pytorch_tanh" or "gelu", not "relu"',
        ),
    ],
)
def test_a_field_that_cannot_be_is_named(table, field, value, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        parse(table, **{field: value})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "a model's configuration must be JSON: "),
        (b"\xff\xfe", "a model's configuration must be JSON: "),
        (b"[1]", "a model's configuration must be an object, not list"),
        (b"[" * 100_000, "a model's configuration must be JSON: "),
    ],
)
def test_a_file_that_is_no_configuration(content, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        parse_config(content)
