"""The row lists of a device, as the LISTs of a program write them."""

from typing import Any

import numpy as np

from hw.config import TileConfig
from hw.program.instruction_set import LIST_ENTRIES, Opcode, Queue
from hw.program.program import Program

__all__ = ["RowLists", "list_records", "listed"]


def listed(record: Any) -> list[int]:
    """Return the entries that a LIST writes."""
    count = int(record["entries"]) or LIST_ENTRIES
    return [int(record[f"entry_{number}"]) for number in range(count)]


def list_records(first: int, rows: list[int]) -> list[dict[str, int]]:
    """Return the fields of the LISTs that write rows to the entries from ``first`` on.

    >>> [record["list"] for record in list_records(5, list(range(40)))]
    [5, 21, 37]
    """
    records = []
    for start in range(0, len(rows), LIST_ENTRIES):
        piece = rows[start : start + LIST_ENTRIES]
        fields = {"opcode": int(Opcode.LIST), "list": first + start}
        fields["entries"] = len(piece) % LIST_ENTRIES
        records.append(fields | {f"entry_{place}": row for place, row in enumerate(piece)})
    return records


class RowLists:
    """What the row lists of all channels hold between two instructions of the total order.

    Attributes
    ----------
    entries
        ``int64[channels, row_list_entries]``; 0 before the first write.
    written
        ``bool`` of the same shape: whether a LIST has written the entry.
    """

    def __init__(self, config: TileConfig) -> None:
        shape = (config.memory.channels, config.npu.row_list_entries)
        self.entries = np.zeros(shape, np.int64)
        self.written = np.zeros(shape, bool)

    @classmethod
    def before(cls, config: TileConfig, program: Program, order: int) -> "RowLists":
        """Return what they hold before a place in the total order of a program."""
        lists = cls(config)
        for channel, stream in enumerate(program.streams[Queue.PIM :]):
            for record in stream[(stream["opcode"] == Opcode.LIST) & (stream["order"] < order)]:
                lists.write(channel, record)
        return lists

    def write(self, channel: int, record: Any) -> None:
        """Execute a LIST; entries outside are left out."""
        content = listed(record)
        first = int(record["list"])
        places = slice(first, first + len(content))
        room = self.entries[channel, places].size
        self.entries[channel, places] = content[:room]
        self.written[channel, places] = True

    def rows(self, channel: int, record: Any, count: int) -> np.ndarray:
        """Return the rows that a GEMV or LOAD_PAGES gets from ``count`` entries of a channel."""
        first = int(record["list"])
        return self.entries[channel, first : first + count] + int(record["row"])
