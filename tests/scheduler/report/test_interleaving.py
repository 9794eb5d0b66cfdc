"""The explanation of what interleaving wins, from iterations that ran and from programs by hand."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from rich.console import Console

from hw.presets import TINY
from hw.program.assembly import assemble
from hw.program.instruction_set import Queue, queue_name
from scheduler.compiler.iteration_program import Schedule
from scheduler.models.catalog import CATALOG
from scheduler.models.shape import ModelShape
from scheduler.report.interleaving import compare_interleaving

#: Narrow, so that tiles take longer than GEMMs.
NARROW = ModelShape(
    layers=2, d_model=16, heads=4, kv_heads=4, d_head=16, d_ffn=16, vocabulary=64, context=128
)


def outcome(schedule, program, result, config=TINY):
    return SimpleNamespace(
        variant=SimpleNamespace(schedule=schedule),
        config=config,
        snapshot=SimpleNamespace(program=program, result=result),
        cycles=10 * result.cycles,
    )


@pytest.fixture
def compare(run_iteration):
    def run(shape, position, config=TINY):
        return compare_interleaving(
            [
                outcome(schedule, *run_iteration(shape, schedule, position, config), config)
                for schedule in (Schedule.HEADS, Schedule.INTERLEAVED)
            ]
        )

    return run


def work(matrix_busy, bus_busy):
    return {"matrix_busy": matrix_busy, "pim_columns": 0, "bus_busy": bus_busy}


def by_hand(schedule, lines, cycles, counters, config=TINY):
    ends = [f"{queue_name(queue)} END" for queue in range(Queue.PIM + config.memory.channels)]
    program = assemble("\n".join([f".channels {config.memory.channels}", *lines, *ends]))
    return outcome(
        schedule, program, SimpleNamespace(cycles=cycles, counters=counters, trace=None), config
    )


def test_gemms_of_half_the_rows_are_why_interleaving_loses(compare):
    found = compare(CATALOG["tiny-gpt"].shape, 15)
    one, two = found.without, found.interleaved
    # by hand: 64 × 192 + 64 × 64 + 2 × 64 × 256 weights a layer and 64 × 256 of the head,
    # 16 a tile; 8 rows take 8 cycles, 4 rows take 5
    tiles = (2 * (64 * 192 + 64 * 64 + 2 * 64 * 256) + 64 * 256) // 16
    assert one.cycles < two.cycles
    assert (
        f"Interleaving does not win at this size: the run takes {10 * two.cycles:,} cycles instead "
        f"of {10 * one.cycles:,}. In the largest iteration, with and without it, the systolic "
        f"arrays bind, held for at least {2 * tiles * 5:,} cycles instead of {tiles * 8:,}: "
        f"{2 * tiles:,} weight tiles for 4 rows at 5 cycles (as 5 rows would, since the "
        "accumulators take the same row again only after 5), instead of "
        f"{tiles:,} weight tiles for 8 rows at 8 cycles. Beyond its bound the iteration takes "
        f"{two.cycles - 10 * tiles:,} cycles with interleaving, {one.cycles - 8 * tiles:,} without"
    ) in found.text()
    assert "counters of rows, columns and bus cycles agree" in found.text()


def test_where_tiles_bind_the_explanation_names_them(compare):
    found = compare(NARROW, 127)
    text = found.text()
    assert found.interleaved.cycles < found.without.cycles
    assert "Interleaving wins: " in text
    assert "In the largest iteration, with and without it, PIM binds, held for at least" in text
    assert "weight tiles" not in text
    # by hand: a tile of K is 4 tokens of all heads, one of V is 8 tokens of two heads, and the last
    # 8 tokens are V's tail; two layers, four requests a channel
    tiles = 2 * 4 * (128 // 4 + 120 // 8 * 2)
    assert f"{tiles} tiles at" in text


@pytest.mark.slow
def test_on_a_larger_array_the_weights_are_why_interleaving_loses(compare):
    found = compare(CATALOG["tiny-gpt"].shape, 15, TINY.replace(array_rows=8, array_columns=8))
    text = found.text()
    assert found.without.cycles < found.interleaved.cycles
    # by hand: matrices as above, in bursts of 16 bytes over two channels
    bursts = (2 * (64 * 192 + 64 * 64 + 2 * 64 * 256) + 64 * 256) * 2 // 16 // 2
    assert "the data bus binds, held for at least" in text
    assert f": {2 * bursts:,} bursts of weights at 2 cycles, instead of {bursts:,} bursts" in text
    assert found.interleaved.bound > 0.8 * found.interleaved.cycles


def test_weights_that_are_streamed_twice_are_named_where_the_data_bus_binds():
    once = ["matrix GEMM rows=8", "load LOAD bursts=100 rows=2"]
    twice = ["matrix GEMM rows=4", "matrix GEMM rows=4", *["load LOAD bursts=100 rows=2"] * 2]
    twice.insert(0, '.label 1 0 0 "FFN1"')
    store = "store STORE bursts=10 rows=1 lanes=1"
    counters, doubled = work(8, 2 * 400 + 20), work(8, 2 * 800 + 20)
    found = compare_interleaving(
        [
            by_hand(Schedule.INTERLEAVED, [*twice, store], 900, doubled),
            by_hand(Schedule.HEADS, [*once, store], 500, counters),
        ]
    )
    assert found.text() == (
        "Interleaving does not win at this size: the run takes 9,000 cycles instead of 5,000. In "
        "the largest iteration, with and without it, the data bus binds, held for at least 820 "
        "cycles instead of 420: 400 bursts of weights at 2 cycles, instead of 200 bursts of "
        "weights at 2 cycles. Beyond its bound the iteration takes 80 cycles with interleaving, 80 "
        "without: in all 900 instead of 500. The device's counters of rows, columns and bus cycles "
        "agree with that work."
    )


def test_two_units_that_bind_are_both_named():
    gemms = ["matrix GEMM rows=8"] * 10
    busy = ["load LOAD bursts=100 rows=1", '.label 1 0 0 "FFN1"']
    found = compare_interleaving(
        [
            by_hand(Schedule.HEADS, gemms, 100, work(80, 0)),
            by_hand(
                Schedule.INTERLEAVED,
                [*gemms, *busy],
                220,
                work(80, 400),
            ),
        ]
    )
    assert (
        "In the largest iteration without it the systolic arrays bind, held for at least 80 "
        "cycles: 10 weight tiles for 8 rows at 8 cycles. With it the data bus binds, held for at "
        "least 200 cycles: 100 bursts of weights at 2 cycles."
    ) in found.text()


def test_a_batch_that_is_never_split_is_said_to_be_whole():
    counters = work(8, 0)
    found = compare_interleaving(
        [
            by_hand(schedule, ["matrix GEMM rows=8"], 30, counters)
            for schedule in (Schedule.HEADS, Schedule.INTERLEAVED)
        ]
    )
    assert "No iteration had enough requests to be split in two." in found.text()
    assert "held for at least 8 cycles either way: 1 weight tiles for 8 rows" in found.text()


def test_counters_that_contradict_the_program_are_reported(compare, run_iteration):
    found = compare(NARROW, 15)
    assert "But" not in found.text()
    program, result = run_iteration(NARROW, Schedule.HEADS, 15)
    counters = {**result.counters, "bus_busy": result.counters["bus_busy"] - 1}
    wrong = outcome(Schedule.HEADS, program, replace(result, counters=counters))
    right = outcome(Schedule.INTERLEAVED, *run_iteration(NARROW, Schedule.INTERLEAVED, 15))
    text = compare_interleaving([wrong, right]).text()
    assert f"counter bus_busy says {counters['bus_busy']:,}, and the program" in text
    assert "agree" not in text


def test_the_table_has_every_unit_with_its_share(compare):
    found = compare(CATALOG["tiny-gpt"].shape, 15)
    console = Console(width=110)
    with console.capture() as capture:
        console.print(found.table())
    rows = [
        [cell.strip() for cell in line.split("│")[1:-1]]
        for line in capture.get().splitlines()
        if line.startswith("│")
    ]
    one, two = found.without.cycles, found.interleaved.cycles
    assert rows[0] == [
        "systolic arrays",
        *("57,344", f"{57344 / one:.1%}", "71,680", f"{71680 / two:.1%}"),
    ]
    assert [row[0] for row in rows[1:-1]] == ["vector units", "PIM", "data bus", "C/A bus"]
    assert rows[-1] == ["the iteration took", f"{one:,}", "", f"{two:,}", ""]


@pytest.mark.parametrize("missing", [Schedule.HEADS, Schedule.INTERLEAVED])
def test_one_of_the_two_alone_is_not_compared(missing):
    counters = work(8, 0)
    other = {Schedule.HEADS: Schedule.INTERLEAVED, Schedule.INTERLEAVED: Schedule.HEADS}[missing]
    whole = by_hand(other, ["matrix GEMM rows=8"], 30, counters)
    assert compare_interleaving([whole]) is None
    empty = by_hand(missing, [], 30, counters)
    empty.snapshot = None
    assert compare_interleaving([whole, empty]) is None
