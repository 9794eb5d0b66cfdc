"""Cycles of the vector unit's instructions, measured on its RTL under Amaranth's simulator."""

from amaranth.sim._async import SimulatorContext

from hw.config import Config
from hw.npu.vector.cycles import cycles
from hw.npu.vector.unit import VectorUnit
from hw.program.instruction_set import Element, Function, Norm, Opcode
from sim.engine.amaranth import simulator

__all__ = ["INSTRUCTIONS", "measure"]

#: What is measured: a name, an operation, its function.
INSTRUCTIONS: tuple[tuple[str, Opcode, int], ...] = (
    ("add", Opcode.ELEMENTWISE, Element.ADD),
    ("gate", Opcode.ELEMENTWISE, Element.GATE),
    ("exp", Opcode.FUNCTION, Function.EXP),
    ("GELU, tanh", Opcode.FUNCTION, Function.GELU_TANH),
    ("GELU, erf", Opcode.FUNCTION, Function.GELU_ERF),
    ("SiLU", Opcode.FUNCTION, Function.SILU),
    ("rotary", Opcode.ROTARY, 0),
    ("softmax", Opcode.SOFTMAX, 0),
    ("LayerNorm", Opcode.NORM, Norm.LAYER),
    ("RMSNorm", Opcode.NORM, Norm.RMS),
    ("argmax", Opcode.ARGMAX, 0),
)


def measure(config: Config, opcode: Opcode, function: int, *, rows: int, n: int) -> tuple[int, int]:
    """Run one instruction on zeros; return the cycles that it took, and those of the formula."""
    unit = VectorUnit(config)
    sim = simulator(unit)
    fields = {"opcode": opcode, "function": function, "rows": rows, "n": n, "m": 1}
    found: list[int] = []

    async def run(ctx: SimulatorContext) -> None:
        for name, value in fields.items():
            ctx.set(unit.i.payload[name], value)
        ctx.set(unit.i.valid, 1)
        await ctx.tick().until(unit.i.ready)
        ctx.set(unit.i.valid, 0)
        count = 0
        done = False
        while not done:
            (done,) = (await ctx.tick().sample(unit.done))[2:]
            count += 1
        found.append(count)

    sim.add_testbench(run)
    sim.run()
    return found[0], cycles(config, opcode, function=function, rows=rows, n=n, m=1)
