"""Controller and die under random traffic: how close to each other commands come on the bus.

The least distance of every two commands, as near to each other as a line of the table says, equals
the table's gap on the grid of row and column slots, but for the pairs that :func:`unreachable`
explains. The monitor says that none comes closer.
"""

from dataclasses import replace

import numpy as np
import pytest

from hw.controller.guards import ISSUED
from hw.presets import AIM, HBM3, PAPER, TINY
from hw.protocol.commands import Command as C
from hw.protocol.commands import PimOperation
from hw.protocol.constraints import CONSTRAINTS, OPENINGS, TARGETS, Scope
from hw.protocol.results import result_cycles
from sim.channel.compiled_channel import CompiledChannel, pim_dtype, request_dtype
from sim.monitor.monitor import Monitor
from sim.trace.channel_trace import ChannelTrace

SMALL = TINY.replace(
    ranks=2, bank_groups=2, rows=16, row_bytes=64, vector_buffer_rows=2, slots=4, name="small"
)
SIZES = {Scope.BANK: 1, Scope.BANK_GROUP: 4, Scope.RANK: 8, Scope.CHANNEL: 16}
ROW_COMMANDS = {C.ACT, C.PRE, C.PREA, C.REF, C.PIM_ACTIVATION, C.PIM_PRECHARGE}
COLUMN_COMMANDS = {C.RD, C.RDA, C.WR, C.WRA}
LAGS = 90  # commands back from each that are looked at
RUNS = 400  # at most: two or three reach nearly every pair, some take luck


def config_of(preset, row_buffers):
    """Return a small device with a preset's timing, and refreshes often."""
    return SMALL.replace(
        row_buffers=row_buffers,
        partial_sums=2 if preset is PAPER else 16,  # results must come after the data of RD
        timing=replace(preset.memory.timing, nREFI=max(2000, 5 * preset.memory.timing.nRFC)),
    )


