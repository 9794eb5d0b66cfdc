from dataclasses import replace

import numpy as np
import pytest

from hw.controller.refresh import longest_tile
from hw.controller.response_bound import oldest_request_cycles
from hw.presets import TINY
from hw.protocol.commands import Command, PimOperation, Request

#: Refreshes every few tiles, and banks that are few enough to collide.
BUSY = TINY.replace(timing=replace(TINY.memory.timing, nREFI=600, nRFC=60))
RANKS = BUSY.replace(ranks=2, bank_groups=2)
BLOCKED = BUSY.replace(row_buffers=1)
SUBARRAYS = BUSY.replace(subarrays=256)
SEPARATE = RANKS.replace(pim_commands="separate", gwrite="row")


def read(bank, row, column, tag=0):
    return {"kind": Request.READ, "bank": bank, "row": row, "column": column, "tag": tag, "data": 0}


def write(bank, row, column, data, tag=0):
    return {**read(bank, row, column, tag), "kind": Request.WRITE, "data": data}


def vector(half, offset, data=0):
    operation = PimOperation.GWRITE
    return {"operation": operation, "half": half, "offset": offset, "data": data}


def header(tiles, length):
    return {"operation": PimOperation.HEADER, "tiles": tiles, "length": length}


def tile(config, row, gemvs=1, slots=1, k=1, read=1, half=0):
    groups = sorted(
        range(config.memory.groups), key=lambda group: group % config.memory.bank_groups
    )
    fields = {"slots": slots, "k": k, "read": read, "half": half, "column_step": k}
    return [
        *({"operation": PimOperation.ACTIVATION, "group": g, "row": row} for g in groups),
        *[{"operation": PimOperation.GEMV, **fields}] * gemvs,
        {"operation": PimOperation.PRECHARGE},
    ]


READS = (Command.RD, Command.RDA)
WRITES = (Command.WR, Command.WRA)


def cycles_of(outcome, *commands):
    trace = outcome.trace
    chosen = np.isin(trace["command"], [command.value for command in commands])
    return trace["cycle"][chosen].astype(int).tolist()


def sequential_reads(config, rows):
    return [
        read(
            bank, row, 2 * burst, (row * config.memory.banks + bank) * config.memory.bursts + burst
        )
        for row in range(rows)
        for bank in range(config.memory.banks)
        for burst in range(config.memory.bursts)
    ]


