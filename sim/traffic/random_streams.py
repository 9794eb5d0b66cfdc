"""Random requests and PIM operations for one channel: every shape, at every pace."""

import numpy as np
from numpy.typing import NDArray

from hw.config import Config
from hw.protocol.address_map import place_of
from hw.protocol.commands import PimOperation, Request
from hw.protocol.tile_length import tile_cycles_on_grid
from sim.channel.compiled_channel import pim_dtype, request_dtype

__all__ = [
    "operation_stream",
    "random_numbers",
    "random_operations",
    "random_requests",
    "random_rows",
]

_Stream = NDArray[np.void]


def random_rows(config: Config, rng: np.random.Generator, count: int) -> list[int]:
    """Return a few rows, far apart and next to each other: what requests and tiles meet in."""
    chosen = {int(row) for row in rng.integers(config.memory.rows, size=count)}
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
    content = random_numbers(rng, count * config.memory.burst_bytes)
    requests["data"] = content.reshape(count, config.memory.burst_bytes)
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
    bank = rng.integers(config.memory.banks)
    if pattern == 0:  # along addresses, in the order of the configuration
        first = int(rng.integers(config.memory.channel_bytes // config.memory.burst_bytes))
        for request, burst in zip(part, range(first, first + size), strict=True):
            place = place_of(
                config, burst * config.memory.burst_bytes % config.memory.channel_bytes
            )
            request["bank"], request["column"] = place.bank, place.column
            request["row"] = rows[place.row % len(rows)]
        return
    part["bank"] = rng.integers(config.memory.banks, size=size)
    part["row"] = rng.choice(rows, size)
    part["column"] = 2 * rng.integers(config.memory.bursts, size=size)
    if pattern == 1:  # rows of one bank against each other
        part["bank"] = bank
    elif pattern == 2:  # a few addresses again and again
        part["bank"], part["row"] = bank, rng.choice(rows)
        part["column"] = 2 * rng.integers(min(2, config.memory.bursts), size=size)


def random_operations(
    config: Config, rng: np.random.Generator, count: int, rows: list[int]
) -> _Stream:
    """Return PIM operations of some tiles: vectors, headers or none, products of all shapes.

    Some operations are offered late, within tiles too; all others as fast as they are taken.
    """
    operations: list[dict[str, object]] = []
    while count:
        together = min(count, int(rng.choice([1, 1, 2, 5])))
        operations += [_gwrite(config, rng) for _ in range(rng.integers(6))]
        operations += [_gwrite_row(config, rng, rows) for _ in range(rng.choice([0, 0, 1, 3]))]
        shapes = [_random_gemvs(config, rng) for _ in range(together)]
        if rng.random() < 0.7:
            columns = max(sum(gemv["slots"] * gemv["k"] for gemv in gemvs) for gemvs in shapes)
            # Sometimes too long, sometimes too short: that may cost time, but break no rule.
            length = tile_cycles_on_grid(config, columns) * rng.choice([0.5, 1.0, 1.0, 2.0])
            operations.append(
                {"operation": PimOperation.HEADER, "tiles": together, "length": int(length)}
            )
        for gemvs in shapes:
            operations += _tile(config, rng, rows, gemvs)
        count -= together
    stream = operation_stream(config, operations)
    pace = rng.random(len(stream))
    stream["gap"] = np.where(
        pace < 0.03,
        rng.integers(0, 60, len(stream)),
        np.where(pace > 0.995, rng.integers(0, 2000, len(stream)), 0),
    )
    return stream


def operation_stream(config: Config, operations: list[dict[str, object]]) -> _Stream:
    """Return PIM operations, given by their fields, as a stream; fields not given are 0."""
    stream = np.zeros(len(operations), pim_dtype(config))
    for entry, operation in zip(stream, operations, strict=True):
        for name, value in operation.items():
            entry[name] = value.value if isinstance(value, PimOperation) else value
    return stream


def _gwrite(config: Config, rng: np.random.Generator) -> dict[str, object]:
    """Return a GWRITE of a burst from the data bus."""
    return {
        "operation": PimOperation.GWRITE,
        "half": rng.integers(2),
        "offset": 2 * rng.integers(config.vector_columns // 2),
        "data": random_numbers(rng, config.memory.burst_bytes),
    }


def _gwrite_row(config: Config, rng: np.random.Generator, rows: list[int]) -> dict[str, object]:
    """Return a GWRITE from a row: of a burst, or of all of it where the configuration says so."""
    whole = config.pim.gwrite == "row"
    size = config.memory.columns if whole else 2
    return {
        "operation": PimOperation.GWRITE_ROW,
        "bank": rng.integers(config.memory.banks),
        "row": rng.choice(rows),
        "column": 0 if whole else 2 * rng.integers(config.memory.bursts),
        "half": rng.integers(2),
        "offset": 2 * rng.integers((config.vector_columns - size) // 2 + 1),
    }


def _random_gemvs(config: Config, rng: np.random.Generator) -> list[dict[str, int]]:
    """Return the GEMVs of a tile, none beyond row, slots or vector buffer."""
    found = []
    for _ in range(rng.choice([0, 1, 1, 2, 4])):
        slots = int(rng.integers(1, config.pim.slots + 1)) if rng.random() < 0.5 else 1
        most = (
            max(1, config.memory.columns // slots) if rng.random() < 0.7 else config.memory.columns
        )
        k = int(rng.integers(1, most + 1))
        gemv = {"slots": slots, "k": k, "slot": int(rng.integers(config.pim.slots - slots + 1))}
        for step, start, size in (
            ("column_step", "column", config.memory.columns),
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


def _products(rng: np.random.Generator, gemv: dict[str, int]) -> list[dict[str, object]]:
    """Return a GEMV as one operation, or its first products and a result as single ones."""
    if rng.random() < 0.8:
        return [{"operation": PimOperation.GEMV, **gemv}]
    single = {name: gemv[name] for name in ("slot", "half")}
    products: list[dict[str, object]] = [
        {
            "operation": PimOperation.DOTPRODUCT,
            "column": gemv["column"] + step,
            "offset": gemv["offset"] + step,
            **single,
        }
        for step in range(min(gemv["k"], 8))
    ]
    if gemv["read"]:
        products.append({"operation": PimOperation.RDRESULT, **single})
    return products


def _tile(
    config: Config, rng: np.random.Generator, rows: list[int], gemvs: list[dict[str, int]]
) -> list[dict[str, object]]:
    """Return the operations of a tile; its groups open in any order, vectors may come within.

    None of those comes from a row: such a vector waits for ordinary requests, which may wait for
    the tile.
    """
    groups = sorted(
        range(config.memory.groups), key=lambda group: group % config.memory.bank_groups
    )
    if rng.random() < 0.3:
        groups = rng.permutation(config.memory.groups).tolist()
    opens, row = PimOperation.ACTIVATION, int(rng.choice(rows))
    operations: list[dict[str, object]] = [
        {"operation": opens, "group": group, "row": row} for group in groups
    ]
    for gemv in gemvs:
        if rng.random() < 0.2:
            operations.append(_gwrite(config, rng))
        operations += _products(rng, gemv)
    return [*operations, {"operation": PimOperation.PRECHARGE}]
