"""Bounds of the units: by hand, and beside what the RTL of ``tiny`` does."""

import numpy as np
import pytest

from hw.presets import PAPER, TINY
from hw.program.assembly import assemble
from hw.program.instruction_set import Opcode, Queue, queue_name
from hw.protocol.commands import Command
from scheduler.compiler.iteration_program import Schedule
from scheduler.models.catalog import CATALOG
from scheduler.models.shape import ModelShape
from sim.devices.compiled_device import RtlDevice
from sim.unit_bounds import Unit, binding_unit, counted_work, unit_bounds
from tests.hw.npu.program_generator import channel_contents, random_program

#: Narrow, so that GEMMs are short: at long contexts its tiles bind, at short ones its vectors.
NARROW = ModelShape(
    layers=2, d_model=16, heads=4, kv_heads=4, d_head=16, d_ffn=16, vocabulary=64, context=128
)
GPT = CATALOG["tiny-gpt"].shape
BOTH = (Schedule.HEADS, Schedule.INTERLEAVED)
CASES = [
    pytest.param(GPT, 15, Unit.ARRAYS, id="GEMMs bind"),
    pytest.param(NARROW, 127, Unit.PIM, id="tiles bind"),
    pytest.param(NARROW, 15, Unit.VECTOR_UNITS, id="vectors bind"),
]


def program(*lines, channels=2):
    ends = [f"{queue_name(queue)} END" for queue in range(Queue.PIM + channels)]
    return assemble("\n".join([f".channels {channels}", *lines, *ends]))


def bound(unit, *lines, config=TINY):
    return unit_bounds(config, program(*lines, channels=config.memory.channels))[unit]


def test_a_gemm_of_few_rows_holds_the_arrays_as_long_as_one_of_five():
    def pieces(rows):
        found = bound(Unit.ARRAYS, *["matrix WEIGHTS", f"matrix GEMM rows={rows}"] * 3).pieces
        return [(piece.count, piece.cycles, piece.reason) for piece in found]

    accumulators = "as 5 rows would, since the accumulators take the same row again only after 5"
    assert pieces(1) == [(3, 5, accumulators)]
    assert pieces(4) == [(3, 5, accumulators)]
    assert pieces(5) == [(3, 5, "")]
    assert pieces(8) == [(3, 8, "")]


def test_weights_of_a_tall_array_are_loaded_for_longer_than_few_rows_take():
    tall = TINY.replace(array_rows=16, array_columns=4)
    (piece,) = bound(Unit.ARRAYS, "matrix WEIGHTS", "matrix GEMM rows=8", config=tall).pieces
    assert piece.cycles == 16
    assert piece.reason == "as 16 rows would, since the loading of its weights takes 16"


def test_gemms_of_several_heights_are_told_apart():
    lines = [
        "matrix GEMM rows=8",
        "matrix GEMM rows=2",
        "matrix GEMM rows=8",
        "matrix DRAIN rows=8",
    ]
    found = bound(Unit.ARRAYS, *lines)
    assert [(p.what, p.count) for p in found.pieces] == [
        ("weight tiles for 2 rows", 1),
        ("weight tiles for 8 rows", 2),
    ]
    assert found.cycles == 5 + 2 * 8


def test_transfers_hold_the_data_bus_of_the_channels_that_they_are_for():
    lines = [
        "load LOAD bursts=3 rows=5",
        "tail LOAD bursts=7 rows=2 lanes=1",
        "tail LOAD_PAGES bursts=2 rows=3 pages=4 lanes=2",
        "store STORE bursts=11 rows=1 lanes=3",
        "pim[0] VECTOR bursts=2 rows=6",
        "pim[0] GEMV tiles=3 length=200 gemvs=2 k=1 slots=4 read=1",
        "pim[1] GEMV tiles=3 length=200 gemvs=2 k=1 slots=4 read=2",
        "pim[1] GEMV tiles=3 length=200 gemvs=2 k=1 slots=4 read=0",
    ]
    first = 2 * (15 + 14 + 11 + 12) + 2 * 3 * 2 * 4  # a burst two cycles, a result 16 of 8 B each
    second = 2 * (15 + 24 + 11) + 2 * 1 * 2 * 4
    assert bound(Unit.DATA_BUS, *lines).cycles == first
    assert counted_work(TINY, program(*lines))["bus_busy"] == first + second


def test_every_rank_drives_its_part_of_a_result():
    line = "pim[0] GEMV tiles=3 length=200 gemvs=2 k=1 slots=4 read=1"
    part = 4 * 16 // 32  # cycles: 4 bytes a bank, 16 banks a rank, 32 bytes a cycle
    assert bound(Unit.DATA_BUS, line, config=PAPER).cycles == 3 * 2 * 4 * 2 * part


def test_every_other_cycle_of_the_command_bus_is_for_columns():
    lines = ["load LOAD bursts=3 rows=5", "pim[1] GEMV tiles=3 length=200 gemvs=2 k=5 slots=4"]
    assert bound(Unit.COMMAND_BUS, *lines).cycles == 2 * (15 + 6)
    separate = TINY.replace(pim_commands="separate")
    products = 3 * 2 * 5 * 4
    assert bound(Unit.COMMAND_BUS, *lines, config=separate).cycles == 2 * (15 + products)
    lines[1] += " read=1"
    results = 3 * 2 * 4
    assert bound(Unit.COMMAND_BUS, *lines, config=separate).cycles == 2 * (15 + products + results)


