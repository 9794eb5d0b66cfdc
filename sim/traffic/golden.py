"""What a channel must answer: a flat memory, and GEMVs in the order of summation of the MAC unit.

The order of acceptance is taken from the log; everything else from the requests alone.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hw.arith.bf16 import from_bits
from hw.arith.binary32 import tree_sum
from hw.config import Config
from hw.die.mac_unit import accumulate_golden
from hw.protocol.commands import PimOperation, Request
from hw.protocol.results import result_beats
from sim.channel.compiled_channel import ChannelLog
from sim.trace.command_trace import ACCEPT, KINDS

__all__ = ["FlatMemory", "check_log"]

_Stream = NDArray[np.void]
_Bytes = NDArray[np.uint8]
_Floats = NDArray[np.float32]


class FlatMemory:
    """Some rows of all banks.

    Parameters
    ----------
    config
        Of the channel.
    rows
        Numbers of the rows, ascending.
    content
        ``uint8[rows, banks, row_bytes]``.
    """

    def __init__(self, config: Config, rows: list[int], content: _Bytes) -> None:
        self._config = config
        self._rows = np.array(rows)
        shape = (len(rows), config.memory.banks, config.memory.bursts, config.memory.burst_bytes)
        self._bursts = content.reshape(shape).copy()

    def _index(self, requests: _Stream) -> tuple[NDArray[np.int64], ...]:
        place = np.searchsorted(self._rows, requests["row"])
        return place, requests["bank"].astype(np.int64), requests["column"].astype(np.int64) // 2

    def write(self, requests: _Stream) -> None:
        """Do the writes among some requests, in their order."""
        writes = requests[requests["kind"] == Request.WRITE.value]
        self._bursts[self._index(writes)] = writes["data"]

    def expected(self, requests: _Stream) -> _Bytes:
        """Return what each request sees at its address; nothing is written here."""
        place, bank, burst = self._index(requests)
        _, banks, bursts, _ = self._bursts.shape
        address = (place * banks + bank) * bursts + burst
        order = np.argsort(address, kind="stable")
        is_write = requests["kind"][order] == Request.WRITE.value
        position = np.arange(len(order))
        last = np.maximum.accumulate(np.where(is_write, position, -1))
        first = np.searchsorted(address[order], address[order])
        found = self._bursts[place, bank, burst]
        known = last >= first
        found[order[known]] = requests["data"][order[last[known]]]
        return found

    def row(self, row: int) -> _Bytes:
        """Return a row of all banks, ``uint8[banks, row_bytes]``."""
        content = self._bursts[np.searchsorted(self._rows, row)]
        return content.reshape(self._config.memory.banks, -1)

    @property
    def content(self) -> _Bytes:
        """All rows, ``uint8[rows, banks, row_bytes]``."""
        return self._bursts.reshape(len(self._rows), self._config.memory.banks, -1)


@dataclass
class _MacUnits:
    """Vector buffer and accumulators of a channel."""

    config: Config
    vectors: _Floats = field(init=False)
    sums: _Floats = field(init=False)
    counts: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        config = self.config
        self.vectors = np.zeros((2, config.vector_columns, config.mac_lanes), np.float32)
        self.sums = np.zeros(
            (config.pim.slots, config.memory.banks, config.pim.partial_sums), np.float32
        )
        self.counts = np.zeros(config.pim.slots, np.int64)

    def gwrite(self, operation: np.void) -> None:
        """Put a burst into the vector buffer."""
        burst = from_bits(operation["data"].view("<u2")).reshape(2, -1)
        start = int(operation["offset"])
        self.vectors[operation["half"], start : start + 2] = burst

    def gwrite_row(self, operation: np.void, row: _Bytes) -> None:
        """Put a burst of a bank's row, or all of it, into the vector buffer."""
        config = self.config
        count = config.memory.columns if config.pim.gwrite == "row" else 2
        columns = from_bits(row.view("<u2")).reshape(config.memory.columns, -1)
        step = np.arange(count)
        place = (int(operation["offset"]) + step) % config.vector_columns
        chosen = columns[(int(operation["column"]) + step) % config.memory.columns]
        self.vectors[operation["half"], place] = chosen

    def products(self, operation: np.void, row: _Floats) -> list[_Floats]:
        """Multiply columns of a row, ``[banks, columns, lanes]``; return the results read."""
        code = PimOperation(operation["operation"])
        if code is PimOperation.RDRESULT:
            return self._read(np.array([operation["slot"]]))
        is_gemv = code is PimOperation.GEMV
        slots, k = (int(operation[name]) if is_gemv else 1 for name in ("slots", "k"))
        step = np.arange(slots)[:, None]
        columns = operation["column"] + step * operation["column_step"] + np.arange(k)
        offsets = operation["offset"] + step * operation["offset_step"] + np.arange(k)
        x = row[:, columns % self.config.memory.columns].swapaxes(0, 1)  # [slots, banks, k, lanes]
        vector = self.vectors[operation["half"], offsets % self.config.vector_columns][:, None]
        slot = int(operation["slot"]) + np.arange(slots)
        phase = self.counts[slot] % self.config.pim.partial_sums
        for first in np.unique(phase).tolist():
            which = phase == first
            chosen = slot[which]
            self.sums[chosen] = accumulate_golden(self.sums[chosen], first, x[which], vector[which])
        self.counts[slot] += k
        return self._read(slot) if is_gemv and operation["read"] else []

    def _read(self, slots: NDArray[np.int64]) -> list[_Floats]:
        """Return the results of some slots, and clear them."""
        results = list(tree_sum(self.sums[slots]))
        self.sums[slots], self.counts[slots] = 0, 0
        return results


