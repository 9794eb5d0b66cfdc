"""Channel addresses: row, then bank, then byte of the row, from the top."""

from typing import NamedTuple

from amaranth.hdl import *

from hw.config import Config

__all__ = ["Place", "address_of", "place_of", "split_address"]


class Place(NamedTuple):
    """Where a byte of a channel lies: bank of the channel, row, and column of the row."""

    bank: int
    row: int
    column: int


def _widths(config: Config) -> tuple[int, int, int]:
    """Return the address bits within a column, within a row, and within a row of all banks."""
    column = config.column_bytes.bit_length() - 1
    row = config.row_bytes.bit_length() - 1
    return column, row, row + config.banks.bit_length() - 1


def place_of(config: Config, address: int) -> Place:
    """Return where a byte of a channel lies.

    Raises
    ------
    ValueError
        If the channel has no such address.

    >>> from hw.presets import TINY
    >>> place_of(TINY, 128 * 4 + 128 * 3 + 16)
    Place(bank=3, row=1, column=2)
    """
    if not 0 <= address < config.channel_bytes:
        raise ValueError(f"address must be below {config.channel_bytes}, not {address!r}")
    column, bank, row = _widths(config)
    return Place(
        bank=address >> bank & (config.banks - 1),
        row=address >> row,
        column=address >> column & (config.columns - 1),
    )


def address_of(config: Config, place: Place) -> int:
    """Return the channel address of the first byte of a column.

    >>> from hw.presets import TINY
    >>> address_of(TINY, Place(bank=3, row=1, column=2))
    912
    """
    column, bank, row = _widths(config)
    return place.row << row | place.bank << bank | place.column << column


def split_address(config: Config, address: Value) -> tuple[Value, Value, Value]:
    """Return bank, row and column of an address in hardware; bits beyond the channel are ignored.

    The column is that of the burst: its lowest bit is 0.
    """
    column, bank, row = _widths(config)
    burst = address[column + 1 : bank]
    return address[bank:row], address[row : row + config.rows.bit_length() - 1], Cat(C(0, 1), burst)
