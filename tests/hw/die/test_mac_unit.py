# amaranth: UnusedElaboratable=no

import numpy as np
import pytest

from hw.arith.binary32 import add
from hw.arith.dot import dot
from hw.die.mac_unit import MacUnit, accumulate_golden, fold_latency, gemv_golden
from hw.presets import AIM, PAPER, TINY
from hw.protocol.results import result_backlog
from hw.protocol.timing import Timing
from tests.hw.die.mac_steering import Steering, packed, random_columns, summed

#: Partial sums 2, 1 and 4, of 4 and 16 lanes, and a column in every cycle.
CONFIGS = {
    "tiny": TINY,
    "one": TINY.replace(partial_sums=1, timing=Timing(nCCDL=4)),
    "four": TINY.replace(partial_sums=4),
    "paper": PAPER,
    "aim": AIM,
}


@pytest.fixture(params=CONFIGS.values(), ids=CONFIGS)
def config(request):
    return request.param


def run(simulate, config, steering, enters, columns, vectors, looks):
    """Let columns enter a MAC unit in those cycles; return the results seen in some others.

    In every other cycle the lanes get ones, which must not come into any sum.
    """
    dut = MacUnit(config)
    ones = packed(np.ones(config.mac_lanes))
    columns = dict(zip(enters, map(packed, columns), strict=True))
    vectors = dict(zip(enters, map(packed, vectors), strict=True))
    seen = {}

    async def bench(ctx):
        for cycle in range(max(looks) + 1):
            ctx.set(dut.row.as_value(), columns.get(cycle, ones))
            ctx.set(dut.vector.as_value(), vectors.get(cycle, ones))
            steering.set(ctx, dut.control, cycle)
            if cycle in looks:
                seen[cycle] = ctx.get(dut.result).as_bits()
            await ctx.tick()

    simulate(dut, bench)
    return {cycle: np.uint32(bits).view(np.float32) for cycle, bits in seen.items()}


def scheduled(config, slots):
    """Let a column enter each nCCDL, for the slot named; return steering, entries and writes."""
    steering = Steering(config)
    enters = [n * config.memory.timing.nCCDL for n in range(len(slots))]
    written = [steering.add(cycle, slot) for cycle, slot in zip(enters, slots, strict=True)]
    return steering, enters, written


def one_slot(simulate, config, columns, vectors, slot=1):
    """Return the result of columns that go to one slot."""
    steering, enters, written = scheduled(config, [slot] * len(columns))
    look = steering.take(steering.keep(written[-1], slot, 0), 0)
    seen = run(
        simulate,
        config,
        steering,
        enters,
        columns,
        vectors,
        [look],
    )
    return seen[look]


def test_unit_sums_in_the_order_of_the_specification_a_column_each_nCCDL(simulate, config):
    for seed, n in enumerate((1, 3, 14)):
        columns = random_columns(seed, n, config.mac_lanes)
        vectors = random_columns(seed + 100, n, config.mac_lanes)
        result = one_slot(simulate, config, columns, vectors)
        assert result == summed(columns, vectors, config.pim.partial_sums), n


def test_columns_of_slots_are_kept_apart(simulate, config):
    slots = [0, 1, 0, 2, 2, 1, 0, 0, 1, 2, 0, 1, 0, 0, 2]
    # Two additions to one partial sum must not be nearer than the adder needs.
    slots = [slot for slot in slots for _copy in range(config.pim.partial_sums)]
    columns, vectors = random_columns(7, 2, len(slots), config.mac_lanes)
    steering, enters, written = scheduled(config, slots)
    looks, expected = {}, {}
    for place, slot in enumerate((1, 2, 0)):
        mine = [n for n, of in enumerate(slots) if of == slot]
        kept = steering.keep(written[-1] + 3 * place, slot, 0)
        looks[slot] = steering.take(kept, 0)
        expected[slot] = summed(columns[mine], vectors[mine], config.pim.partial_sums)
    seen = run(simulate, config, steering, enters, columns, vectors, looks.values())
    assert {slot: seen[look] for slot, look in looks.items()} == expected


