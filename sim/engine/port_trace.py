"""Port traces: what a design's ports were in every cycle, as rows of 32-bit words."""

from collections.abc import Sequence

import numpy as np

from hw.export.rtlil import Port

__all__ = ["pack", "trace_columns", "unpack"]


def trace_columns(ports: Sequence[Port]) -> tuple[dict[str, slice], int]:
    """Return the columns of each port in a trace, and how many words a row has.

    >>> trace_columns([Port("valid", 1, False), Port("data", 40, False)])
    ({'valid': slice(0, 1, None), 'data': slice(1, 3, None)}, 3)
    """
    columns = {}
    start = 0
    for port in ports:
        end = start + -(-port.width // 32)
        columns[port.name] = slice(start, end)
        start = end
    return columns, start


def pack(ports: Sequence[Port], rows: Sequence[Sequence[int]]) -> np.ndarray:
    """Return a trace, ``uint32[cycles, words]``, of the values of all ports in each cycle."""
    widths = [4 * -(-port.width // 32) for port in ports]
    data = b"".join(
        value.to_bytes(width, "little")
        for row in rows
        for value, width in zip(row, widths, strict=True)
    )
    return np.frombuffer(data, np.uint32).reshape(len(rows), sum(widths) // 4)


def unpack(ports: Sequence[Port], trace: np.ndarray) -> list[list[int]]:
    """Return the values of all ports in each cycle of a trace."""
    columns = trace_columns(ports)[0].values()
    return [[int.from_bytes(row[c].tobytes(), "little") for c in columns] for row in trace]
