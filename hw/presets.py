"""The configurations that ship with the project."""

from hw.config import Config

__all__ = ["PAPER", "PRESETS", "TINY"]

#: The device of the NeuPIMs evaluation (ASPLOS 2024, section 8.1 and table 2); sizes of the tile
#: memories are chosen.
PAPER = Config(
    name="paper",
    channels=32,
    ranks=2,
    bank_groups=4,
    rows=32768,
    row_bytes=1024,
    column_bytes=32,
    vector_buffer_rows=8,
    slots=16,
    array_rows=128,
    array_columns=128,
    arrays=8,
    lanes=128,
    vector_units=8,
    weight_ring_bytes=32 * 256 * 1024,
    lane_buffer_bytes=256 * 1024,
    activation_bytes=16 * 1024 * 1024,
    accumulator_rows=512,
    row_list_entries=4096,
)

#: A device small enough to run whole as RTL (chosen), with the timing of ``paper``.
TINY = Config(
    name="tiny",
    channels=2,
    ranks=1,
    bank_groups=1,
    rows=1024,
    row_bytes=128,
    column_bytes=8,
    vector_buffer_rows=4,
    slots=8,
    array_rows=4,
    array_columns=4,
    lanes=4,
    weight_ring_bytes=8 * 1024,
    lane_buffer_bytes=32 * 1024,
    activation_bytes=32 * 1024,
    accumulator_rows=8,
)

#: Every preset by its name.
PRESETS = {preset.name: preset for preset in (PAPER, TINY)}