def tiles(rng, config, count):
    """Return PIM operations: tiles of all lengths, some without a GEMV, and vectors anywhere."""
    operations = []

    def vector():
        offset = 2 * int(rng.integers(config.vector_columns // 2))
        half = int(rng.integers(2))
        operations.append({"operation": PimOperation.GWRITE, "half": half, "offset": offset})

    def from_row():
        place = {"bank": int(rng.integers(config.memory.banks)), "row": int(rng.integers(2))}
        operations.append({"operation": PimOperation.GWRITE_ROW, **place, "half": 1})

    while count > 0:
        together = int(rng.integers(1, 4))
        count -= together
        for _ in range(rng.integers(5)):
            (from_row if rng.random() < 0.4 else vector)()
        if rng.random() < 0.6:
            length = int(rng.integers(80, 200))
            operations.append(
                {"operation": PimOperation.HEADER, "tiles": together, "length": length}
            )
        for _ in range(together):
            row = int(rng.integers(4))
            for group in rng.permutation(config.memory.groups).tolist():
                operations.append(
                    {"operation": PimOperation.ACTIVATION, "group": group, "row": row}
                )
            for _ in range(rng.integers(4)):
                if rng.random() < 0.3:
                    vector()
                if rng.random() < 0.3:
                    single = int(rng.choice([6, 7]))  # a product or a result
                    half = int(rng.integers(2))
                    operations.append({"operation": PimOperation(single), "half": half})
                    continue
                k = int(rng.integers(1, config.memory.columns // 2))
                operations.append(
                    {
                        "operation": PimOperation.GEMV,
                        "slots": int(rng.integers(1, 3)),
                        "k": k,
                        "column_step": int(rng.integers(2)) * k,
                        "half": int(rng.integers(2)),
                        "read": int(rng.integers(2)),
                    }
                )
            operations.append({"operation": PimOperation.PRECHARGE})
    stream = np.zeros(len(operations), pim_dtype(config))
    for entry, operation in zip(stream, operations, strict=True):
        for name, value in operation.items():
            entry[name] = value.value if name == "operation" else value
    size = len(stream)
    stream["gap"] = np.where(rng.random(size) < 0.1, rng.integers(0, 400, size), 0)
    return stream


def requests(rng, config, count):
    """Return ordinary requests, in stretches of a mix, a pace, and banks of their own."""
    stream = np.zeros(count, request_dtype(config))
    start = 0
    while start < count:
        part = stream[start : start + int(rng.integers(1, 40))]
        start += len(part)
        size = len(part)
        banks = rng.integers(config.memory.banks, size=int(rng.integers(1, 5)))
        part["bank"] = rng.choice(
            np.arange(config.memory.banks) if rng.random() < 0.3 else banks, size
        )
        part["row"] = rng.integers(int(rng.choice([1, 2, 4, 8])), size=size)
        part["column"] = 2 * rng.integers(config.memory.bursts, size=size)
        part["kind"] = rng.random(size) < rng.choice([0, 0.2, 0.5, 1.0])
        pace = rng.integers(4)
        if pace == 0:
            part["gap"] = rng.integers(0, 20, size)
        elif pace == 1:
            part["gap"][0] = rng.integers(0, 500)
    return stream


def one_row(rng, config):
    """Return reads of one row, and GWRITEs from it among them."""
    reads = np.zeros(600, request_dtype(config))
    reads["column"] = 2 * (np.arange(len(reads)) % config.memory.bursts)
    reads["gap"] = rng.integers(0, 6, len(reads))
    gwrites = np.zeros(100, pim_dtype(config))
    gwrites["operation"] = PimOperation.GWRITE_ROW.value
    gwrites["gap"] = rng.integers(5, 40, len(gwrites))
    reads["bank"] = gwrites["bank"] = rng.integers(config.memory.banks)
    return reads, gwrites


def rows_concerned(trace):
    """Return the row that each command opens or closes, -1 for others and PREA."""
    rows, open_rows, tile = [], {}, -1
    for code, bank, row in zip(trace.code.tolist(), trace.bank.tolist(), trace.row, strict=True):
        command = C(code)
        if command is C.ACT:
            open_rows[bank] = row
        elif command is C.PIM_ACTIVATION:
            tile = row
        closes = {C.PRE, C.RDA, C.WRA}
        opened = {C.ACT: row, C.PIM_ACTIVATION: row, C.PIM_PRECHARGE: tile}
        rows.append(open_rows.get(bank, -1) if command in closes else opened.get(command, -1))
    return np.array(rows)


def closest(config, records):
    """Return the least distance of each two commands, by how near to each other they are."""
    trace = ChannelTrace(config, 0, records)
    rows = rows_concerned(trace)
    sizes = np.array([SIZES[TARGETS[C(code)]] if code else 1 for code in range(16)])[trace.code]
    found = {}
    for lag in range(1, min(LAGS, len(rows))):
        a, b = slice(0, len(rows) - lag), slice(lag, None)
        distance = trace.cycle[b] - trace.cycle[a] - trace.extent[a]
        size = np.maximum(sizes[a], sizes[b])
        near = np.full(len(distance), Scope.OTHER_RANK)
        for scope in (Scope.RANK, Scope.BANK_GROUP):
            whole = np.maximum(size, SIZES[scope])
            near[trace.bank[a] // whole == trace.bank[b] // whole] = scope
        near[trace.bank[a] // size == trace.bank[b] // size] = Scope.BANK
        same_row = (near == Scope.BANK) & (rows[a] == rows[b]) & (rows[a] >= 0)
        for scopes in (near, np.where(same_row, Scope.ROW, -1)):
            key = ((trace.code[a] * 16 + trace.code[b]) * 8 + scopes)[scopes >= 0]
            apart = distance[scopes >= 0]
            order = np.lexsort((apart, key))
            keys, first = np.unique(key[order], return_index=True)
            for value, least in zip(keys.tolist(), apart[order][first].tolist(), strict=True):
                pair = C(value // 128), C(value // 8 % 16), Scope(value % 8)
                found[pair] = min(found.get(pair, least), least)
    return found


def gap(config, first, later, near):
    """Return the cycles that the table puts between two commands."""
    gaps = [1]
    for line in CONSTRAINTS:
        applies = near <= line.scope <= Scope.CHANNEL
        if near is Scope.OTHER_RANK:
            applies = line.scope in (Scope.OTHER_RANK, Scope.CHANNEL)
        applies &= line.window == 1 and config.pim.row_buffers in line.row_buffers
        if applies and first in line.first and later in line.later:
            gaps.append(line.gap(config.memory.timing))
    return max(gaps)


def edge(config, first, later, cycles):
    """Return a gap on the grid: row commands in even cycles, column commands in odd ones."""
    if first is C.PIM_GEMV and config.memory.timing.nCCDL % 2:
        return cycles  # its last column is anywhere
    apart = (first in ROW_COMMANDS) != (later in ROW_COMMANDS)
    return cycles + (cycles + apart) % 2


def edges(config):
    """Return the least distance of every two commands that the table keeps apart."""
    for first in ISSUED:
        for later in ISSUED:
            widest = max(TARGETS[first], TARGETS[later])
            scopes = [s for s in (Scope.BANK_GROUP, Scope.RANK) if s > widest]
            scopes += [Scope.OTHER_RANK] if widest <= Scope.RANK else []
            by_row = gap(config, first, later, Scope.ROW) > gap(config, first, later, Scope.BANK)
            for near in [*([Scope.ROW] if by_row else []), Scope.BANK, *scopes]:
                cycles = gap(config, first, later, near)
                if cycles > 1:
                    yield first, later, near, edge(config, first, later, cycles)


def unreachable(config, first, later, near):
    """Return why two commands never come as close as the table allows, or None."""
    openings = OPENINGS.get(first, 0) + OPENINGS.get(later, 0)
    if (
        openings > 4
        and near > Scope.ROW
        and gap(config, first, later, near) < config.memory.timing.nFAW
    ):
        return "a PIM_ACTIVATION fills the four-activate window"
    closed = first in (C.PRE, C.RDA, C.WRA) and near is Scope.BANK
    if closed and later in {C.PRE, C.PIM_GWRITE, *COLUMN_COMMANDS}:
        return "the bank is closed: an ACT comes between"
    if first is C.PIM_GWRITE and later in (C.WR, C.WRA) and near is Scope.BANK:
        return "no write to its row is accepted before it is done"
    if first is C.PIM_GWRITE and later in (C.PIM_GEMV, C.PIM_DOTPRODUCT):
        return "a product needs a tile, which begins after it"
    results = result_cycles(config) + config.memory.timing.nTURN
    if first is C.PIM_RDRESULT and later is C.PIM_RDRESULT and results > config.memory.timing.nCCDL:
        return "the result of the first has the data bus"
    if first is C.PREA and config.pim.row_buffers == 2 and later is not C.REF:
        return "PREA is the refresh's, and REF follows"
    if first is C.PREA and later is not C.PIM_ACTIVATION:
        return "PREA is the refresh's or the tile's, and REF or PIM_ACTIVATION follows"
    if first in (C.ACT, C.PIM_ACTIVATION) and config.pim.row_buffers == 1 and openings > 4:
        return "the other takes the banks only when all of them are closed"
    if first is C.PRE and later is C.PIM_ACTIVATION and config.pim.row_buffers == 1:
        return "PRE is for a request, whose ACT follows; a tile closes rows by PREA"
    if first is C.PRE and later is C.PREA and near is Scope.BANK:
        return "a rank's PRE and PREA are two decisions apart"
    rest = config.memory.timing.row_cycle - config.memory.timing.nRAS
    if first is C.PIM_PRECHARGE and later is C.ACT and rest > config.memory.timing.nRP:
        return "the row of a tile rests nRC - nRAS, whenever its last bank was opened"
    closes = config.memory.timing.nRAS + config.memory.timing.nRAS % 2  # row commands: even cycles
    of_tile = first is C.PIM_ACTIVATION and later is C.ACT and near is Scope.ROW
    if of_tile and closes + rest > gap(config, first, later, near):
        return "a tile closes in an even cycle, and its row rests nRC - nRAS from there"
    return None


@pytest.mark.parametrize(
    ("preset", "row_buffers"),
    [
        (PAPER, 2),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in ((PAPER, 1), (HBM3, 2), (HBM3, 1), (AIM, 2), (AIM, 1))
        ),
    ],
)
def test_commands_come_as_close_as_the_table_allows_and_no_closer(preset, row_buffers):
    config = config_of(preset, row_buffers)
    channel, monitor = CompiledChannel(config), Monitor(config)
    rng = np.random.default_rng(5)
    seen = {}
    for run in range(RUNS):
        channel.reset()
        ordinary, pim = ((3000, 300), (0, 0), (3000, 300), (3000, 1), (10, 300))[run % 5]
        streams = requests(rng, config, ordinary), tiles(rng, config, pim)
        log = channel.run(*(streams if ordinary else one_row(rng, config)))
        assert monitor.check(log.trace, end=log.cycles) == []
        for pair, least in closest(config, log.trace).items():
            seen[pair] = min(seen.get(pair, least), least)
        missed = [
            (first.name, later.name, near.name, cycles, seen.get((first, later, near)))
            for first, later, near, cycles in edges(config)
            if seen.get((first, later, near)) != cycles
            and unreachable(config, first, later, near) is None
        ]
        if not missed:
            break
    assert missed == []