def test_slot_that_was_read_starts_at_zero_while_columns_go_on(simulate, config):
    partial_sums = config.pim.partial_sums
    before, after = 2 * partial_sums + 1, partial_sums + 1
    columns, vectors = random_columns(8, 2, before + after, config.mac_lanes)
    steering, looks = Steering(config), []
    enters = [n * config.memory.timing.nCCDL for n in range(before + after)]
    written = [steering.add(cycle, 3) for cycle in enters[:before]]
    kept = steering.keep(written[-1], 3, 0)
    looks.append(steering.take(kept, 0))
    # The same slot again, its first sum written after the fold has read the old ones.
    gap = config.memory.timing.nCCDL + 1
    enters[before:] = [cycle + gap for cycle in enters[before:]]
    written = [steering.add(cycle, 3) for cycle in enters[before:]]
    looks.append(steering.take(steering.keep(written[-1], 3, 0), 0))
    seen = run(simulate, config, steering, enters, columns, vectors, looks)
    assert seen[looks[0]] == summed(columns[:before], vectors[:before], partial_sums)
    assert seen[looks[1]] == summed(columns[before:], vectors[before:], partial_sums)


def test_partial_sums_that_are_not_valid_count_as_plus_zero(simulate):
    config = TINY.replace(partial_sums=4)
    columns, vectors = random_columns(9, 2, 12, 4)
    steering = Steering(config)
    enters = [2 * n for n in range(9)]
    written = [steering.add(cycle, 0) for cycle in enters]
    looks = [steering.take(steering.keep(written[-1], 0, 0), 0)]
    for n in (1, 2, 3):  # fewer columns than sums: the memory still holds the old ones
        start = 60 * n
        again = [start + 2 * i for i in range(n)]
        enters += again
        written = [steering.add(cycle, 0) for cycle in again]
        looks.append(steering.take(steering.keep(written[-1], 0, 0), 0))
    order = [*range(9), 9, 9, 10, 9, 10, 11]
    seen = run(simulate, config, steering, enters, columns[order], vectors[order], looks)
    expected = [summed(columns[:9], vectors[:9], 4)]
    expected += [summed(columns[9 : 9 + n], vectors[9 : 9 + n], 4) for n in (1, 2, 3)]
    assert [seen[look] for look in looks] == expected


def test_results_wait_in_their_places_until_they_are_taken(simulate):
    config = PAPER
    places = result_backlog(config)
    columns, vectors = random_columns(10, 2, places, config.mac_lanes)
    steering, enters, written = scheduled(config, list(range(places)))
    kept = [steering.keep(written[n], n, n) for n in range(places)]
    order = [n for n in reversed(range(places)) for _cycle in range(2)]
    looks = [kept[-1] + 1 + n for n in range(2 * places)]
    for place, look in zip(order[::2], looks[::2], strict=True):
        assert steering.take(look - 1, place) == look  # driven for two cycles
    seen = run(simulate, config, steering, enters, columns, vectors, looks)
    assert [seen[look] for look in looks] == [
        summed(columns[n : n + 1], vectors[n : n + 1], config.pim.partial_sums) for n in order
    ]


def test_result_may_be_taken_when_it_is_kept_and_not_before(simulate):
    columns, vectors = random_columns(11, 2, 2, 4)
    steering, enters, written = scheduled(TINY, [0, 0])
    kept = steering.keep(written[-1], 0, 0)
    looks = [steering.take(kept - 1, 0), steering.take(kept, 0)]
    seen = run(simulate, TINY, steering, enters, columns, vectors, looks)
    expected = summed(columns, vectors, 2)
    assert seen[looks[0]] != expected
    assert seen[looks[1]] == expected


