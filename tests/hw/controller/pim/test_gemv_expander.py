"""The operations that GEMVs become, in order, against loops."""

import numpy as np
import pytest

from hw.controller.pim.gemv_expander import GemvExpander
from hw.presets import TINY
from hw.protocol.commands import PimOperation
from hw.protocol.results import result_latency

CONFIG = TINY.replace(pim_commands="separate")


def expected(gemv):
    """Return operation, slot, column and offset of every command of a GEMV."""
    found = []
    for i in range(gemv["slots"]):
        slot = (gemv["slot"] + i) % CONFIG.pim.slots
        for j in range(gemv["k"]):
            column = gemv["column"] + i * gemv["column_step"] + j
            offset = gemv["offset"] + i * gemv["offset_step"] + j
            place = column % CONFIG.memory.columns, offset % CONFIG.vector_columns
            found.append((PimOperation.DOTPRODUCT, slot, *place))
        if gemv["read"]:
            found.append((PimOperation.RDRESULT, slot))
    return found


def random_gemv(rng):
    limits = {
        "slot": CONFIG.pim.slots,
        "column": CONFIG.memory.columns,
        "offset": CONFIG.vector_columns,
    }
    gemv = {name: int(rng.integers(limit)) for name, limit in limits.items()}
    gemv |= {f"{name}_step": int(rng.integers(limits[name])) for name in ("column", "offset")}
    gemv |= {"slots": int(rng.integers(1, 5)), "k": int(rng.integers(1, 5))}
    return gemv | {"read": int(rng.integers(2)), "half": int(rng.integers(2))}


@pytest.mark.parametrize("seed", range(3))
def test_gemvs_become_single_operations_in_order(simulate, seed):
    rng = np.random.default_rng(seed)
    gemvs = [random_gemv(rng) for _ in range(6)]
    dut = GemvExpander(CONFIG)

    async def bench(ctx):
        for gemv in gemvs:
            ctx.set(dut.i, {"operation": PimOperation.GEMV, **gemv})
            commands = expected(gemv)
            for number, command in enumerate(commands):
                ctx.set(dut.o_pop, 0)
                await ctx.tick().repeat(int(rng.integers(1, 4)))
                got = ctx.get(dut.o)
                assert (got.operation, got.slot) == command[:2], (gemv, number)
                if got.operation is PimOperation.DOTPRODUCT:
                    assert (got.column, got.offset) == command[2:], (gemv, number)
                    assert got.half == gemv["half"]
                assert got.extent == 0
                assert got.first == result_latency(CONFIG)
                assert got.read == (got.operation is PimOperation.RDRESULT)
                ctx.set(dut.o_pop, 1)
                assert ctx.get(dut.i_pop) == (number == len(commands) - 1), (gemv, number)
                await ctx.tick()

    simulate(dut, bench)


def test_other_operations_pass(simulate):
    dut = GemvExpander(CONFIG)

    async def bench(ctx):
        ctx.set(dut.i, {"operation": PimOperation.ACTIVATION, "row": 7})
        ctx.set(dut.o_pop, 1)
        assert ctx.get(dut.o.operation) is PimOperation.ACTIVATION
        assert ctx.get(dut.o.row) == 7
        assert ctx.get(dut.i_pop)

    simulate(dut, bench)
