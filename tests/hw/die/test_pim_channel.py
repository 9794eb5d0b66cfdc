# amaranth: UnusedElaboratable=no

import numpy as np
import pytest

from hw.arith import bf16
from hw.arith.binary32 import tree_sum
from hw.die.global_vector_buffer import vector_write_latency
from hw.die.mac_unit import accumulate_golden
from hw.die.pim_channel import PimChannel
from hw.presets import TINY
from hw.protocol.commands import Command
from hw.protocol.results import result_schedule
from hw.protocol.timing import Timing

#: Results take 4 cycles, columns 2: results queue up.
NARROW = TINY.replace(rows=8, row_bytes=64, column_bytes=4)
WIDE = TINY.replace(rows=8)
T = NARROW.memory.timing


def payload(config, seed=0, nbytes=None):
    return np.random.default_rng(seed).bytes(nbytes or config.memory.burst_bytes)


def numbers(shape, seed):
    return bf16.round(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def write_vector(config, vector, half=0, start=0):
    """Return the script that puts a vector into a half, a burst every other cycle."""
    content = bf16.to_bits(vector).tobytes()
    return {
        start + 2 * n: (
            Command.PIM_GWRITE_DATA,
            {"half": half, "offset": 2 * n},
            content[n * config.memory.burst_bytes :][: config.memory.burst_bytes],
        )
        for n in range(len(content) // config.memory.burst_bytes)
    }


def rows_of_numbers(config, row, seed):
    """Return random content for one row of every bank: the cells, and the numbers."""
    x = numbers((config.memory.banks, config.memory.columns, config.mac_lanes), seed)
    return {(bank, row): bf16.to_bits(x[bank]).tobytes() for bank in range(config.memory.banks)}, x


def activate(config, row, start):
    """Return the script that opens a row for PIM in every bank group."""
    return {
        start + group: (Command.PIM_ACTIVATION, {"bank": 4 * group, "row": row}, None)
        for group in range(config.memory.groups)
    }


class Slots:
    """What the accumulators must hold."""

    def __init__(self, config):
        self.config = config
        self.clear = lambda: (
            np.zeros((config.memory.banks, config.pim.partial_sums), np.float32),
            0,
        )
        self.slots = [self.clear() for _ in range(config.pim.slots)]

    def add(self, slot, columns, vector):
        sums, count = self.slots[slot]
        sums = accumulate_golden(sums, count, columns, vector)
        self.slots[slot] = (sums, count + len(vector))

    def read(self, slot):
        sums, _count = self.slots[slot]
        self.slots[slot] = self.clear()
        return tree_sum(sums)


def issue_gemv(slots, x, vector, fields):
    """Return the results that a PIM_GEMV must give."""
    config, results = slots.config, []
    for i in range(fields["slots"]):
        columns = fields["column"] + i * fields["column_step"] + np.arange(fields["k"])
        offsets = fields["offset"] + i * fields["offset_step"] + np.arange(fields["k"])
        slot = fields["slot"] + i
        slots.add(
            slot, x[:, columns % config.memory.columns], vector[offsets % config.vector_columns]
        )
        if fields["read"]:
            results.append(slots.read(slot))
    return results


@pytest.mark.parametrize("row_buffers", [1, 2])
def test_read_has_its_data_on_the_bus_after_nCL(run_channel, row_buffers):
    config = NARROW.replace(row_buffers=row_buffers)
    row = payload(config, nbytes=config.memory.row_bytes)
    script = {
        0: (Command.ACT, {"bank": 2, "row": 5}, None),
        T.nRCD: (Command.RD, {"bank": 2, "column": 14}, None),
        T.nRCD + 2: (Command.RD, {"bank": 2, "column": 0}, None),
    }
    out = run_channel(config, script, 60, {(2, 5): row})
    start = T.nRCD + T.nCL
    assert list(out.columns) == [start, start + 1, start + 2, start + 3]
    assert out.burst(start) == row[56:64]
    assert out.burst(start + 2) == row[:8]


@pytest.mark.parametrize("row_buffers", [1, 2])
def test_write_goes_through_to_the_cells_and_is_read_back(run_channel, row_buffers):
    config = NARROW.replace(row_buffers=row_buffers)
    data = payload(config)
    script = {
        0: (Command.ACT, {"bank": 3, "row": 1}, None),
        T.nRCD: (Command.WR, {"bank": 3, "column": 6}, data),
        T.nRCD + T.nCWL + T.nBL + T.nWTRL: (Command.RD, {"bank": 3, "column": 6}, None),
    }
    out = run_channel(config, script, 60, look=[(3, 1), (2, 1)])
    assert out.burst(max(script) + T.nCL) == data
    assert out.rows[3, 1] == bytes(24) + data + bytes(32)
    assert out.rows[2, 1] == bytes(64)


def test_banks_keep_different_rows_open(run_channel):
    rows = {(bank, 2 + bank): payload(NARROW, bank, NARROW.memory.row_bytes) for bank in range(4)}
    script = {4 * b: (Command.ACT, {"bank": b, "row": 2 + b}, None) for b in range(4)}
    script |= {40 + 2 * b: (Command.RD, {"bank": b, "column": 2 * b}, None) for b in range(4)}
    out = run_channel(NARROW, script, 80, rows)
    for bank in range(4):
        assert out.burst(40 + 2 * bank + T.nCL) == rows[bank, 2 + bank][8 * bank : 8 * bank + 8]


@pytest.mark.parametrize(
    ("close", "fields"),
    [(Command.PRE, {"bank": 1}), (Command.PREA, {"bank": 0}), (Command.PIM_PRECHARGE, {})],
)
def test_precharge_closes_the_row_buffers_it_names(run_channel, close, fields):
    row = payload(NARROW, nbytes=NARROW.memory.row_bytes)
    script = {
        0: (Command.ACT, {"bank": 1, "row": 1}, None),
        34: (close, fields, None),
        40: (Command.RD, {"bank": 1, "column": 0}, None),
    }
    out = run_channel(NARROW, script, 60, {(1, 1): row})
    is_open = close is Command.PIM_PRECHARGE
    assert out.burst(40 + T.nCL) == (row[:8] if is_open else bytes(8))


def test_rda_and_wra_close_the_row_after_their_burst(run_channel):
    row, data = payload(NARROW, nbytes=NARROW.memory.row_bytes), payload(NARROW, 1)
    script = {
        0: (Command.ACT, {"bank": 0, "row": 1}, None),
        6: (Command.ACT, {"bank": 1, "row": 1}, None),
        20: (Command.RDA, {"bank": 0, "column": 2}, None),
        22: (Command.RD, {"bank": 0, "column": 2}, None),
        36: (Command.WRA, {"bank": 1, "column": 4}, data),
        50: (Command.RD, {"bank": 1, "column": 4}, None),
    }
    out = run_channel(NARROW, script, 70, {(0, 1): row}, look=[(1, 1)])
    assert out.burst(20 + T.nCL) == row[8:16]
    assert out.burst(22 + T.nCL) == bytes(8)
    assert out.rows[1, 1][16:24] == data
    assert out.burst(50 + T.nCL) == bytes(8)


def test_gwrite_of_a_row_fills_the_vector_buffer_behind_its_offset(run_channel):
    config = NARROW
    cells, x = rows_of_numbers(config, 3, seed=1)
    vector = x[2]  # the same row, of bank 2
    issue, columns = 20, config.memory.columns
    products = issue + config.memory.timing.nCL + columns - 2
    script = {0: (Command.ACT, {"bank": 2, "row": 3}, None)} | activate(config, 3, 4)
    fields = {"k": columns, "slots": 1, "read": 1, "half": 1, "offset": 4}
    script |= {
        issue: (Command.PIM_GWRITE, {"bank": 2, "half": 1, "offset": 4, "k": columns // 2}, None),
        products: (Command.PIM_GEMV, fields, None),
    }
    out = run_channel(config, script, products + 2 * columns + 60, cells)
    slots = Slots(config)
    slots.add(0, x, vector)
    start, end = result_schedule(config, 1, columns)[0]
    got = out.results(products + start, products + end)
    assert got.tolist() == slots.read(0).tolist()


def test_refresh_keeps_the_cells(run_channel):
    row = payload(NARROW, nbytes=NARROW.memory.row_bytes)
    out = run_channel(NARROW, {2: (Command.REF, {}, None)}, 10, {(0, 1): row}, look=[(0, 1)])
    assert out.rows[0, 1] == row


def test_row_open_for_pim_is_a_copy_that_goes_stale(run_channel):
    cells, x = rows_of_numbers(NARROW, 3, seed=1)
    vector = numbers((NARROW.memory.columns, NARROW.mac_lanes), 2)
    fields = {"k": 8, "slots": 1, "read": 1}
    script = write_vector(NARROW, vector) | activate(NARROW, 3, 30)
    # The controller never opens a row in both buffers; the die shows what would happen.
    script |= {
        40: (Command.ACT, {"bank": 0, "row": 3}, None),
        60: (Command.WR, {"bank": 0, "column": 0}, bytes(8)),
        80: (Command.PIM_GEMV, fields, None),
    }
    out = run_channel(NARROW, script, 140, cells, look=[(0, 3)])
    assert out.rows[0, 3][:8] == bytes(8)
    slots = Slots(NARROW)
    slots.add(0, x[:, :8], vector[:8])
    start, end = result_schedule(NARROW, 1, 8)[0]
    assert out.results(80 + start, 80 + end).tolist() == slots.read(0).tolist()


def test_ordinary_reads_go_on_beside_a_gemv(run_channel):
    cells, x = rows_of_numbers(NARROW, 3, seed=1)
    rows = {(bank, 6): payload(NARROW, bank, NARROW.memory.row_bytes) for bank in range(4)}
    vector = numbers((NARROW.memory.columns, NARROW.mac_lanes), 2)
    script = write_vector(NARROW, vector) | activate(NARROW, 3, 31)
    script |= {32 + 4 * b: (Command.ACT, {"bank": b, "row": 6}, None) for b in range(4)}
    script[60] = (Command.PIM_GEMV, {"k": 16, "slots": 1, "read": 1}, None)
    script |= {61 + 2 * n: (Command.RD, {"bank": n % 4, "column": n}, None) for n in range(0, 8, 2)}
    out = run_channel(NARROW, script, 140, cells | rows)
    for n in range(0, 8, 2):
        assert out.burst(61 + 2 * n + T.nCL) == rows[n % 4, 6][4 * n : 4 * n + 8]
    slots = Slots(NARROW)
    slots.add(0, x, vector)
    start, end = result_schedule(NARROW, 1, 16)[0]
    assert out.results(60 + start, 60 + end).tolist() == slots.read(0).tolist()


@pytest.mark.parametrize("timing", [Timing(), Timing(nCWL=5, nCL=9), Timing(nCWL=7, nCL=7)])
@pytest.mark.parametrize("from_row", [False, True])
def test_gwrite_can_be_used_after_its_latency(run_channel, timing, from_row):
    config = NARROW.replace(timing=timing)
    cells, x = rows_of_numbers(config, 3, seed=1)
    vector = numbers((2, config.mac_lanes), 3)
    content = bf16.to_bits(vector).tobytes()
    cells[2, 7] = bytes(8) + content + bytes(48)
    script = activate(config, 3, 0)
    script[1] = (Command.ACT, {"bank": 2, "row": 7}, None)
    if from_row:
        script[40] = (Command.PIM_GWRITE, {"bank": 2, "column": 2, "half": 1, "offset": 4}, None)
    else:
        script[40] = (Command.PIM_GWRITE_DATA, {"half": 1, "offset": 4}, content)
    start = 40 + vector_write_latency(config)
    fields = {"k": 2, "slots": 1, "read": 1, "half": 1, "offset": 4, "column": 5}
    script[start] = (Command.PIM_GEMV, fields, None)
    out = run_channel(config, script, 100, cells)
    slots = Slots(config)
    slots.add(0, x[:, 5:7], vector)
    window = result_schedule(config, 1, 2)[0]
    assert out.results(start + window[0], start + window[1]).tolist() == slots.read(0).tolist()
    assert list(out.columns) == list(range(start + window[0], start + window[1]))


def test_dotproducts_accumulate_until_rdresult_clears(run_channel):
    cells, x = rows_of_numbers(NARROW, 3, seed=1)
    vector = numbers((NARROW.memory.columns, NARROW.mac_lanes), 2)
    script = write_vector(NARROW, vector) | activate(NARROW, 3, 31)
    slots = Slots(NARROW)
    expected = {}
    cycle = 60
    for columns in ([3, 1, 5], [7], []):
        for column in columns:
            fields = {"slot": 6, "column": column, "offset": column + 1}
            script[cycle] = (Command.PIM_DOTPRODUCT, fields, None)
            slots.add(6, x[:, [column]], vector[[column + 1]])
            cycle += T.nCCDL
        script[cycle] = (Command.PIM_RDRESULT, {"slot": 6}, None)
        start, end = result_schedule(NARROW, 1, 1)[0]
        expected[cycle + start, cycle + end] = slots.read(6)
        cycle += 6
    out = run_channel(NARROW, script, cycle + 40, cells)
    for (start, end), result in expected.items():
        assert out.results(start, end).tobytes() == result.tobytes()


GEOMETRIES = [
    NARROW,
    NARROW.replace(row_buffers=1),
    WIDE,
    NARROW.replace(ranks=2, slots=4),
    NARROW.replace(bank_groups=2, partial_sums=4, column_bytes=8),
    NARROW.replace(column_bytes=16, row_bytes=128, rows=4),
    NARROW.replace(column_bytes=32, row_bytes=128, rows=4),
    NARROW.replace(partial_sums=1, timing=Timing(nCCDL=4)),
    NARROW.replace(slots=1, partial_sums=4, timing=Timing(nCCDL=1)),
]


@pytest.mark.parametrize("config", GEOMETRIES)
def test_random_gemvs_equal_the_golden_model_on_schedule(run_channel, config):
    rng = np.random.default_rng(5)
    cells, x = rows_of_numbers(config, 3, seed=1)
    vector = numbers((config.vector_columns, config.mac_lanes), 2)
    vector[rng.random(vector.shape) < 0.1] = 0
    script = write_vector(config, vector, half=1)
    script |= activate(config, 3, len(script) * 2)
    cycle = max(script) + T.nRCD
    slots, expected = Slots(config), {}
    turn = config.memory.timing.nTURN if config.memory.ranks > 1 else 0
    free = 0  # from when on the bus takes results
    for number in range(12):
        count = int(rng.integers(1, config.pim.slots + 1))
        k = int(rng.choice([1, 2, config.memory.columns]))
        fields = {
            "column": int(rng.integers(config.memory.columns)),
            "column_step": int(rng.integers(config.memory.columns)),
            "half": 1,
            "offset": int(rng.integers(config.vector_columns)),
            "offset_step": int(rng.integers(config.vector_columns)),
            "slot": int(rng.integers(config.pim.slots - count + 1)),
            "slots": count,
            "k": k,
            "read": int(number % 3 != 0),
        }
        windows = result_schedule(config, count, k) if fields["read"] else []
        if windows:
            cycle = max(cycle, free - windows[0][0])
            free = cycle + windows[-1][1] + turn
        script[cycle] = (Command.PIM_GEMV, fields, None)
        results = issue_gemv(slots, x, vector, fields)
        for (start, end), result in zip(windows, results, strict=bool(windows)):
            expected[cycle + start, cycle + end] = result
        cycle += count * k * config.memory.timing.nCCDL
    out = run_channel(config, script, max(free, cycle) + 40, cells)
    driven = set()
    padding = (
        -(-4 * config.memory.banks_per_rank // config.memory.column_bytes)
        * config.memory.column_bytes
        // 4
    )
    for (start, end), result in expected.items():
        got = out.results(start, end).reshape(config.memory.ranks, padding)[
            :, : config.memory.banks_per_rank
        ]
        assert got.tobytes() == result.tobytes(), f"result in cycles {start} to {end}"
        driven.update(cycle for cycle in range(start, end) if cycle in out.columns)
    assert driven == set(out.columns)


def test_any_bits_in_the_cells_equal_the_golden_model(run_channel):
    rng = np.random.default_rng(7)
    bits = rng.integers(0, 1 << 16, (4, WIDE.memory.columns, WIDE.mac_lanes), np.uint16)
    cells = {(bank, 3): bits[bank].tobytes() for bank in range(4)}
    vector = numbers((WIDE.memory.columns, WIDE.mac_lanes), 2)
    vector[rng.random(vector.shape) < 0.5] = 0
    script = write_vector(WIDE, vector) | activate(WIDE, 3, 31)
    fields = {"column": 0, "column_step": 2, "offset": 0, "offset_step": 2, "slot": 0}
    fields |= {"slots": 8, "k": 2, "read": 1}
    script[60] = (Command.PIM_GEMV, fields, None)
    out = run_channel(WIDE, script, 140, cells)
    results = issue_gemv(Slots(WIDE), bf16.from_bits(bits), vector, fields)
    for (start, end), result in zip(result_schedule(WIDE, 8, 2), results, strict=True):
        assert out.results(60 + start, 60 + end).tobytes() == result.tobytes()


@pytest.mark.parametrize(
    ("timing", "message"),
    [
        (Timing(nCWL=3), r"^nCWL must be at least 4 cycles, not 3$"),
        (Timing(nCL=6), r"^nCL must be at least 7 cycles, not 6$"),
        (Timing(nBL=4), r"^nBL must be 2 cycles, one for each column, not 4$"),
    ],
)
def test_timing_must_fit_the_pipelines(timing, message):
    with pytest.raises(ValueError, match=message):
        PimChannel(TINY.replace(timing=timing))
