"""Links: the wires between the tile and the controllers."""

from dataclasses import dataclass

from hw.config.checks import check_counts

__all__ = ["LinkConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkConfig:
    """The interconnect of a device.

    Attributes
    ----------
    link_cycles
        Cycles from the tile to a controller, and back.
    """

    link_cycles: int = 16

    def __post_init__(self) -> None:
        check_counts(self)
