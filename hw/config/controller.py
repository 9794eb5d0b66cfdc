"""Controller: queues of a channel's controller, and the parameters of its policy."""

from dataclasses import dataclass

from hw.config.checks import check_choice, check_counts

__all__ = ["ControllerConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ControllerConfig:
    """The controller of a channel.

    Attributes
    ----------
    read_queue, write_queue
        Entries for burst runs of reads and of writes.
    write_high, write_low
        Watermarks of the write queue at which writes are served, and no longer.
    age
        Cycles from which a request bars younger ones.
    postpone
        Refreshes that may be postponed or pulled in.
    blocked_order
        Who goes first with one row buffer, where tiles and ordinary requests block each other
        (:mod:`hw.controller.pim.tile_order`): "pim_first", the tiles of a header are not parted
        (Newton), "memory_first", a tile waits until no request is pending, or "accepted", the order
        of acceptance. With two row buffers it means nothing.
    pim_commands
        How GEMVs are done: "gemv", one PIM_GEMV each (NeuPIMs), or "separate", a PIM_DOTPRODUCT a
        column and a PIM_RDRESULT a result (Newton).
    pim_header
        Whether it plans with PIM_HEADER; if not, it takes each tile for the longest.
    """

    read_queue: int = 16
    write_queue: int = 8
    write_high: int = 6
    write_low: int = 2
    age: int = 1024
    postpone: int = 8
    blocked_order: str = "pim_first"
    pim_commands: str = "gemv"
    pim_header: bool = True

    def __post_init__(self) -> None:
        check_counts(
            self, others=("blocked_order", "pim_commands", "pim_header"), may_be_zero=("write_low",)
        )
        for name in ("read_queue", "write_queue"):
            if getattr(self, name) < 2:
                raise ValueError(f"{name} must be at least 2, not {getattr(self, name)!r}")
        check_choice(self, "blocked_order", ("pim_first", "memory_first", "accepted"))
        check_choice(self, "pim_commands", ("gemv", "separate"))
        check_choice(self, "pim_header", (True, False))
        if self.write_low >= self.write_high or self.write_high > self.write_queue:
            raise ValueError(
                "write_low < write_high <= write_queue must hold, not "
                f"{self.write_low!r}, {self.write_high!r}, {self.write_queue!r}"
            )