def test_rows_bind_the_command_bus_where_tiles_have_few_columns():
    line = "pim[0] GEMV tiles=100 length=200 gemvs=1 k=1 slots=1"
    wide = TINY.replace(channels=2, bank_groups=4)
    assert bound(Unit.COMMAND_BUS, line, config=wide).cycles == 100 * 2 * (4 + 1)


def test_a_tile_takes_what_its_columns_do():
    line = "pim[5] GEMV tiles=10 length=200 gemvs=4 k=8 slots=1"
    assert bound(Unit.PIM, line, config=PAPER).cycles == 10 * 190  # of 32 columns, see its doctest


def test_a_vector_instruction_gives_way_when_the_next_one_overlaps():
    # rows × slots to issue, 7 more until it is done: the doctests of hw.npu.vector.cycles
    add = "epilogue ELEMENTWISE function=1 rows=4 n=64"
    assert bound(Unit.VECTOR_UNITS, add).cycles == 71
    assert bound(Unit.VECTOR_UNITS, add, add).cycles == 71 + 71
    assert bound(Unit.VECTOR_UNITS, add, add + " overlap=1").cycles == 64 + 71
    other = "epilogue ELEMENTWISE function=0 rows=4 n=64 overlap=1"
    assert (
        bound(Unit.VECTOR_UNITS, add, other).cycles == 71 + bound(Unit.VECTOR_UNITS, other).cycles
    )


def test_no_transposition_gives_way():
    line = "attention TRANSPOSE rows=8 n=16 overlap=1"
    assert bound(Unit.VECTOR_UNITS, line, line).cycles == 2 * bound(Unit.VECTOR_UNITS, line).cycles


@pytest.mark.parametrize(("shape", "position", "binds"), CASES)
def test_the_unit_with_the_largest_bound_binds(run_iteration, shape, position, binds):
    for schedule in BOTH:
        work, _result = run_iteration(shape, schedule, position)
        assert binding_unit(unit_bounds(TINY, work)) is binds


@pytest.mark.parametrize(("shape", "position", "binds"), CASES)
@pytest.mark.parametrize("schedule", BOTH)
def test_the_device_counts_the_work_of_the_program(run_iteration, schedule, shape, position, binds):
    work, result = run_iteration(shape, schedule, position)
    expected = counted_work(TINY, work)  # without its trace: no read was answered early
    assert {name: result.counters[name] for name in expected} == expected


def tile_times(trace, channel):
    """Return from each tile's first activation to its end, its row buffers at rest again."""
    mine = trace[trace["channel"] == channel]
    starts = mine[mine["command"] == Command.PIM_ACTIVATION.value]["cycle"]
    ends = mine[mine["command"] == Command.PIM_PRECHARGE.value]["cycle"]
    return ends - starts + TINY.memory.timing.nRP


COLUMNS = [c.value for c in (Command.RD, Command.RDA, Command.WR, Command.WRA)]
COLUMNS += [Command.PIM_GWRITE_DATA.value, Command.PIM_GEMV.value]


@pytest.mark.parametrize(("shape", "position", "binds"), CASES)
@pytest.mark.parametrize("schedule", BOTH)
def test_bounds_beside_what_the_device_does(run_iteration, schedule, shape, position, binds):
    work, result = run_iteration(shape, schedule, position)
    bounds = {unit: found.cycles for unit, found in unit_bounds(TINY, work).items()}
    channels = range(TINY.memory.channels)
    assert max(bounds.values()) < result.cycles

    # a GEMM keeps the next one from its start, at least for as long as the formula says
    opcodes = work.streams[Queue.MATRIX]["opcode"]
    gemms = result.starts[Queue.MATRIX][opcodes == Opcode.GEMM].astype(int)
    steps = np.diff(gemms)
    each = bounds[Unit.ARRAYS] / len(gemms)
    assert np.bincount(steps).argmax() == each  # nearly all follow at once
    assert bounds[Unit.ARRAYS] - each <= gemms[-1] - gemms[0]

    assert 0.98 * result.counters["vector_busy"] <= bounds[Unit.VECTOR_UNITS]
    assert bounds[Unit.VECTOR_UNITS] <= result.counters["vector_busy"]

    tiles = max(int(tile_times(result.trace, channel).sum()) for channel in channels)
    assert 0.98 * tiles <= bounds[Unit.PIM] <= tiles

    columns = result.trace[np.isin(result.trace["command"], COLUMNS)]
    most = max(int((columns["channel"] == channel).sum()) for channel in channels)
    assert bounds[Unit.COMMAND_BUS] == 2 * most


def test_bounds_are_close_where_a_unit_binds(run_iteration):
    for shape, position, unit in ((GPT, 15, Unit.ARRAYS), (NARROW, 127, Unit.PIM)):
        work, result = run_iteration(shape, Schedule.INTERLEAVED, position)
        assert unit_bounds(TINY, work)[unit].cycles > 0.8 * result.cycles


def test_random_programs_take_no_less_and_count_that_work():
    device = RtlDevice(TINY)
    forwarded = 0
    for seed in range(12):
        rng = np.random.default_rng([seed, 60])
        contents = channel_contents(TINY, rng)
        work = random_program(TINY, rng, 60)
        device.reset()
        for channel, content in enumerate(contents):
            device.write(channel, 0, content)
        result = device.run(work)
        bounds = {unit: found.cycles for unit, found in unit_bounds(TINY, work).items()}
        assert max(bounds.values()) <= result.cycles, seed
        assert bounds[Unit.VECTOR_UNITS] <= result.counters["vector_busy"], seed
        expected = counted_work(TINY, work, result.trace)
        assert {name: result.counters[name] for name in expected} == expected, seed
        forwarded += counted_work(TINY, work) != expected
    assert forwarded
