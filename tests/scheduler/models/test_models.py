import numpy as np
import pytest

from scheduler.models.catalog import CATALOG
from scheduler.models.float64 import Float64Transformer, KVCache
from scheduler.models.rotary import rotations
from scheduler.models.shape import ModelShape
from scheduler.models.weights import (
    Weights,
    load_prompts,
    load_weights,
    parameter_shapes,
    random_weights,
)


@pytest.fixture(scope="module", params=["tiny-gpt", "tiny-llama"])
def model(request):
    return Float64Transformer(load_weights(request.param))


def prompts_of(model):
    rotary = model.weights.pos_embedding is None
    return load_prompts("tiny-llama" if rotary else "tiny-gpt")


def test_shape_refuses_heads_that_no_kv_head_divides():
    with pytest.raises(ValueError, match=r"^heads must be a multiple of kv_heads \(3\), not 4$"):
        ModelShape(
            layers=1,
            d_model=64,
            heads=4,
            kv_heads=3,
            d_head=16,
            d_ffn=64,
            vocabulary=256,
            context=64,
        )


def test_shape_refuses_a_size_that_is_not_positive():
    with pytest.raises(ValueError, match=r"^layers must be a positive integer, not 0$"):
        ModelShape(
            layers=0,
            d_model=64,
            heads=4,
            kv_heads=4,
            d_head=16,
            d_ffn=64,
            vocabulary=256,
            context=64,
        )


@pytest.mark.parametrize(
    ("name", "heads", "d_model", "billions"),
    [
        ("gpt3-7b", 32, 4096, 6.7),
        ("gpt3-13b", 40, 5120, 13),
        ("gpt3-30b", 56, 7168, 30),
        ("gpt3-175b", 96, 12288, 175),
    ],
)
def test_catalog_shapes_have_as_many_parameters_as_their_names_say(name, heads, d_model, billions):
    shape = CATALOG[name].shape
    assert (shape.heads, shape.d_model) == (heads, d_model)
    blocks = shape.layers * (4 * d_model**2 + 2 * d_model * shape.d_ffn)
    embeddings = (shape.vocabulary + shape.context) * d_model
    assert (blocks + embeddings) / 1e9 == pytest.approx(billions, rel=0.03)


def test_shipped_weights_have_the_shapes_of_the_catalog():
    weights = load_weights()
    assert weights.tok_embedding.shape == (256, 64)
    assert weights.layers[1].w_qkv.shape == (64, 192)
    assert weights.w_head.shape == (64, 256)
    assert len(weights.layers) == 2


def test_a_tied_head_is_the_embedding():
    weights = load_weights("tiny-llama")
    assert (weights.w_head == weights.tok_embedding.T).all()
    assert weights.pos_embedding is None
    assert weights.lnf_beta is None
    assert weights.layers[0].b_qkv is None


def test_shipped_weights_are_finite_normal_bfloat16_values(model):
    weights = model.weights
    arrays = [weights.tok_embedding, weights.pos_embedding, weights.w_head]
    arrays += [getattr(layer, name) for layer in weights.layers for name in layer.__slots__]
    for array in (array for array in arrays if array is not None):
        assert array.dtype == np.float32
        assert np.isfinite(array).all()
        assert not (array.view(np.uint32) & 0xFFFF).any()
        assert not ((array != 0) & (np.abs(array) < np.finfo(np.float32).tiny)).any()


def test_weights_of_an_unknown_model_are_refused():
    with pytest.raises(ValueError, match=r"^name must be a model with weights, .* not 'gpt3-7b'$"):
        load_weights("gpt3-7b")


def test_arrays_of_another_shape_are_refused():
    shape = CATALOG["tiny-gpt"].shape
    arrays = {name: np.zeros(size, np.float32) for name, size in parameter_shapes(shape).items()}
    arrays["layer0.w_proj"] = np.zeros((64, 63), np.float32)
    with pytest.raises(ValueError, match=r"^layer0.w_proj must have shape \(64, 64\), not"):
        Weights.from_arrays(shape, arrays)


@pytest.mark.parametrize("name", ["tiny-gpt", "tiny-llama"])
def test_there_are_a_dozen_prompts_of_different_lengths(name):
    prompts = load_prompts(name)
    assert len(prompts) >= 12
    assert len(set(map(len, prompts))) >= 8
    assert all(0 < len(prompt) < 64 for prompt in prompts)


