from hw.arith.dot import Dot
from hw.die.gemv_sequencer import GemvSequencer
from hw.presets import TINY
from hw.protocol.commands import Command


def additions(simulate, config, script, cycles):
    """Return ``{cycle: (slot, partial sum, first)}`` for each addition that is steered."""
    dut = GemvSequencer(config)
    mac = dut.mac
    found = {}

    async def bench(ctx):
        for cycle in range(cycles):
            ctx.set(dut.command, script.get(cycle, {"command": Command.NOP}))
            if ctx.get(mac.read):
                steering = (mac.read_slot, mac.read_partial, mac.read_first)
                found[cycle] = tuple(ctx.get(signal) for signal in steering)
            await ctx.tick()

    simulate(dut, bench)
    return found


def gemv(slot, k, read=0):
    return {"command": Command.PIM_GEMV, "slot": slot, "slots": 1, "k": k, "read": read}


def test_partial_sum_is_read_in_the_cycle_before_the_product_is_there(simulate):
    found = additions(simulate, TINY, {3: gemv(5, 2)}, 30)
    there = 3 + 3 + Dot.latency_of(TINY.mac_lanes)
    assert found == {there - 1: (5, 0, 1), there + 1: (5, 1, 1)}


def test_partial_sums_take_columns_in_turn_and_start_at_zero(simulate):
    config = TINY.replace(partial_sums=4)
    found = additions(simulate, config, {0: gemv(2, 6), 12: gemv(2, 3)}, 50)
    assert list(found.values()) == [(2, n % 4, int(n < 4)) for n in range(9)]


def test_slots_count_their_columns_separately(simulate):
    found = additions(simulate, TINY, {0: gemv(0, 1), 2: gemv(1, 2), 6: gemv(0, 1)}, 40)
    assert list(found.values()) == [(0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1)]


def test_read_clears_its_slot(simulate):
    result = {"command": Command.PIM_RDRESULT, "slot": 3}
    script = {0: gemv(3, 3, read=1), 6: gemv(3, 1), 8: result, 10: gemv(3, 1)}
    found = additions(simulate, TINY, script, 40)
    assert list(found.values()) == [(3, 0, 1), (3, 1, 1), (3, 0, 0), (3, 0, 1), (3, 0, 1)]
