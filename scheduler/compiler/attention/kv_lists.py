"""Row lists of requests: written once a program, beside its first work, and used by every layer."""

import numpy as np

from hw.config import Config
from hw.program.instruction_set import Queue
from hw.program.program import Label
from hw.program.row_lists import list_records
from scheduler.compiler.attention.buffers import Decode
from scheduler.compiler.attention.kv_geometry import KvGeometry
from scheduler.compiler.builder import ProgramBuilder, Region

__all__ = ["KvLists"]


class KvLists:
    """Gives the pages of every request their entries in the row list of its channel.

    A request's entries hold the pages of its keys, part by part, those of its complete pages of
    values, and those of its tail.
    """

    def __init__(self, config: Config, geometry: KvGeometry, builder: ProgramBuilder) -> None:
        self._config = config
        self._geometry = geometry
        self._builder = builder
        self._next = [0] * config.memory.channels
        self._starts: dict[tuple[int, str, int], int] = {}
        self._regions: dict[int, Region] = {}

    def emit(self, decode: Decode, label: Label) -> None:
        """Emit the LISTs of a request; it must be called before its entries are asked for."""
        rows = decode.rows
        k_pages = decode.position // self._config.memory.banks + 1
        v_pages = decode.position // self._geometry.v_tokens
        pieces: list[tuple[str, int, np.ndarray]] = [
            *(("keys", part, pages[:k_pages]) for part, pages in enumerate(rows.k_pages)),
            *(("values", part, pages[:v_pages]) for part, pages in enumerate(rows.v_pages)),
            ("tail", 0, rows.tail_pages),
        ]
        start = first = self._next[decode.channel]
        entries: list[int] = []
        for kind, part, pages in pieces:
            self._starts[decode.request, kind, part] = first + len(entries)
            entries += pages.tolist()
        self._next[decode.channel] += len(entries)
        region = self._regions[decode.request] = Region("row list")
        queue = Queue.PIM + decode.channel
        fields = list_records(start, entries)
        records = self._builder.records(queue, len(fields))
        for record, named in zip(records, fields, strict=True):
            for name, value in named.items():
                record[name] = value
        self._builder.emit_records(queue, records, label, writes=[region])

    def keys(self, decode: Decode, part: int) -> int:
        """Return the entry of a request's first page of keys."""
        return self._starts[decode.request, "keys", part]

    def values(self, decode: Decode, part: int) -> int:
        """Return the entry of its first page of values."""
        return self._starts[decode.request, "values", part]

    def tail(self, decode: Decode) -> int:
        """Return the entry of the first page of its tail."""
        return self._starts[decode.request, "tail", 0]

    def region(self, decode: Decode) -> Region:
        """Return the region of its entries, for what reads them from another queue."""
        return self._regions[decode.request]

    def check(self) -> None:
        """Check that the row lists hold what has been emitted.

        Raises
        ------
        ValueError
            If the entries of a channel are too many; it names how many would do.
        """
        entries = max(self._next)
        if entries > self._config.npu.row_list_entries:
            raise ValueError(
                f"row_list_entries must be at least {entries}, "
                f"not {self._config.npu.row_list_entries}"
            )
