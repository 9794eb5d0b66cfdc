"""The configuration: one frozen object that fixes every size of the machine."""

from dataclasses import dataclass, field, fields

from hw.memory.timing import Timing

__all__ = ["ROW_ORDER", "Config"]

#: Parts of a channel address, from the top, where a row of all banks is one range of addresses.
ROW_ORDER = ("row", "rank", "bank_group", "bank", "column")

_POWERS_OF_TWO = (
    *("channels", "ranks", "bank_groups", "rows", "row_bytes", "column_bytes", "slots"),
    *("partial_sums", "array_rows", "array_columns", "arrays", "lanes", "vector_units"),
    *("vector_partial_sums", "lane_buffer_bytes", "activation_bytes", "weight_ring_bytes"),
    *("vector_buffer_rows", "row_list_entries"),
)


_NOT_NUMBERS = ("name", "timing", "address_order", "gwrite", "pim_commands", "pim_header")


def _power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Every size of a device. No module reads anything else.

    Attributes
    ----------
    name
        What reports call it.
    channels, ranks, bank_groups, rows, row_bytes, column_bytes
        Memory: channels of the device, ranks of a channel, bank groups of a rank (four banks
        each), rows of a bank, bytes of a row, bytes of a column (what a MAC unit takes at a time).
        A burst is two columns, and one column crosses the data bus in a cycle.
    address_order
        Parts of a channel address above the byte of a burst, from the top: ``row``, ``rank``,
        ``bank_group``, ``bank``, ``column`` (of which it is the burst), each once.
    row_buffers
        2 is NeuPIMs; 1 is the blocked baseline (Newton), where ordinary accesses and PIM share one.
    subarrays
        Subarrays of a bank; 0 means that rows of a bank never share sense amplifiers.
    timing
        DRAM timing, in cycles.
    vector_buffer_rows, slots, partial_sums
        PIM: DRAM rows that a half of the global vector buffer holds, accumulators of a bank's MAC
        unit, and partial sums of an accumulator.
    gwrite
        What PIM_GWRITE from a row moves: "burst", or "row", all of it (NeuPIMs).
    pim_commands
        How the controller has GEMVs done: "gemv", one PIM_GEMV each (NeuPIMs), or "separate", a
        PIM_DOTPRODUCT a column and a PIM_RDRESULT a result (Newton).
    array_rows, array_columns, arrays
        Processing elements down and across a systolic array; arrays that work in lock step.
    lanes, vector_units, vector_partial_sums
        Lanes of a vector unit, vector units, which take the rows of an instruction in turn, and
        partial sums of a lane.
    weight_ring_bytes, lane_buffer_bytes, activation_bytes, accumulator_rows
        Tile memories: the ring for weights, the buffer of one lane, the activation memory, and rows
        of one of the two accumulator halves.
    row_list_entries
        DRAM rows that a channel's list of PIM tiles and pages holds.
    queue_depth, descriptors
        Instructions that wait at an instruction queue; descriptors of a DMA engine.
    read_queue, write_queue, write_high, write_low, age, postpone
        Controller: slots for reads and for writes, the watermarks of write mode, the age in cycles
        from which a request bars younger ones, and refreshes that may be postponed or pulled in.
    pim_header
        Whether the controller plans with PIM_HEADER; if not, it takes each tile for the longest.
    link_cycles
        Cycles from the tile to a controller, and back.
    """

    name: str
    channels: int
    ranks: int
    bank_groups: int
    rows: int
    row_bytes: int
    column_bytes: int
    address_order: tuple[str, ...] = ROW_ORDER
    row_buffers: int = 2
    subarrays: int = 0
    timing: Timing = field(default_factory=Timing)
    vector_buffer_rows: int
    gwrite: str = "burst"
    pim_commands: str = "gemv"
    slots: int
    partial_sums: int = 2
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
    read_queue: int = 16
    write_queue: int = 8
    write_high: int = 6
    write_low: int = 2
    age: int = 1024
    postpone: int = 8
    pim_header: bool = True
    link_cycles: int = 16

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name in _NOT_NUMBERS:
                continue
            if item.name in ("subarrays", "write_low") and value == 0:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{item.name} must be a positive integer, not {value!r}")
        for name in _POWERS_OF_TWO:
            value = getattr(self, name)
            if not _power_of_two(value):
                raise ValueError(f"{name} must be a power of two, not {value!r}")
        if self.column_bytes < 4:
            raise ValueError(f"column_bytes must be at least 4, not {self.column_bytes!r}")
        if self.row_bytes % self.burst_bytes:
            raise ValueError(
                f"row_bytes must be a multiple of a burst ({self.burst_bytes} bytes, two columns), "
                f"not {self.row_bytes!r}"
            )
        if self.subarrays and (not _power_of_two(self.subarrays) or self.subarrays > self.rows):
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
        for name, choices in (
            ("gwrite", ("burst", "row")),
            ("pim_commands", ("gemv", "separate")),
            ("pim_header", (True, False)),
        ):
            if (value := getattr(self, name)) not in choices:
                words = " or ".join(map(repr, choices))
                raise ValueError(f"{name} must be {words}, not {value!r}")
        if self.row_buffers not in (1, 2):
            raise ValueError(f"row_buffers must be 1 or 2, not {self.row_buffers!r}")
        if self.channels > 32:
            raise ValueError(f"channels must be at most 32, not {self.channels!r}")
        if self.write_low >= self.write_high or self.write_high > self.write_queue:
            raise ValueError(
                "write_low < write_high <= write_queue must hold, not "
                f"{self.write_low!r}, {self.write_high!r}, {self.write_queue!r}"
            )
        if self.weight_ring_bytes < 4 * self.weight_tile_bytes:
            raise ValueError(
                f"weight_ring_bytes must hold at least 4 weight tiles of {self.weight_tile_bytes} "
                f"bytes, not {self.weight_ring_bytes!r}"
            )

    # Memory.

    @property
    def banks_per_rank(self) -> int:
        """Banks of a rank."""
        return 4 * self.bank_groups

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

    # PIM.

    @property
    def mac_lanes(self) -> int:
        """Multipliers of a bank: bfloat16 elements of a column."""
        return self.column_bytes // 2

    @property
    def vector_columns(self) -> int:
        """Columns of one half of the global vector buffer."""
        return self.vector_buffer_rows * self.columns

    @property
    def result_bytes(self) -> int:
        """Bytes of a slot's result: one binary32 a bank."""
        return 4 * self.banks

    @property
    def result_bursts(self) -> int:
        """Bursts that carry a slot's result to the tile."""
        return -(-self.result_bytes // self.burst_bytes)

    # NPU.

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
