"""Sizes of a device that the fields of its instructions must be able to name."""

from hw.config import TileConfig
from hw.program.instruction_set import LANE_OFFSET_BITS, Queue, field_bits

__all__ = ["check_field_limits"]


def check_field_limits(config: TileConfig) -> None:
    """Check that every place of every memory has an address, and every count a number.

    Raises
    ------
    ValueError
        Naming the size, the most that the instruction set can name, and the field that sets it.
    """
    memory, npu, pim = config.memory, config.npu, config.pim
    limits = (
        _limit("bytes of a channel", memory.channel_bytes, Queue.LOAD, "address"),
        _limit("rows", memory.rows, Queue.PIM, "entry_0"),
        _limit("columns of a row", memory.columns, Queue.PIM, "column"),
        _limit("columns of a vector buffer half", config.vector_columns, Queue.PIM, "offset"),
        _limit("slots", pim.slots, Queue.PIM, "slot"),
        _limit("row_list_entries", npu.row_list_entries, Queue.PIM, "list"),
        _limit("weight_ring_bytes", npu.weight_ring_bytes, Queue.LOAD, "ring"),
        _limit("activation_bytes", npu.activation_bytes, Queue.MATRIX, "address"),
        ("lane_buffer_bytes", npu.lane_buffer_bytes, 1 << LANE_OFFSET_BITS, "offset in a lane"),
        _limit("array_rows", npu.array_rows, Queue.MATRIX, "depth"),
        _limit("columns of a weight tile", npu.tile_columns, Queue.MATRIX, "columns"),
    )
    for name, value, most, field in limits:
        if value > most:
            raise ValueError(
                f"{name} must be at most {most}, which is all that instructions can name "
                f"({field}), not {value}"
            )


def _limit(name: str, value: int, queue: Queue, field: str) -> tuple[str, int, int, str]:
    """Return what a size may be at most for a field to name its last place."""
    bits = field_bits(queue, field)
    return name, value, 1 << bits, f"{field} of the {queue.name.lower()} queue, {bits} bits"
