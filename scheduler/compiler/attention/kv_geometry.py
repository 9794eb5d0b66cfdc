"""How keys and values of a request lie in the rows of its channel, and which heads share a tile."""

from collections.abc import Iterator
from dataclasses import dataclass

from hw.config import Config
from scheduler.models.shape import ModelShape

__all__ = ["HeadPiece", "KvGeometry"]


@dataclass(frozen=True, slots=True)
class HeadPiece:
    """Neighbouring KV heads that one PIM tile works on.

    Attributes
    ----------
    part
        Which of the rows of a token (K) or of T tokens (V).
    place
        The first head's place in that row.
    heads
        KV heads, counted over the model.
    """

    part: int
    place: int
    heads: range


@dataclass(frozen=True, slots=True)
class KvGeometry:
    """How keys and values of one layer of a request are laid out in its channel.

    Keys: token t in bank t mod B, as many heads as fit side by side in a row. Values: element e of
    a head in bank e mod B; a burst holds one element of T tokens, a row ``v_heads`` heads times
    ``v_groups`` bursts. The last tokens, fewer than T, stay token-major in a tail.

    A tile takes a row's KV heads as far as slots and vector buffer reach, each for all query heads
    that share it: the row is opened once and used ``query_group`` times.

    Attributes
    ----------
    k_heads, k_parts
        KV heads of a row of keys, and rows that a token's keys take.
    v_tokens, v_heads, v_groups, v_parts
        T; KV heads of a row of values; bursts of a head; rows that T tokens' values take.
    k_tile_heads, v_tile_heads
        KV heads that a tile works on, at most.
    group_heads
        KV heads of a head group: the largest divisor of all that a tile of keys and one of values
        can take. What is computed group by group never splits one.
    token_bytes, tail_rows
        Bytes of one token's values, and rows (of all banks) of a tail.
    """

    k_heads: int
    k_parts: int
    v_tokens: int
    v_heads: int
    v_groups: int
    v_parts: int
    k_tile_heads: int
    v_tile_heads: int
    group_heads: int
    token_bytes: int
    tail_rows: int

    @classmethod
    def of(cls, config: Config, shape: ModelShape) -> "KvGeometry":
        """Derive the layout.

        >>> from hw.presets import TINY
        >>> from scheduler.models.catalog import CATALOG
        >>> llama = KvGeometry.of(TINY, CATALOG["tiny-llama"].shape)
        >>> llama.k_heads, llama.v_heads, llama.k_tile_heads, llama.v_tile_heads
        (2, 2, 2, 1)

        Raises
        ------
        ValueError
            If the head dimension does not suit rows and banks, or the query heads of one KV head
            have no room in the slots or in the vector buffer.
        """
        elements = config.memory.row_bytes // 2
        d_head, kv_heads, sharing = shape.d_head, shape.kv_heads, shape.query_group
        burst = config.memory.burst_bytes // 2
        if d_head % burst or d_head % config.memory.banks or d_head > elements:
            raise ValueError(
                f"d_head must be a multiple of a burst ({burst}) and of the banks "
                f"({config.memory.banks}), and at most a row ({elements}), not {d_head!r}"
            )
        k = d_head // config.mac_lanes
        v_groups = d_head // config.memory.banks
        if config.pim.slots < sharing * v_groups:
            raise ValueError(
                f"slots must be at least {sharing * v_groups} "
                f"(heads / kv_heads × d_head / banks), not {config.pim.slots}"
            )
        v_columns = burst // config.mac_lanes  # of the vector, for a tile of T tokens
        if config.vector_columns < sharing * max(k, v_columns):
            raise ValueError(
                "vector_buffer_rows must hold the vectors of the query heads of a KV head, "
                f"{sharing * max(k, v_columns)} columns, not {config.vector_columns}"
            )
        k_heads = min(kv_heads, elements // d_head)
        v_heads = min(kv_heads, elements // (burst * v_groups))
        k_tile = min(k_heads, config.pim.slots // sharing, config.vector_columns // (sharing * k))
        v_tile = min(v_heads, config.pim.slots // (sharing * v_groups))
        v_tile = min(v_tile, config.vector_columns // (sharing * v_columns))
        group = max(n for n in range(1, min(k_tile, v_tile) + 1) if kv_heads % n == 0)
        k_heads, v_heads, k_tile, v_tile = (
            heads // group * group for heads in (k_heads, v_heads, k_tile, v_tile)
        )
        token_bytes = shape.d_kv * 2
        return cls(
            k_heads=k_heads,
            k_parts=-(-kv_heads // k_heads),
            v_tokens=burst,
            v_heads=v_heads,
            v_groups=v_groups,
            v_parts=-(-kv_heads // v_heads),
            k_tile_heads=k_tile,
            v_tile_heads=v_tile,
            group_heads=group,
            token_bytes=token_bytes,
            tail_rows=-(-burst * token_bytes // config.memory.page_bytes),
        )

    def k_pieces(self, heads: range) -> Iterator[HeadPiece]:
        """Cut KV heads into those that one tile of keys takes."""
        return _pieces(heads, self.k_heads, self.k_tile_heads)

    def v_pieces(self, heads: range) -> Iterator[HeadPiece]:
        """Cut KV heads into those that one tile of values takes."""
        return _pieces(heads, self.v_heads, self.v_tile_heads)

    def k_rows(self, heads: range) -> Iterator[HeadPiece]:
        """Cut KV heads into those that lie in one row of keys."""
        return _pieces(heads, self.k_heads, self.k_heads)

    def groups(self, kv_heads: int) -> list[range]:
        """Return the head groups, as ranges of KV heads."""
        return [range(h, h + self.group_heads) for h in range(0, kv_heads, self.group_heads)]


def _pieces(heads: range, row_heads: int, tile_heads: int) -> Iterator[HeadPiece]:
    first = heads.start
    while first < heads.stop:
        part, place = divmod(first, row_heads)
        count = min(tile_heads - place % tile_heads, row_heads - place, heads.stop - first)
        yield HeadPiece(part, place, range(first, first + count))
        first += count
