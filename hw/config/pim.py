"""PIM: what the DRAM die computes with."""

from dataclasses import dataclass

from hw.config.checks import check_choice, check_counts, check_powers_of_two

__all__ = ["PimConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PimConfig:
    """Row buffers, MAC units and global vector buffer of a channel.

    Attributes
    ----------
    row_buffers
        2 is NeuPIMs; 1 is the blocked baseline (Newton), where ordinary accesses and PIM share one.
    vector_buffer_rows
        DRAM rows that a half of the global vector buffer holds.
    gwrite
        What PIM_GWRITE from a row moves: "burst", or "row", all of it (NeuPIMs).
    slots, partial_sums
        Accumulators of a bank's MAC unit, and partial sums of an accumulator.
    """

    row_buffers: int = 2
    vector_buffer_rows: int
    gwrite: str = "burst"
    slots: int
    partial_sums: int = 2

    def __post_init__(self) -> None:
        check_counts(self, others=("gwrite",))
        check_powers_of_two(self, ("vector_buffer_rows", "slots", "partial_sums"))
        check_choice(self, "row_buffers", (1, 2))
        check_choice(self, "gwrite", ("burst", "row"))
