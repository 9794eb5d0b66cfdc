"""Channel addresses: which of their bits are row, rank, bank group, bank and byte of the row."""

from typing import NamedTuple

from amaranth.hdl import *

from hw.config import ROW_ORDER, DieConfig

__all__ = ["Place", "address_of", "check_row_order", "place_of", "split_address"]


class Place(NamedTuple):
    """Where a byte of a channel lies: bank of the channel, row, and column of the row."""

    bank: int
    row: int
    column: int


def _fields(config: DieConfig) -> dict[str, tuple[int, int]]:
    """Return the lowest bit and the width of each part of an address above the byte of a burst.

    Of the column this is the burst. Sizes are powers of two and parts stand side by side, each
    once, so the map between addresses and places is one to one.
    """
    sizes = {
        "row": config.memory.rows,
        "rank": config.memory.ranks,
        "bank_group": config.memory.bank_groups,
        "bank": 4,
        "column": config.memory.bursts,
    }
    fields = {}
    start = config.memory.burst_bytes.bit_length() - 1
    for name in reversed(config.memory.address_order):
        width = sizes[name].bit_length() - 1
        fields[name] = (start, width)
        start += width
    return fields


def check_row_order(config: DieConfig) -> None:
    """Check that a row of all banks is one range of addresses, bank after bank.

    Programs place keys and values so that the banks of a tile hold consecutive parts of it.

    Raises
    ------
    ValueError
        If it is not.
    """
    if config.memory.address_order != ROW_ORDER:
        raise ValueError(
            f"address_order must be {', '.join(ROW_ORDER)} where programs run, "
            f"not {', '.join(config.memory.address_order)}"
        )


def place_of(config: DieConfig, address: int) -> Place:
    """Return where a byte of a channel lies.

    Raises
    ------
    ValueError
        If the channel has no such address.

    >>> from hw.presets import TINY
    >>> place_of(TINY, 128 * 4 + 128 * 3 + 16)
    Place(bank=3, row=1, column=2)
    """
    if not 0 <= address < config.memory.channel_bytes:
        raise ValueError(f"address must be below {config.memory.channel_bytes}, not {address!r}")
    part = {
        name: address >> start & ((1 << width) - 1)
        for name, (start, width) in _fields(config).items()
    }
    group = part["rank"] * config.memory.bank_groups + part["bank_group"]
    second = address // config.memory.column_bytes % 2
    return Place(bank=4 * group + part["bank"], row=part["row"], column=2 * part["column"] + second)


def address_of(config: DieConfig, place: Place) -> int:
    """Return the channel address of the first byte of a column.

    >>> from hw.presets import TINY
    >>> address_of(TINY, Place(bank=3, row=1, column=2))
    912
    """
    group, bank = divmod(place.bank, 4)
    rank, bank_group = divmod(group, config.memory.bank_groups)
    part = {
        "row": place.row,
        "rank": rank,
        "bank_group": bank_group,
        "bank": bank,
        "column": place.column // 2,
    }
    fields = _fields(config)
    burst = sum(value << fields[name][0] for name, value in part.items())
    return burst + place.column % 2 * config.memory.column_bytes


def split_address(config: DieConfig, address: Value) -> tuple[Value, Value, Value]:
    """Return bank, row and column of an address in hardware; bits beyond the channel are ignored.

    The column is that of the burst: its lowest bit is 0.
    """
    fields = _fields(config)

    def part(name: str) -> Value:
        start, width = fields[name]
        return address[start : start + width]

    bank = Cat(part("bank"), part("bank_group"), part("rank"))
    return bank, part("row"), Cat(C(0, 1), part("column"))