@pytest.mark.parametrize(("partial_sums", "cycles"), [(1, 1), (2, 4), (4, 7), (8, 10)])
def test_fold_takes_a_memory_and_an_adder_a_level(partial_sums, cycles):
    assert fold_latency(TINY.replace(partial_sums=partial_sums)) == cycles


def test_zeros_of_the_vector_silence_columns_in_the_unit(simulate):
    columns = column([[np.inf, np.nan, 2.0, -3.0], [np.nan, 1.0, -np.inf, 4.0]])
    vectors = column([[0.0, -0.0, 1.0, 0.0], [-0.0, 0.0, 0.0, 0.5]])
    assert one_slot(simulate, TINY, columns, vectors) == 4.0
    silent = one_slot(simulate, TINY, columns, np.zeros((2, 4), np.float32))
    assert silent == 0
    assert not np.signbit(silent)


def test_zeros_of_a_column_do_not_silence_the_vector(simulate):
    columns, vectors = column([[0.0, 1.0, 1.0, 1.0]]), column([[np.inf, 1.0, 1.0, 1.0]])
    assert np.isnan(one_slot(simulate, TINY, columns, vectors))


def column(values):
    return np.array(values, np.float32)


def test_columns_go_to_the_partial_sums_in_turn():
    columns = np.eye(4, dtype=np.float32) * column([[1], [2], [4], [8]])
    sums = accumulate_golden(np.zeros(2, np.float32), 0, columns, np.ones((4, 4), np.float32))
    assert sums.tolist() == [1 + 4, 2 + 8]


def test_accumulation_goes_on_where_it_stopped():
    rng = np.random.default_rng(1)
    columns = rng.integers(-8, 8, (3, 7, 4)).astype(np.float32)
    vector = rng.integers(-8, 8, (7, 4)).astype(np.float32)
    sums = accumulate_golden(np.zeros(2, np.float32), 0, columns[:, :3], vector[:3])
    sums = accumulate_golden(sums, 3, columns[:, 3:], vector[3:])
    assert (add(sums[:, 0], sums[:, 1]) == gemv_golden(columns, vector, 2)).all()


def test_order_of_summation_is_as_specified():
    rng = np.random.default_rng(2)
    columns = (rng.standard_normal((5, 4)) * 2.0 ** rng.integers(-12, 12, (5, 4))).astype("f4")
    columns.view(np.uint32)[...] &= 0xFFFF0000
    ones = np.ones(4, np.float32)
    p = [dot(c, ones) for c in columns]
    even = add(add(add(0.0, p[0]), p[2]), p[4])
    odd = add(add(0.0, p[1]), p[3])
    assert gemv_golden(columns, ones[None], 2) == add(even, odd)
    assert gemv_golden(columns, ones[None], 1) == add(add(add(add(p[0], p[1]), p[2]), p[3]), p[4])


def test_product_by_a_zero_of_the_vector_is_plus_zero():
    columns = column([[np.inf, np.nan, 2.0, -3.0]])
    assert gemv_golden(columns, column([[0.0, -0.0, 1.0, 0.0]]), 2) == 2.0
    silent = gemv_golden(columns, column([[0.0, -0.0, 0.0, -0.0]]), 2)
    assert silent == 0
    assert not np.signbit(silent)


def test_minus_zero_is_lost_in_a_sum_that_starts_at_plus_zero():
    result = gemv_golden(column([[-1e-30, -1e-30]]), column([[1e-30, 1e-30]]), 2)
    assert not np.signbit(result)


@pytest.mark.parametrize(("partial_sums", "interval"), [(2, 1), (1, 3)])
def test_addition_must_end_before_its_partial_sum_is_needed_again(partial_sums, interval):
    config = TINY.replace(partial_sums=partial_sums, timing=Timing(nCCDL=interval))
    found = f"{partial_sums} × {interval}"
    message = (
        rf"^partial_sums × nCCDL must be above 3 cycles, the latency of the adder, not {found}$"
    )
    with pytest.raises(ValueError, match=message):
        MacUnit(config)
