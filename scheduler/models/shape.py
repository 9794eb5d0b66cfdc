"""The shape of a decoder-only transformer: the sizes and kinds that a compiler needs."""

from dataclasses import dataclass, fields
from enum import StrEnum

__all__ = ["Activation", "ModelShape", "NormKind", "Positions"]


class NormKind(StrEnum):
    """What normalises hidden vectors: LayerNorm, or RMSNorm (no mean, no beta)."""

    LAYER = "layer"
    RMS = "rms"


class Activation(StrEnum):
    """The non-linearity of the FFN: GELU, in its tanh or its erf form, or SwiGLU.

    SwiGLU is SiLU of one GEMM times the result of another.
    """

    GELU_TANH = "gelu_tanh"
    GELU_ERF = "gelu_erf"
    SWIGLU = "swiglu"


class Positions(StrEnum):
    """How tokens know where they are: a learned embedding is added, or q and k are rotated."""

    LEARNED = "learned"
    ROTARY = "rotary"


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelShape:
    """Sizes and kinds of a decoder-only transformer; the kinds default to those of GPT.

    >>> shape = ModelShape(layers=2, d_model=64, heads=4, kv_heads=2, d_head=16, d_ffn=256,
    ...                    vocabulary=256, context=128)
    >>> shape.query_group, shape.kv_elements
    (2, 128)

    Attributes
    ----------
    layers
        Decoder blocks.
    d_model
        Elements of a hidden vector.
    heads, kv_heads
        Query heads, and heads of K and V; each of these serves ``heads / kv_heads`` query heads,
        those next to one another.
    d_head
        Head dimension, in elements.
    d_ffn
        Hidden elements of the FFN.
    vocabulary
        Tokens that exist.
    context
        Longest context, in tokens, prompt and answer together.
    norm, activation, positions
        Of which kind they are.
    qkv_bias, projection_bias, ffn_bias
        Which linear layers add a bias: those that make q, k and v, the projection behind attention,
        and both of the FFN.
    tied_head
        Whether the output head is the token embedding, transposed.
    epsilon
        What a norm adds to the variance, or to the mean square.
    rotary_base
        Rotary positions: pair i of a head turns by ``rotary_base ** (-2 i / d_head)`` radians a
        token.

    Raises
    ------
    ValueError
        If a size is not a positive integer, or the heads do not fit one another.
    """

    layers: int
    d_model: int
    heads: int
    kv_heads: int
    d_head: int
    d_ffn: int
    vocabulary: int
    context: int
    norm: NormKind = NormKind.LAYER
    activation: Activation = Activation.GELU_TANH
    positions: Positions = Positions.LEARNED
    qkv_bias: bool = True
    projection_bias: bool = True
    ffn_bias: bool = True
    tied_head: bool = False
    epsilon: float = 1e-5
    rotary_base: float = 10000.0

    def __post_init__(self) -> None:
        for item in fields(self)[:8]:
            value = getattr(self, item.name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{item.name} must be a positive integer, not {value!r}")
        for name in ("epsilon", "rotary_base"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 < value < float("inf"):
                raise ValueError(f"{name} must be a positive number, not {value!r}")
        if self.heads % self.kv_heads:
            raise ValueError(
                f"heads must be a multiple of kv_heads ({self.kv_heads}), not {self.heads!r}"
            )
        if self.positions is Positions.ROTARY and self.d_head % 2:
            raise ValueError(f"d_head must be even for rotary positions, not {self.d_head!r}")

    @property
    def query_group(self) -> int:
        """Query heads that share one head of K and V."""
        return self.heads // self.kv_heads

    @property
    def d_query(self) -> int:
        """Elements of the queries of a token, all heads together."""
        return self.heads * self.d_head

    @property
    def d_kv(self) -> int:
        """Elements of the keys of a token, all heads together; of the values too."""
        return self.kv_heads * self.d_head

    @property
    def d_qkv(self) -> int:
        """Columns of the matrix that makes q, k and v of a token."""
        return self.d_query + 2 * self.d_kv

    @property
    def kv_elements(self) -> int:
        """Elements that a token adds to the KV cache, K and V and all layers together."""
        return 2 * self.layers * self.d_kv
