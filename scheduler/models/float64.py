"""A plain transformer in float64: the yardstick that shares nothing with the device.

No bfloat16, no prescribed order of sums: what the arithmetic of the device is measured against.
"""

import math
from collections.abc import Sequence

import numpy as np

from scheduler.models.shape import Activation, NormKind, Positions
from scheduler.models.weights import LayerWeights, Weights

__all__ = ["Float64Transformer", "KVCache"]


class KVCache:
    """Keys and values of the tokens that one sequence has passed.

    Attributes
    ----------
    keys, values
        A layer each: ``float64[tokens, kv_heads, d_head]``.
    """

    def __init__(self, weights: Weights) -> None:
        shape = weights.shape
        empty = np.zeros((0, shape.kv_heads, shape.d_head))
        self.keys = [empty] * shape.layers
        self.values = [empty] * shape.layers

    def __len__(self) -> int:
        return len(self.keys[0])


class Float64Transformer:
    """A model that computes in float64.

    >>> from scheduler.models.weights import load_weights
    >>> model = Float64Transformer(load_weights())
    >>> bytes(model.generate(b"What is a river?", limit=60, stop=ord("."))).decode()
    ' A river is water that runs to the sea.'

    Parameters
    ----------
    weights
        The model.
    """

    def __init__(self, weights: Weights) -> None:
        self.weights = weights

    def logits(self, tokens: Sequence[int], cache: KVCache | None = None) -> np.ndarray:
        """Return ``float64[len(tokens), vocabulary]`` for tokens that follow those of ``cache``.

        The tokens are added to the cache. Without one the sequence starts with them.

        Raises
        ------
        ValueError
            If the context is too long for the model.
        """
        weights = self.weights
        x = self.hidden(tokens, cache)[-1]
        return np.asarray(self._norm(x, weights.lnf_gamma, weights.lnf_beta) @ weights.w_head)

    def hidden(self, tokens: Sequence[int], cache: KVCache | None = None) -> list[np.ndarray]:
        """Return the residual stream before the first block and after each, ``[tokens, d_model]``.

        As :meth:`logits`, which they lead to.
        """
        weights, shape = self.weights, self.weights.shape
        cache = KVCache(weights) if cache is None else cache
        first, last = len(cache), len(cache) + len(tokens)
        if last > shape.context:
            raise ValueError(f"the context must be at most {shape.context} tokens, not {last}")
        x = weights.tok_embedding[list(tokens)].astype(np.float64)
        if weights.pos_embedding is not None:
            x = x + weights.pos_embedding[first:last]
        states = [x]
        for index, layer in enumerate(weights.layers):
            y = self._norm(x, layer.ln1_gamma, layer.ln1_beta)
            x = x + _linear(self._attention(y, layer, cache, index), layer.w_proj, layer.b_proj)
            y = self._norm(x, layer.ln2_gamma, layer.ln2_beta)
            inner = _linear(y, layer.w_ffn1, layer.b_ffn1)
            if layer.w_gate is not None:
                inner = _silu(y @ layer.w_gate) * inner
            else:
                inner = GELU[shape.activation](inner)
            x = x + _linear(inner, layer.w_ffn2, layer.b_ffn2)
            states.append(x)
        return states

    def generate(self, prompt: Sequence[int], limit: int, stop: int | None = None) -> list[int]:
        """Return the greedy answer: ``limit`` tokens, or fewer, the last of them ``stop``."""
        cache = KVCache(self.weights)
        logits = self.logits(prompt, cache)
        answer = [int(logits[-1].argmax())]
        while len(answer) < limit and answer[-1] != stop:
            logits = self.logits(answer[-1:], cache)
            answer.append(int(logits[-1].argmax()))
        return answer

    def bits_per_token(self, tokens: Sequence[int]) -> float:
        """Return the cross entropy of a text, its first token given, in bits a token."""
        logits = self.logits(tokens[:-1])
        logits = logits - logits.max(axis=1, keepdims=True)
        chosen = logits[np.arange(len(logits)), list(tokens[1:])]
        return float(np.mean(np.log(np.exp(logits).sum(axis=1)) - chosen) / np.log(2))

    def _norm(self, x: np.ndarray, gamma: np.ndarray, beta: np.ndarray | None) -> np.ndarray:
        shape = self.weights.shape
        if shape.norm is NormKind.LAYER:
            x = x - x.mean(axis=1, keepdims=True)
        scaled = x / np.sqrt((x**2).mean(axis=1, keepdims=True) + shape.epsilon) * gamma
        return np.asarray(scaled if beta is None else scaled + beta)

    def _rotated(self, x: np.ndarray, first: int) -> np.ndarray:
        """Turn the pairs (2 i, 2 i + 1) of ``x[tokens, heads, d_head]`` by their positions."""
        shape = self.weights.shape
        speeds = shape.rotary_base ** (-np.arange(0, shape.d_head, 2) / shape.d_head)
        angles = np.outer(np.arange(first, first + len(x)), speeds)[:, np.newaxis]
        turned = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * angles)
        return np.stack([turned.real, turned.imag], axis=-1).reshape(x.shape)

    def _attention(
        self, y: np.ndarray, layer: LayerWeights, cache: KVCache, index: int
    ) -> np.ndarray:
        """Extend the cache; return the heads' results, ``[tokens, heads × d_head]``."""
        shape, count = self.weights.shape, len(y)
        parts = _linear(y, layer.w_qkv, layer.b_qkv).reshape(count, -1, shape.d_head)
        q, k, v = np.split(parts, [shape.heads, shape.heads + shape.kv_heads], axis=1)
        if shape.positions is Positions.ROTARY:
            first = len(cache.keys[index])
            q, k = self._rotated(q, first), self._rotated(k, first)
        keys = cache.keys[index] = np.concatenate([cache.keys[index], k])
        values = cache.values[index] = np.concatenate([cache.values[index], v])
        keys = np.repeat(keys, shape.query_group, axis=1)
        values = np.repeat(values, shape.query_group, axis=1)
        scores = np.einsum("thd,shd->hts", q, keys) / np.sqrt(shape.d_head)
        future = np.arange(len(keys)) > np.arange(len(keys) - count, len(keys))[:, None]
        scores = np.where(future, -np.inf, scores)
        scores = np.exp(scores - scores.max(axis=2, keepdims=True))
        scores /= scores.sum(axis=2, keepdims=True)
        return np.asarray(np.einsum("hts,shd->thd", scores, values).reshape(count, -1))


def _linear(x: np.ndarray, matrix: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    product = x @ matrix
    return np.asarray(product if bias is None else product + bias)


def _gelu_tanh(x: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))))


def _gelu_erf(x: np.ndarray) -> np.ndarray:
    erf = np.vectorize(math.erf, otypes=[np.float64])
    return np.asarray(0.5 * x * (1 + erf(x / math.sqrt(2))))


def _silu(x: np.ndarray) -> np.ndarray:
    return np.asarray(x / (1 + np.exp(-x)))


#: The function of each activation that has no gate.
GELU = {Activation.GELU_TANH: _gelu_tanh, Activation.GELU_ERF: _gelu_erf}