def random_traffic(config, seed, requests=120, tiles=6, rows=3):
    """Return requests, PIM operations, what the reads see, the cells, and the slots read."""
    rng = np.random.default_rng(seed)
    flat, answers, ordinary, pim, slots_read = {}, {}, [], [], []
    for tag in range(requests):
        place = tuple(
            int(rng.integers(n)) for n in (config.memory.banks, rows, config.memory.bursts)
        )
        place = (*place[:2], 2 * place[2])
        if rng.random() < 0.5:
            ordinary.append(read(*place, tag))
            answers[tag] = flat.get(place, 0)
        else:
            flat[place] = int.from_bytes(rng.bytes(config.memory.burst_bytes), "little")
            ordinary.append(write(*place, flat[place], tag))
        if rng.random() < 0.1:
            ordinary.append(int(rng.choice([1, 20, 150])))
    for _ in range(tiles):
        if rng.random() < 0.3:
            pim.append(int(rng.choice([5, 300])))
        if rng.random() < 0.4:
            place = {"bank": int(rng.integers(config.memory.banks)), "row": int(rng.integers(rows))}
            pim.append({"operation": PimOperation.GWRITE_ROW, "half": 1, **place})
        pim += [vector(int(rng.integers(2)), 2 * i, i) for i in range(rng.integers(4))]
        if rng.random() < 0.7:
            pim.append(header(1, int(rng.integers(60, 200))))
        slots = int(rng.choice([1, 2, 4]))
        k, gemvs = int(rng.integers(1, config.memory.columns // slots + 1)), int(rng.integers(1, 4))
        row, half, readout = int(rng.integers(rows)), int(rng.integers(2)), int(rng.integers(2))
        pim += tile(config, row, gemvs, slots, k, readout, half)
        slots_read += list(range(slots)) * gemvs * readout
    return ordinary, pim, answers, flat, slots_read


@pytest.mark.parametrize("nCL", [7, 14])
def test_answer_leaves_one_cycle_after_the_second_column_of_its_RD(drive, nCL):
    config = TINY.replace(timing=replace(TINY.memory.timing, nCL=nCL))
    requests = [read(0, 3, 2, tag=5), read(0, 3, 8, tag=6), 100, read(2, 1, 0, tag=7)]
    outcome = drive(config, requests)
    on_the_bus = cycles_of(outcome, *READS)
    # The column of cycle t + nCL is the first, and t + nCL + 1 the second.
    assert [outcome.served[tag] for tag in (5, 6, 7)] == [t + nCL + 2 for t in on_the_bus]


def test_write_is_reported_while_its_WR_is_on_the_bus(drive):
    outcome = drive(TINY, [write(0, 3, 2, 1, tag=5), 100, write(1, 3, 2, 1, tag=6)])
    assert [outcome.served[tag] for tag in (5, 6)] == cycles_of(outcome, *WRITES)


@pytest.mark.parametrize("config", [BUSY, BLOCKED, RANKS, SUBARRAYS, SEPARATE])
@pytest.mark.parametrize("seed", [1, 2])
def test_random_traffic_sees_a_flat_memory_and_breaks_no_rule(drive, config, seed):
    ordinary, pim, answers, flat, slots_read = random_traffic(config, seed)
    outcome = drive(config, ordinary, pim)
    assert outcome.answers == answers
    assert {place: outcome.cells[place] for place in flat} == flat
    assert [result >> 8 & 0xFF for result in outcome.results[:: config.result_bursts]] == slots_read


def test_sequential_reads_keep_the_data_bus_busy(drive):
    requests = sequential_reads(TINY, 6)
    outcome = drive(TINY, requests)
    issues = cycles_of(outcome, *READS)
    assert len(issues) * TINY.memory.timing.nBL / (issues[-1] - issues[0]) > 0.9


def test_sequential_reads_go_on_beside_tiles(drive):
    requests = sequential_reads(RANKS, 3)
    length = 138
    pim = [header(4, length)]
    for row in range(4):
        pim += tile(RANKS, 100 + row, 2, 2, 16, half=row & 1)
    alone = drive(RANKS, [], pim)
    together = drive(RANKS, requests, pim)
    blocked = drive(RANKS.replace(row_buffers=1), requests, pim)
    assert together.tiles[-1] < 1.2 * alone.tiles[-1]
    assert together.cycles < 0.8 * blocked.cycles


def test_tiles_follow_each_other_as_fast_as_timing_allows(drive):
    t = TINY.memory.timing
    pim = [header(6, 100)]
    for row in range(6):
        pim += tile(TINY, row, 2, 2, 8)
    outcome = drive(TINY, [], pim)
    starts = cycles_of(outcome, Command.PIM_ACTIVATION)
    columns = 2 * 2 * 8
    shortest = t.nRCD + (columns - 1) * t.nCCDL + t.nRTPL + t.nRP
    periods = np.diff(starts)
    assert periods.max() <= shortest + 3, periods


def test_columns_of_consecutive_gemvs_follow_without_a_bubble(drive):
    outcome = drive(TINY, [], tile(TINY, 1, gemvs=4, slots=2, k=8))
    assert set(np.diff(cycles_of(outcome, Command.PIM_GEMV))) == {2 * 8 * TINY.memory.timing.nCCDL}


def test_run_that_another_row_of_its_bank_waits_for_ends_in_the_a_form(drive):
    requests = [write(1, 2, 0, 7, 0), write(1, 2, 2, 8, 1), write(1, 3, 0, 9, 2)]
    requests += [60, read(2, 5, 0, 3), read(2, 5, 2, 4), read(2, 6, 0, 5)]
    outcome = drive(TINY, requests)
    for plain, closing in (WRITES, READS):
        (ending,) = cycles_of(outcome, closing)
        assert cycles_of(outcome, plain)[0] < ending < cycles_of(outcome, plain)[1]
    assert cycles_of(outcome, Command.PRE, Command.PREA) == []


def test_row_stays_open_while_a_run_of_either_kind_wants_it(drive):
    requests = [read(1, 2, 0, 0), write(1, 2, 8, 3, 1), read(1, 3, 0, 2)]
    outcome = drive(TINY, requests)
    assert cycles_of(outcome, Command.RD)[0] == cycles_of(outcome, *READS)[0]


def test_last_burst_of_a_row_closes_it(drive):
    config = TINY
    outcome = drive(config, [read(0, 4, 2 * i, i) for i in range(config.memory.bursts)])
    (closing,) = cycles_of(outcome, Command.RDA)
    assert closing == max(cycles_of(outcome, *READS))


def test_read_after_accepted_write_returns_the_new_data(drive):
    requests = []
    for i in range(8):
        requests += [write(1, 5, 2, 100 + i, 2 * i), read(1, 5, 2, 2 * i + 1)]
    outcome = drive(TINY, requests)
    assert outcome.answers == {2 * i + 1: 100 + i for i in range(8)}


def test_read_of_a_pending_write_is_forwarded_without_a_command(drive):
    # Reads keep the writes waiting; the second write to the address is the one that counts.
    pending = [write(1, 5, 2, 7, 100), write(1, 5, 4, 8, 101), write(1, 5, 2, 9, 102)]
    others = [read(0, 4, 2 * (i % 8), i) for i in range(40)]
    forwarded = [read(1, 5, 4, 103), read(1, 5, 2, 104)]
    outcome = drive(TINY, [others[0], *pending, *forwarded, *others[1:]])
    assert (outcome.answers[103], outcome.answers[104]) == (8, 9)
    for tag in (103, 104):
        assert 2 <= outcome.served[tag] - outcome.accepted[tag] <= 3
        assert all(outcome.served[tag] < outcome.served[write] for write in (100, 101, 102))
    assert len(cycles_of(outcome, *READS)) == len(others)


def test_forwarded_answers_take_turns_with_those_of_the_bus(drive):
    requests = [write(1, 5, 2 * i, 200 + i, 200 + i) for i in range(4)]
    for i in range(60):
        requests += [read(0, 4 + i // 8, 2 * (i % 8), i), read(1, 5, 2 * (i % 4), 100 + i)]
    outcome = drive(TINY, requests)
    for i in range(60):
        assert outcome.answers[100 + i] == 200 + i % 4
        assert i in outcome.answers


def test_tile_forces_the_drain_of_an_earlier_write_to_its_row(drive):
    reads = [read(0, 0, 2 * (i % 8), i) for i in range(200)]
    outcome = drive(TINY, [write(2, 7, 0, 1, 1000), *reads], [20, *tile(TINY, 7)])
    (written,), (started,) = (
        cycles_of(outcome, *WRITES),
        cycles_of(outcome, Command.PIM_ACTIVATION),
    )
    assert written < started < cycles_of(outcome, *READS)[-1]


def test_request_to_the_row_of_a_tile_waits_for_its_end(drive):
    pim = tile(TINY, 3, gemvs=4, slots=2, k=8)
    outcome = drive(TINY, [60, read(0, 3, 0, 1), read(1, 4, 0, 2)], pim)
    assert outcome.served[1] > outcome.tiles[0] + TINY.memory.timing.nRP
    assert outcome.served[2] < outcome.tiles[0]


def test_request_to_the_row_of_a_tile_goes_on_where_a_row_rests_for_one_cycle(drive):
    config = TINY.replace(timing=replace(TINY.memory.timing, nRP=1))
    outcome = drive(config, [60, read(0, 3, 0, 1)], tile(config, 3, gemvs=4, slots=2, k=8))
    assert outcome.served[1] > outcome.tiles[0]


def test_vector_waits_for_the_gemv_that_reads_its_half(drive):
    pim = tile(TINY, 3, gemvs=1, slots=2, k=8)
    pim[2:2] = [vector(1, 0), vector(0, 0)]
    outcome = drive(TINY, [], pim)
    (gemv,), (other, same) = (
        cycles_of(outcome, Command.PIM_GEMV),
        cycles_of(outcome, Command.PIM_GWRITE_DATA),
    )
    assert other - gemv < 6
    assert same > gemv + 15 * TINY.memory.timing.nCCDL


def test_refreshes_come_two_at_once_beside_reads_that_never_pause(drive):
    config = BUSY.replace(postpone=3, timing=replace(BUSY.memory.timing, nREFI=400))
    outcome = drive(config, [read(i % 4, 0, 0, i) for i in range(1000)], cycles=1720)
    refreshes = np.array(cycles_of(outcome, Command.REF))
    due = 2 * config.memory.timing.nREFI * (1 + np.arange(len(refreshes)) // 2)
    assert len(refreshes) == 4
    assert np.all(refreshes[::2] < due[::2] + 100)
    assert np.all(np.diff(refreshes)[::2] == config.memory.timing.nRFC)


def test_refresh_that_may_hardly_be_postponed_comes_alone(drive):
    config = BUSY.replace(postpone=1)
    outcome = drive(config, [read(i % 4, 0, 0, i) for i in range(1000)], cycles=1700)
    refreshes = np.array(cycles_of(outcome, Command.REF))
    assert np.all(refreshes < config.memory.timing.nREFI * (1 + np.arange(len(refreshes))) + 100)
    assert np.all(np.diff(refreshes) > config.memory.timing.nRFC + 100)


def test_refreshes_are_pulled_in_while_nothing_is_pending(drive):
    config = BUSY.replace(postpone=3)
    outcome = drive(config, [1700, read(0, 0, 0)], cycles=4000)
    refreshes = np.array(cycles_of(outcome, Command.REF))
    due = config.memory.timing.nREFI * (1 + np.arange(len(refreshes)))
    assert refreshes[0] < 2 * config.memory.timing.nRFC + 10
    assert (due - refreshes).max() > 2 * config.memory.timing.nREFI
    assert len(refreshes) == 4000 // config.memory.timing.nREFI + 3


def test_refresh_waits_for_the_end_of_the_tile(drive):
    pim = []
    for row in range(12):
        pim += tile(BUSY, row, gemvs=4, slots=2, k=16, read=0)
    outcome = drive(BUSY, [], pim)
    refreshes = np.array(cycles_of(outcome, Command.REF))
    starts = np.array(cycles_of(outcome, Command.PIM_ACTIVATION))
    running = (starts[:, None] <= refreshes) & (refreshes <= np.array(outcome.tiles)[:, None])
    assert len(refreshes) > 3
    assert not running.any()


def test_tiles_without_a_header_are_planned_as_the_longest(drive):
    requests = sequential_reads(RANKS, 2)
    pim = [header(6, 138)]
    for row in range(6):
        pim += tile(RANKS, 100 + row, 2, 2, 16, half=row & 1)
    planned = drive(RANKS, requests, pim)
    without = drive(RANKS, requests, pim[1:])
    ignored = drive(RANKS.replace(pim_header=False), requests, pim)
    assert planned.tiles[-1] <= without.tiles[-1]
    # Taking the header out of the queue costs a cycle; nothing else differs.
    assert abs(without.tiles[-1] - ignored.tiles[-1]) < 100
    assert ignored.answers == without.answers == planned.answers


@pytest.mark.parametrize("row_buffers", [1, 2])
def test_separate_products_and_results_are_in_the_order_of_the_gemv(drive, row_buffers):
    config = TINY.replace(pim_commands="separate", row_buffers=row_buffers)
    outcome = drive(config, [], tile(config, 1, gemvs=2, slots=2, k=3))
    products = outcome.trace[outcome.trace["command"] == Command.PIM_DOTPRODUCT.value]
    assert products["column"].tolist() == 2 * [0, 1, 2, 3, 4, 5]
    assert products["slot"].tolist() == 2 * [0, 0, 0, 1, 1, 1]
    assert products["offset"].tolist() == 2 * [0, 1, 2, 0, 1, 2]
    both = cycles_of(outcome, Command.PIM_DOTPRODUCT, Command.PIM_RDRESULT)
    assert set(np.diff(both)) == {config.memory.timing.nCCDL}
    results = [result >> 8 & 0xFF for result in outcome.results[:: config.result_bursts]]
    assert results == [0, 1, 0, 1]


@pytest.mark.parametrize("gwrite", ["burst", "row"])
def test_gwrite_from_a_row_moves_what_was_written_before(drive, gwrite):
    config = TINY.replace(gwrite=gwrite)
    requests = [write(1, 5, 2 * i, 100 + i, i) for i in range(config.memory.bursts)]
    requests += [read(1, 6, 0, 50), 26, write(1, 5, 0, 7, 51)]
    operation = {"operation": PimOperation.GWRITE_ROW, "bank": 1, "row": 5, "half": 1, "offset": 4}
    pim = [30, operation, *tile(config, 9)]
    outcome = drive(config, requests, pim)
    moved = config.memory.bursts if gwrite == "row" else 1
    assert outcome.vectors == {(1, 4 + 2 * i): 100 + i for i in range(moved)}
    assert outcome.cells[1, 5, 0] == 7
    (gwrite_cycle,) = cycles_of(outcome, Command.PIM_GWRITE)
    gap = config.memory.timing.nCL + (config.memory.columns - 2 if gwrite == "row" else 0)
    assert cycles_of(outcome, Command.PIM_GEMV)[0] >= gwrite_cycle + gap


def test_gwrite_opens_its_row_in_spite_of_other_requests_of_its_bank(drive):
    requests = [read(0, 1, 2 * (i % 8), i) for i in range(200)]
    operation = {"operation": PimOperation.GWRITE_ROW, "bank": 0, "row": 2, "column": 4}
    outcome = drive(TINY, requests, [60, operation])
    (gwrite,) = cycles_of(outcome, Command.PIM_GWRITE)
    assert gwrite < 60 + 2 * TINY.memory.timing.row_cycle


def test_gwrite_that_an_open_tile_keeps_from_its_row_is_skipped(drive):
    pim = tile(TINY, 3)
    pim.insert(1, {"operation": PimOperation.GWRITE_ROW, "bank": 0, "row": 3})
    outcome = drive(TINY, [], pim)
    assert cycles_of(outcome, Command.PIM_GWRITE) == []
    assert len(outcome.tiles) == 1


def test_tile_that_could_make_a_refresh_late_is_rejected():
    config = TINY.replace(postpone=1, timing=replace(TINY.memory.timing, nREFI=300))
    with pytest.raises(
        ValueError,
        match=r"^postpone × nREFI must exceed the longest tile \(\d+ cycles\), not be 300$",
    ):
        longest_tile(config)


def test_a_run_is_served_without_gaps_and_in_order(drive):
    requests = [write(1, 2, 2 * i, 40 + i, i) for i in range(8)]
    written = 80  # cycles after which no write is left to forward from
    requests += [written, *(read(1, 2, 2 * i, 8 + i) for i in range(8))]
    outcome = drive(TINY, requests)
    assert outcome.written == list(range(8))
    assert list(outcome.answers.items()) == [(8 + i, 40 + i) for i in range(8)]
    for commands in (WRITES, READS):
        assert set(np.diff(cycles_of(outcome, *commands))) == {2}


def test_nothing_starves(drive):
    config = BUSY.replace(age=100)
    rng = np.random.default_rng(7)
    hits = [read(0, 0, 2 * (i % 8), i) for i in range(900)]  # for more than 1,800 cycles
    other = [write(0, 9, 0, 1, 900), read(0, 8, 0, 901)]
    pim = [header(20, 64)]
    for row in rng.integers(100, 200, 20):
        pim += tile(config, int(row), 1, 1, 16, read=0)
    outcome = drive(config, [*hits[:20], *other, *hits[20:]], pim)
    bound = oldest_request_cycles(config, 98, results=0)
    assert bound < 1200
    for tag in (900, 901):
        assert outcome.served[tag] - outcome.accepted[tag] < bound
    assert len(outcome.tiles) == 20
