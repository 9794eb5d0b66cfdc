"""Channel addresses: which of their bits are row, rank, bank group, bank and byte of the row."""

from typing import NamedTuple

from amaranth.hdl import *

from hw.config import ROW_ORDER, DieConfig

__all__ = ["Place", "address_of", "check_row_order", "divided", "place_of", "split_address"]


class Place(NamedTuple):
    """Where a byte of a channel lies: bank of the channel, row, and column of the row."""

    bank: int
    row: int
    column: int


def _sizes(config: DieConfig) -> list[tuple[str, int]]:
    """Return each part of an address above the byte of a burst, the lowest first, and its size.

    Of the column this is the burst. Parts stand side by side, each once, as digits of a number, so
    the map between addresses and places is one to one.
    """
    sizes = {
        "row": config.memory.rows,
        "rank": config.memory.ranks,
        "bank_group": config.memory.bank_groups,
        "bank": 4,
        "column": config.memory.bursts,
    }
    return [(name, sizes[name]) for name in reversed(config.memory.address_order)]


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
    part = {}
    rest = address // config.memory.burst_bytes
    for name, size in _sizes(config):
        rest, part[name] = divmod(rest, size)
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
    burst = 0
    for name, size in reversed(_sizes(config)):
        burst = burst * size + part[name]
    return burst * config.memory.burst_bytes + place.column % 2 * config.memory.column_bytes


def divided(value: Value, divisor: int) -> tuple[Value, Value]:
    """Return quotient and remainder of an unsigned value by a constant, without a divider.

    By a power of two they are some of its bits; else the value is multiplied by the reciprocal,
    rounded up. For a value of n bits and n + b bits of the reciprocal, where 2 ** b is no less than
    the divisor, the error stays below what would change the quotient (Granlund and Montgomery,
    PLDI 1994, theorem 4.2).
    """
    bits = (divisor - 1).bit_length()
    if divisor == 1 << bits:
        return value[bits:], value[:bits]
    shift = len(value) + bits
    quotient = (value * -(-(1 << shift) // divisor) >> shift)[: max(0, len(value) - bits + 1)]
    return quotient, (value - quotient * divisor)[:bits]


def split_address(config: DieConfig, address: Value) -> tuple[Value, Value, Value]:
    """Return bank, row and column of an address in hardware; bits beyond the channel are ignored.

    The column is that of the burst: its lowest bit is 0.
    """
    top = (config.memory.channel_bytes - 1).bit_length()
    rest = address[config.memory.burst_bytes.bit_length() - 1 : top]
    part = {}
    for name, size in _sizes(config):
        rest, part[name] = divided(rest, size)
    bank = Cat(part["bank"], part["bank_group"], part["rank"])
    return bank, part["row"], Cat(C(0, 1), part["column"])
