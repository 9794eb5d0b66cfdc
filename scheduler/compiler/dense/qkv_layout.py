"""The order of queries, keys and values in a row of QKV."""

from dataclasses import dataclass

import numpy as np

from scheduler.models.shape import ModelShape

__all__ = ["QkvLayout"]


@dataclass(frozen=True, slots=True)
class QkvLayout:
    """Columns of QKV in the order of their use: [K, Q of head group 0], [K, Q of 1], …, [V].

    So attention of a group can start when its block is there, and V, which is needed last, comes
    last. Weights, biases and the rows in the tile memories all have this order.

    >>> shape = ModelShape(layers=1, d_model=8, heads=4, kv_heads=2, d_head=2, d_ffn=8,
    ...                    vocabulary=8, context=8)
    >>> layout = QkvLayout(shape, group_heads=1)
    >>> layout.ends, layout.key_column(1), layout.query_column(1), layout.value_column
    ((6, 12, 16), 6, 8, 12)
    >>> layout.order().tolist()  # of columns that are q of all heads, then k, then v
    [8, 9, 0, 1, 2, 3, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15]

    Attributes
    ----------
    shape
        The model.
    group_heads
        KV heads of a head group; a divisor of all.
    """

    shape: ModelShape
    group_heads: int

    @property
    def group_columns(self) -> int:
        """Columns of a head group: its keys, then its queries."""
        return self.group_heads * (1 + self.shape.query_group) * self.shape.d_head

    @property
    def value_column(self) -> int:
        """The first column of the values, which are those of all heads."""
        return self.shape.d_query + self.shape.d_kv

    @property
    def ends(self) -> tuple[int, ...]:
        """Where the head groups and the values end."""
        groups = range(self.group_columns, self.value_column + 1, self.group_columns)
        return (*groups, self.shape.d_qkv)

    def key_column(self, kv_head: int) -> int:
        """Return the first column of the keys of a KV head."""
        group, place = divmod(kv_head, self.group_heads)
        return group * self.group_columns + place * self.shape.d_head

    def query_column(self, kv_head: int) -> int:
        """Return the first column of the queries that share a KV head."""
        group, place = divmod(kv_head, self.group_heads)
        heads = self.group_heads + place * self.shape.query_group
        return group * self.group_columns + heads * self.shape.d_head

    def order(self) -> np.ndarray:
        """Return which column of ``[q, k, v]`` each of these is."""
        shape, d_head = self.shape, self.shape.d_head
        order = np.zeros(shape.d_qkv, np.int64)
        per_head = shape.query_group * d_head
        for head in range(shape.kv_heads):
            key, query = self.key_column(head), self.query_column(head)
            order[key : key + d_head] = shape.d_query + head * d_head + np.arange(d_head)
            order[query : query + per_head] = head * per_head + np.arange(per_head)
        order[self.value_column :] = np.arange(self.value_column, shape.d_qkv)
        return order