def _results_of(config: Config, log: ChannelLog) -> NDArray[np.uint32]:
    """Return the whole results of a log by bank, as bits (``uint32[results, banks]``)."""
    beats = result_beats(config)
    bursts = -(-config.memory.ranks * beats // 2)
    count = len(log.results) // bursts
    columns = log.results[: count * bursts].reshape(count, bursts * 2, config.memory.column_bytes)
    by_rank = columns[:, : config.memory.ranks * beats].reshape(
        count, config.memory.ranks, beats * config.memory.column_bytes
    )
    return (
        by_rank[:, :, : 4 * config.memory.banks_per_rank]
        .copy()
        .view("<u4")
        .reshape(-1, config.memory.banks)
    )


def _requests_before(trace: _Stream) -> list[int]:
    """Return how many requests were accepted before each tile and each GWRITE from a row."""
    accepts = trace["kind"][trace["command"] == ACCEPT]
    is_pim = np.isin(accepts, [KINDS.index("tile"), KINDS.index("gwrite")])
    found: list[int] = np.cumsum(~is_pim)[is_pim].tolist()
    return found


def _expected_results(
    config: Config, memory: FlatMemory, requests: _Stream, pim: _Stream, log: ChannelLog
) -> NDArray[np.uint32]:
    """Return the results that the PIM operations must give, as bits; all writes are done then."""
    starts = iter(_requests_before(log.trace))
    units, row = _MacUnits(config), None
    written, found, in_tile = 0, [], False
    for operation in pim:
        code = PimOperation(operation["operation"])
        if code is PimOperation.GWRITE:
            units.gwrite(operation)
        elif code is PimOperation.GWRITE_ROW:
            start = next(starts)
            memory.write(requests[written:start])
            written = start
            units.gwrite_row(operation, memory.row(int(operation["row"]))[operation["bank"]])
        elif code is PimOperation.ACTIVATION and not in_tile:
            in_tile, start = True, next(starts)
            memory.write(requests[written:start])
            written = start
            bits = memory.row(int(operation["row"])).view("<u2")
            row = from_bits(bits).reshape(config.memory.banks, config.memory.columns, -1)
        elif code in (PimOperation.GEMV, PimOperation.DOTPRODUCT, PimOperation.RDRESULT):
            assert row is not None
            found += units.products(operation, row)
        elif code is PimOperation.PRECHARGE:
            in_tile = False
    memory.write(requests[written:])
    return np.array(found, np.float32).reshape(-1, config.memory.banks).view(np.uint32)


def check_log(
    config: Config, memory: FlatMemory, requests: _Stream, pim: _Stream, log: ChannelLog
) -> list[str]:
    """Compare the answers and results of a run that is over with what they must be.

    Parameters
    ----------
    memory
        The rows that requests and tiles use, as they were before the run; afterwards as they must
        be after it.
    """
    wrong = []
    reads = requests["kind"] == Request.READ.value
    differ = reads & (memory.expected(requests) != log.read_data).any(axis=1)
    for index in np.flatnonzero(differ)[:3].tolist():
        wrong.append(
            f"read {index} of bank {requests['bank'][index]}, row {requests['row'][index]}, column "
            f"{requests['column'][index]}, accepted in cycle {log.entered[index]}, saw other data"
        )
    expected, got = _expected_results(config, memory, requests, pim, log), _results_of(config, log)
    if expected.shape != got.shape:
        wrong.append(f"{len(got)} results came, not {len(expected)}")
    else:
        for index in np.flatnonzero((expected != got).any(axis=1))[:3].tolist():
            bank = int(np.flatnonzero(expected[index] != got[index])[0])
            wrong.append(
                f"result {index} of bank {bank} is 0x{got[index, bank]:08X}, "
                f"not 0x{expected[index, bank]:08X}"
            )
    return wrong
