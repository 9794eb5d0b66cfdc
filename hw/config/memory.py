"""Memory: sizes and timing of the DRAM channels."""

from dataclasses import dataclass, field

from hw.config.checks import check_counts, check_powers_of_two, is_power_of_two
from hw.protocol.timing import Timing

__all__ = ["BANKS_PER_GROUP", "ROW_ORDER", "MemoryConfig"]

#: Banks of a bank group, which one PIM_ACTIVATION opens (NeuPIMs, table 1).
BANKS_PER_GROUP = 4

#: Parts of a channel address, from the top, where a row of all banks is one range of addresses.
ROW_ORDER = ("row", "rank", "bank_group", "bank", "column")


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryConfig:
    """The DRAM of a device.

    A burst is two columns, and one column crosses the data bus in a cycle.

    Attributes
    ----------
    channels, ranks, bank_groups, rows
        Channels of the device, ranks of a channel, bank groups of a rank (four banks each), rows of
        a bank. Ranks need not be a power of two (a stack of 12 dies has three), other sizes must.
    row_bytes, column_bytes
        Bytes of a row, and of a column: what a MAC unit takes at a time.
    address_order
        Parts of a channel address above the byte of a burst, from the top: ``row``, ``rank``,
        ``bank_group``, ``bank``, ``column`` (of which it is the burst), each once.
    subarrays
        Subarrays of a bank; 0 means that rows of a bank never share sense amplifiers.
    timing
        DRAM timing, in cycles.
    """

    channels: int
    ranks: int
    bank_groups: int
    rows: int
    row_bytes: int
    column_bytes: int
    address_order: tuple[str, ...] = ROW_ORDER
    subarrays: int = 0
    timing: Timing = field(default_factory=Timing)

    def __post_init__(self) -> None:
        check_counts(self, others=("address_order", "timing"), may_be_zero=("subarrays",))
        sizes = ("channels", "bank_groups", "rows", "row_bytes", "column_bytes")
        check_powers_of_two(self, sizes)
        if self.channels > 32:
            raise ValueError(f"channels must be at most 32, not {self.channels!r}")
        if self.column_bytes < 4:
            raise ValueError(f"column_bytes must be at least 4, not {self.column_bytes!r}")
        if self.row_bytes % self.burst_bytes:
            raise ValueError(
                f"row_bytes must be a multiple of a burst ({self.burst_bytes} bytes, two columns), "
                f"not {self.row_bytes!r}"
            )
        if self.subarrays and (not is_power_of_two(self.subarrays) or self.subarrays > self.rows):
            raise ValueError(
                f"subarrays must be 0 or a power of two up to rows ({self.rows}), "
                f"not {self.subarrays!r}"
            )
        order = self.address_order
        once = isinstance(order, tuple | list) and all(order.count(name) == 1 for name in ROW_ORDER)
        if not once or len(order) != len(ROW_ORDER):
            raise ValueError(
                f"address_order must be {', '.join(ROW_ORDER)}, each once, not {order!r}"
            )
        object.__setattr__(self, "address_order", tuple(order))  # a file has a list

    @property
    def banks_per_rank(self) -> int:
        """Banks of a rank."""
        return BANKS_PER_GROUP * self.bank_groups

    @property
    def banks(self) -> int:
        """Banks of a channel, B in the papers."""
        return self.ranks * self.banks_per_rank

    @property
    def groups(self) -> int:
        """Bank groups of a channel, over all its ranks."""
        return self.ranks * self.bank_groups

    @property
    def columns(self) -> int:
        """Columns of a row."""
        return self.row_bytes // self.column_bytes

    @property
    def burst_bytes(self) -> int:
        """Bytes that one RD or WR moves: two columns."""
        return 2 * self.column_bytes

    @property
    def bursts(self) -> int:
        """Bursts of a row."""
        return self.row_bytes // self.burst_bytes

    @property
    def page_bytes(self) -> int:
        """Bytes of a page: the same row of all banks."""
        return self.banks * self.row_bytes

    @property
    def channel_bytes(self) -> int:
        """Bytes of a channel."""
        return self.rows * self.page_bytes
