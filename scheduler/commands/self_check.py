"""A short check of the DRAM die under Amaranth's simulator, for machines without a C++ compiler."""

import numpy as np
from rich.console import Console

from hw.arith import bf16
from hw.config import Config
from hw.die.mac_unit import gemv_golden
from hw.die.pim_channel import PimChannel
from hw.presets import TINY
from hw.protocol.commands import Command
from hw.protocol.results import result_schedule
from sim.engine.amaranth import simulator

__all__ = ["self_check"]

#: Rows of the die that is checked: Amaranth's simulator holds every cell.
ROWS = 4


def self_check(console: Console, config: Config = TINY) -> bool:
    """Write a row of every bank, multiply it with a vector in the banks, and compare the results.

    Returns whether they equal the golden model; prints one line that says so.
    """
    config = config.replace(rows=ROWS)
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(config.memory.banks, config.memory.columns, config.mac_lanes)).astype(
        np.float32
    )
    vector = rng.normal(size=(config.memory.columns, config.mac_lanes)).astype(np.float32)
    rows, vector = bf16.round(rows), bf16.round(vector)
    expected = gemv_golden(rows, vector, config.pim.partial_sums)
    found = _multiply(config, rows, vector)
    equal = bool(np.array_equal(found.view(np.uint32), expected.view(np.uint32)))
    verdict = "equals" if equal else "differs from"
    console.print(
        f"self-check under Amaranth's simulator: a GEMV of {config.memory.banks} banks, "
        f"{vector.size} elements each, {verdict} the golden model",
        soft_wrap=True,
        highlight=False,
    )
    return equal


def _multiply(config: Config, rows: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Return ``float32[banks]``: each bank's row times the vector, computed by the die."""
    t = config.memory.timing
    bus: dict[int, dict[str, int | Command]] = {}
    columns: dict[int, int] = {}
    cycle = 0

    def bursts(command: Command, content: np.ndarray, place: str, **fields: int) -> None:
        """Send a row's worth of columns, two a command."""
        nonlocal cycle
        words = [int.from_bytes(c.astype("<u2").tobytes(), "little") for c in bf16.to_bits(content)]
        for first in range(0, len(words), 2):
            bus[cycle] = {"command": command, place: first, **fields}
            columns[cycle + t.nCWL], columns[cycle + t.nCWL + 1] = words[first : first + 2]
            cycle += t.nCCDL

    for bank in range(config.memory.banks):
        bus[cycle] = {"command": Command.ACT, "bank": bank, "row": 1}
        cycle += t.nRCD
        bursts(Command.WR, rows[bank], "column", bank=bank)
        cycle += t.nCWL + t.nBL + t.nWR
        bus[cycle] = {"command": Command.PRE, "bank": bank}
        cycle += t.nRP
    bursts(Command.PIM_GWRITE_DATA, vector, "offset")
    for group in range(config.memory.groups):
        bus[cycle] = {"command": Command.PIM_ACTIVATION, "bank": 4 * group, "row": 1}
        cycle += t.nFAW
    cycle += t.nRCD
    bus[cycle] = {"command": Command.PIM_GEMV, "slots": 1, "k": len(vector), "read": 1}
    end = cycle + result_schedule(config, 1, len(vector))[0][1]

    die = PimChannel(config)
    driven: list[int] = []

    async def bench(ctx) -> None:  # type: ignore[no-untyped-def]  # amaranth has no types
        for now in range(end + 2):
            ctx.set(die.command, bus.get(now, {"command": Command.NOP}))
            ctx.set(die.i_data, columns.get(now, 0))
            if ctx.get(die.o_valid):
                driven.append(ctx.get(die.o_data))
            await ctx.tick()

    sim = simulator(die)
    sim.add_testbench(bench)
    sim.run()
    content = b"".join(word.to_bytes(config.memory.column_bytes, "little") for word in driven)
    return np.frombuffer(content, "<f4")[: config.memory.banks]