def test_cached_logits_equal_those_of_the_whole_sequence(model):
    tokens = b"The river runs"
    cache = KVCache(model.weights)
    stepped = [model.logits(tokens[i : i + 1], cache)[0] for i in range(len(tokens))]
    np.testing.assert_allclose(stepped, model.logits(tokens), rtol=1e-9, atol=1e-9)


def test_a_token_does_not_see_those_after_it(model):
    np.testing.assert_allclose(model.logits(b"The owl")[:3], model.logits(b"The")[:3], atol=1e-12)


def test_one_kv_head_a_group_equals_its_heads_repeated():
    shared = ModelShape(
        layers=1, d_model=8, heads=4, kv_heads=2, d_head=4, d_ffn=8, vocabulary=5, context=6
    )
    full = ModelShape(
        layers=1, d_model=8, heads=4, kv_heads=4, d_head=4, d_ffn=8, vocabulary=5, context=6
    )
    rng = np.random.default_rng(7)
    arrays = {n: rng.normal(size=s).astype(np.float32) for n, s in parameter_shapes(shared).items()}
    repeated = dict(arrays)
    for name in ("layer0.w_qkv", "layer0.b_qkv"):
        q, k, v = np.split(arrays[name], [16, 24], axis=-1)
        parts = [part.reshape(*part.shape[:-1], 2, 4) for part in (k, v)]
        twice = [np.repeat(part, 2, axis=-2).reshape(*part.shape[:-2], 16) for part in parts]
        repeated[name] = np.concatenate([q, *twice], axis=-1)
    tokens = [1, 4, 0, 2]
    np.testing.assert_allclose(
        Float64Transformer(Weights.from_arrays(shared, arrays)).logits(tokens),
        Float64Transformer(Weights.from_arrays(full, repeated)).logits(tokens),
        rtol=1e-12,
    )


def test_scores_of_rotated_vectors_depend_on_the_distance_alone():
    model = Float64Transformer(load_weights("tiny-llama"))
    rng = np.random.default_rng(3)
    q, k = rng.normal(size=(2, 1, 2, 16))
    scores = [
        np.vecdot(model._rotated(q, 20 + shift), model._rotated(k, 5 + shift))
        for shift in (0, 1, 90)
    ]
    np.testing.assert_allclose(scores[1:], [scores[0]] * 2, rtol=1e-12)
    assert np.abs(np.vecdot(q, k) - scores[0]).max() > 0.1


def test_rotations_are_those_of_the_yardstick():
    model = Float64Transformer(load_weights("tiny-llama"))
    shape = model.weights.shape
    ones = np.zeros((3, 1, shape.d_head))
    ones[..., 0::2] = 1
    table = rotations(shape, [40, 41, 42])
    np.testing.assert_allclose(model._rotated(ones, 40)[:, 0], table, atol=1e-7)


def test_random_weights_are_the_same_for_the_same_seed():
    shape = CATALOG["tiny-llama"].shape
    one, same, other = (random_weights(shape, seed) for seed in (0, 0, 1))
    assert (one.layers[1].w_gate == same.layers[1].w_gate).all()
    assert (one.layers[1].w_gate != other.layers[1].w_gate).any()
    logits = Float64Transformer(one).logits(b"The river runs")
    assert 0.3 < logits.std() < 3


def test_a_context_longer_than_the_model_is_refused(model):
    with pytest.raises(ValueError, match=r"^the context must be at most 128 tokens, not 129$"):
        model.logits(b"a" * 129)


def test_the_model_has_learned_to_write(model):
    assert model.bits_per_token(b"Why do birds sing? Birds sing because the morning is theirs.") < 1


def test_answers_are_sentences_of_known_words(model):
    for prompt in prompts_of(model):
        answer = bytes(model.generate(prompt, limit=100, stop=10))
        assert answer.decode("utf-8").endswith((".\n", "!\n", "?\n")), (prompt, answer)


def test_every_choice_for_the_prompts_is_clear(model):
    # so bfloat16 on the device cannot turn an answer of float64 into another
    for prompt in prompts_of(model):
        answer = model.generate(prompt, limit=100, stop=10)
        logits = np.sort(model.logits([*prompt, *answer[:-1]])[len(prompt) - 1 :], axis=1)
        assert (logits[:, -1] - logits[:, -2]).min() > 2, prompt
