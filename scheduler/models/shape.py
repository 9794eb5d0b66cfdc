"""The shape of a decoder-only transformer: the sizes that a compiler and a cost model need."""

from dataclasses import dataclass, fields

__all__ = ["ModelShape"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelShape:
    """Sizes of a decoder-only transformer.

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
        Query heads, and heads of K and V; each of these serves ``heads / kv_heads`` query heads.
    d_head
        Head dimension, in elements.
    d_ffn
        Hidden elements of the FFN.
    vocabulary
        Tokens that exist.
    context
        Longest context, in tokens, prompt and answer together.

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

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{item.name} must be a positive integer, not {value!r}")
        if self.heads % self.kv_heads:
            raise ValueError(
                f"heads must be a multiple of kv_heads ({self.kv_heads}), not {self.heads!r}"
            )

    @property
    def query_group(self) -> int:
        """Query heads that share one head of K and V."""
        return self.heads // self.kv_heads

    @property
    def d_qkv(self) -> int:
        """Columns of the matrix that makes q, k and v of a token."""
        return (self.heads + 2 * self.kv_heads) * self.d_head

    @property
    def kv_elements(self) -> int:
        """Elements that a token adds to the KV cache, K and V and all layers together."""
        return 2 * self.layers * self.kv_heads * self.d_head
