"""Random requests and PIM operations for one channel: every shape, at every pace."""

import numpy as np
from numpy.typing import NDArray

from hw.config import Config
from hw.memory.commands import PimOperation, Request
from hw.memory.tile_length import tile_cycles_on_grid
from sim.memory_channel import pim_dtype, request_dtype

__all__ = ["random_numbers", "random_operations", "random_requests", "random_rows"]

_Stream = NDArray[np.void]


def random_rows(config: Config, rng: np.random.Generator, count: int) -> list[int]:
    """Return a few rows, far apart and next to each other: what requests and tiles meet in."""
    chosen = {int(row) for row in rng.integers(config.rows, size=count)}
    neighbours = {(row ^ 1) for row in list(chosen)[: count // 2]}
    return sorted(chosen | neighbours)[: max(count, 2)]


def random_numbers(rng: np.random.Generator, nbytes: int) -> NDArray[np.uint8]:
    """Return bytes of bfloat16 numbers: ordinary ones, and a few of any bits.

    Parameters
    ----------
    rng
        Source of the numbers.
    nbytes
        How many bytes; even.
    """
    values = rng.standard_normal(nbytes // 2).astype(np.float32)
    bits = (values.view(np.uint32) >> 16).astype(np.uint16)
    odd = rng.random(len(bits)) < 1 / 4096
    bits[odd] = rng.integers(0, 1 << 16, odd.sum())
    return bits.view(np.uint8)


def random_requests(
    config: Config, rng: np.random.Generator, count: int, rows: list[int]
) -> _Stream:
    """Return ordinary requests in stretches, each with a pattern, a mix and a pace of its own."""
    requests = np.zeros(count, request_dtype(config))
    content = random_numbers(rng, count * config.burst_bytes)
    requests["data"] = content.reshape(count, config.burst_bytes)
    start = 0
    while start < count:
        part = requests[start : start + int(rng.integers(1, 48))]
        _choose_places(config, rng, part, rows)
        writes = rng.random(len(part)) < rng.choice([0.0, 0.1, 0.5, 1.0])
        part["kind"] = np.where(writes, Request.WRITE.value, Request.READ.value)
        pace = rng.integers(8)
        if pace == 0:
            part["gap"] = rng.integers(0, 12, len(part))
        elif pace == 1:
            part["gap"][0] = rng.integers(1, 600)
        start += len(part)
    return requests


def _choose_places(
    config: Config, rng: np.random.Generator, part: _Stream, rows: list[int]
) -> None:
    """Choose banks, rows and columns of a stretch of requests."""
    size = len(part)
    pattern = rng.integers(4)
    bank = rng.integers(config.banks)
    if pattern == 0:  # along rows, bank after bank
        burst = rng.integers(config.bursts) + np.arange(size)
        part["bank"] = (bank + burst // config.bursts) % config.banks
        part["row"] = rng.choice(rows)
        part["column"] = 2 * (burst % config.bursts)
        return
    part["bank"] = rng.integers(config.banks, size=size)
    part["row"] = rng.choice(rows, size)
    part["column"] = 2 * rng.integers(config.bursts, size=size)
    if pattern == 1:  # rows of one bank against each other
        part["bank"] = bank
    elif pattern == 2:  # a few addresses again and again
        part["bank"], part["row"] = bank, rng.choice(rows)
        part["column"] = 2 * rng.integers(min(2, config.bursts), size=size)


def random_operations(
    config: Config, rng: np.random.Generator, count: int, rows: list[int]
) -> _Stream:
    """Return PIM operations of some tiles: vector bursts, headers or none, GEMVs of all shapes."""
    operations: list[dict[str, object]] = []
    while count:
        together = min(count, int(rng.choice([1, 1, 2, 5])))
        for _ in range(rng.integers(6)):
            operations.append(
                {
                    "operation": PimOperation.GWRITE,
                    "half": rng.integers(2),
                    "offset": 2 * rng.integers(config.vector_columns // 2),
                    "data": random_numbers(rng, config.burst_bytes),
                }
            )
        for _ in range(rng.choice([0, 0, 1, 3])):
            operations.append(_gwrite_row(config, rng, rows))
        shapes = [_random_gemvs(config, rng) for _ in range(together)]
        if rng.random() < 0.7:
            columns = max(sum(gemv["slots"] * gemv["k"] for gemv in gemvs) for gemvs in shapes)
            # Sometimes too long, sometimes too short: that may cost time, but break no rule.
            length = tile_cycles_on_grid(config, columns) * rng.choice([0.5, 1.0, 1.0, 2.0])
            operations.append(
                {"operation": PimOperation.HEADER, "tiles": together, "length": int(length)}
            )
        for gemvs in shapes:
            operations += _tile(config, rng, int(rng.choice(rows)), gemvs)
        count -= together
    stream = np.zeros(len(operations), pim_dtype(config))
    for entry, operation in zip(stream, operations, strict=True):
        for name, value in operation.items():
            entry[name] = value.value if isinstance(value, PimOperation) else value
    pace = rng.random(len(stream))
    stream["gap"] = np.where(
        pace < 0.03,
        rng.integers(0, 60, len(stream)),
        np.where(pace > 0.995, rng.integers(0, 2000, len(stream)), 0),
    )
    return stream


def _gwrite_row(config: Config, rng: np.random.Generator, rows: list[int]) -> dict[str, object]:
    """Return a GWRITE from a row: of a burst, or of all of it where the configuration says so."""
    whole = config.gwrite == "row"
    size = config.columns if whole else 2
    return {
        "operation": PimOperation.GWRITE_ROW,
        "bank": rng.integers(config.banks),
        "row": rng.choice(rows),
        "column": 0 if whole else 2 * rng.integers(config.bursts),
        "half": rng.integers(2),
        "offset": 2 * rng.integers((config.vector_columns - size) // 2 + 1),
    }


def _random_gemvs(config: Config, rng: np.random.Generator) -> list[dict[str, int]]:
    """Return the GEMVs of a tile, none beyond row, slots or vector buffer."""
    found = []
    for _ in range(rng.choice([0, 1, 1, 2, 4])):
        slots = int(rng.integers(1, config.slots + 1)) if rng.random() < 0.5 else 1
        most = max(1, config.columns // slots) if rng.random() < 0.7 else config.columns
        k = int(rng.integers(1, most + 1))
        gemv = {"slots": slots, "k": k, "slot": int(rng.integers(config.slots - slots + 1))}
        for step, start, size in (
            ("column_step", "column", config.columns),
            ("offset_step", "offset", config.vector_columns),
        ):
            largest = (size - k) // (slots - 1) if slots > 1 else size - 1
            steps = (0, min(k, largest), int(rng.integers(largest + 1)))
            gemv[step] = steps[rng.integers(3)]
            end = gemv[step] * (slots - 1) + k
            gemv[start] = int(rng.integers(size - end + 1))
        gemv["half"], gemv["read"] = int(rng.integers(2)), int(rng.integers(2))
        found.append(gemv)
    return found


def _tile(
    config: Config, rng: np.random.Generator, row: int, gemvs: list[dict[str, int]]
) -> list[dict[str, object]]:
    """Return the operations of a tile; its groups open in any order."""
    groups = sorted(range(config.groups), key=lambda group: group % config.bank_groups)
    if rng.random() < 0.3:
        groups = rng.permutation(config.groups).tolist()
    opens = PimOperation.ACTIVATION
    return [
        *({"operation": opens, "group": group, "row": row} for group in groups),
        *({"operation": PimOperation.GEMV, **gemv} for gemv in gemvs),
        {"operation": PimOperation.PRECHARGE},
    ]
