"""Fields of packed words as NumPy arrays: the payloads of many cycles at once."""

import numpy as np
from amaranth.hdl import Shape
from amaranth.lib import data

__all__ = ["field_of", "pack_fields"]


def field_of(words: np.ndarray, bit: int, width: int) -> np.ndarray:
    """Return a field of each row of words.

    Parameters
    ----------
    words
        ``uint32[n, words]``, the lowest word first.
    bit, width
        Lowest bit of the field, and its bits.

    Returns
    -------
    ``uint64[n]`` up to 64 bits, else ``uint32[n, ceil(width / 32)]``.

    >>> field_of(np.array([[0xF000_0000, 0x1]], np.uint32), 28, 8).tolist()
    [31]
    """
    pieces = -(-width // 32)
    found = np.zeros((len(words), pieces), np.uint32)
    word, shift = divmod(bit, 32)
    for piece in range(pieces):
        found[:, piece] = words[:, word + piece] >> np.uint32(shift)
        if shift and word + piece + 1 < words.shape[1]:
            found[:, piece] |= words[:, word + piece + 1] << np.uint32(32 - shift)
    if width % 32:
        found[:, -1] &= np.uint32((1 << width % 32) - 1)
    if width > 64:
        return found
    low = found[:, 0].astype(np.uint64)
    return low if pieces == 1 else low | found[:, 1].astype(np.uint64) << np.uint64(32)


def pack_fields(layout: data.StructLayout, values: np.ndarray) -> np.ndarray:
    """Return the words of payloads, ``uint32[n, words]``.

    Parameters
    ----------
    layout
        Shape of a payload.
    values
        A structured array with the fields of the layout by name: integers, or for wide fields bytes
        (``uint8[..., bytes]``), the lowest first. Fields that it does not have are 0.

    Raises
    ------
    ValueError
        If a value does not fit its field.
    """
    words = np.zeros((len(values), -(-layout.size // 32)), np.uint32)
    for name, field in layout:
        if name not in (values.dtype.names or ()):
            continue
        bit, width = field.offset, Shape.cast(field.shape).width
        column = values[name]
        if column.ndim == 1:
            if width < 64 and len(column) and int(column.max()) >> width:
                raise ValueError(f"{name} must be below {1 << width}, not {int(column.max())}")
            pieces = np.ascontiguousarray(column, "<u8").view("<u4").reshape(-1, 2)
        else:
            pieces = np.ascontiguousarray(column).view("<u4")
        for piece in range(-(-width // 32)):
            word, shift = divmod(bit + 32 * piece, 32)
            words[:, word] |= pieces[:, piece] << np.uint32(shift)
            if shift and word + 1 < words.shape[1]:
                words[:, word + 1] |= pieces[:, piece] >> np.uint32(32 - shift)
    return words
