"""NPU: arrays, vector units and memories of the tile, and its queues."""

from dataclasses import dataclass

from hw.config.checks import check_counts, check_powers_of_two

__all__ = ["NpuConfig"]

_POWERS_OF_TWO = (
    *("array_rows", "array_columns", "arrays", "lanes", "vector_units", "vector_partial_sums"),
    *("weight_ring_bytes", "lane_buffer_bytes", "activation_bytes", "row_list_entries"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class NpuConfig:
    """The NPU tile.

    Attributes
    ----------
    array_rows, array_columns, arrays
        Processing elements down and across a systolic array; arrays that work in lock step.
    lanes, vector_units, vector_partial_sums
        Vector lanes of a vector unit, vector units, which take the rows of an instruction in turn,
        and partial sums of a vector lane.
    weight_ring_bytes, lane_buffer_bytes, activation_bytes, accumulator_rows
        Tile memories: the ring for weights, the buffer of one DMA lane, the activation memory, and
        rows of one of the two accumulator halves.
    row_list_entries
        DRAM rows that a channel's list of PIM tiles and pages holds.
    queue_depth, descriptors
        Instructions that wait at an instruction queue; descriptors of a DMA engine.
    """

    array_rows: int
    array_columns: int
    arrays: int = 1
    lanes: int
    vector_units: int = 1
    vector_partial_sums: int = 4
    weight_ring_bytes: int
    lane_buffer_bytes: int
    activation_bytes: int
    accumulator_rows: int
    row_list_entries: int = 1024
    queue_depth: int = 4
    descriptors: int = 16

    def __post_init__(self) -> None:
        check_counts(self)
        check_powers_of_two(self, _POWERS_OF_TWO)
        if self.weight_ring_bytes < 4 * self.weight_tile_bytes:
            raise ValueError(
                f"weight_ring_bytes must hold at least 4 weight tiles of {self.weight_tile_bytes} "
                f"bytes, not {self.weight_ring_bytes!r}"
            )

    @property
    def chunk(self) -> int:
        """Rows of the systolic array that one adder tree sums."""
        return min(16, self.array_rows)

    @property
    def tile_columns(self) -> int:
        """Output columns of a weight tile, over all arrays."""
        return self.array_columns * self.arrays

    @property
    def weight_tile_bytes(self) -> int:
        """Bytes of a weight tile, row after row, in bfloat16."""
        return self.array_rows * self.tile_columns * 2
