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


def test_a_head_dimension_of_its_own():
    assert parse(LLAMA, head_dim=32).d_query == 128


@pytest.mark.parametrize(
    ("table", "field", "value", "message"),
    [
        (LLAMA, "hidden_size", ..., "hidden_size must be there, a positive integer"),
        (LLAMA, "vocab_size", None, "vocab_size must be there, a positive integer"),
        (LLAMA, "num_hidden_layers", -2, "num_hidden_layers must be a positive integer, not -2"),
        (LLAMA, "hidden_size", 64.0, "hidden_size must be a positive integer, not 64.0"),
        (LLAMA, "hidden_size", True, "hidden_size must be a positive integer, not true"),
        (LLAMA, "hidden_size", 66, "hidden_size must be a multiple of num_attention_heads (4), "),
        (LLAMA, "num_key_value_heads", 3, "heads must be a multiple of kv_heads (3), not 4"),
        (LLAMA, "hidden_act", "gelu", 'hidden_act must be "silu", not "gelu"'),
        (LLAMA, "rope_scaling", {"factor": 2}, 'rope_scaling must be null, not {"factor": 2}'),
        (LLAMA, "attention_bias", True, "attention_bias must be false, not true"),
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
        (LLAMA, "model_type", "opt", "model_type must be one of llama, gpt2, not 'opt'"),
        (LLAMA, "model_type", ..., "model_type must be one of llama, gpt2, not None"),
        (GPT2, "n_layer", 0, "n_layer must be a positive integer, not 0"),
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
