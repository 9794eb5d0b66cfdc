"""How long an instruction takes: the formulas of the instruction set's table, evaluated."""

from typing import Any

from hw.config import TileConfig
from hw.npu.matrix.drain import Drain
from hw.npu.matrix.unit import MatrixUnit
from hw.npu.matrix.weight_loader import WeightLoader
from hw.npu.vector.cycles import cycles as vector_cycles
from hw.program.instruction_set import Opcode, Queue, instruction, queue_kind

__all__ = ["CONSTANTS", "constants", "instruction_cycles"]

#: Constants of the formulas, and what they are. An instruction that starts is taken by its unit in
#: that cycle, and retires in the cycle after its unit has said that it is complete.
CONSTANTS = {
    "weight_latency": "cycles from the start of WEIGHTS to its first load, and to its retirement",
    "weight_cycles": "cycles that the loading of a weight tile takes",
    "gemm_latency": "cycles that a row takes to the accumulators, and GEMM to its retirement",
    "drain_latency": "cycles that a row takes from the accumulators, and DRAIN to its retirement",
    "vector": "cycles of the vector unit (`hw.npu.vector.cycles.cycles`), and to retirement",
}


def constants(config: TileConfig) -> dict[str, int]:
    """Return the constants of a configuration; all but ``vector``, which depends on operands."""
    return {
        "weight_latency": WeightLoader.latency + 1,
        "weight_cycles": MatrixUnit.weight_cycles_of(config),
        "gemm_latency": MatrixUnit.latency_of(config) + 1,
        "drain_latency": Drain.latency + 1,
    }


def instruction_cycles(config: TileConfig, queue: int, record: Any) -> int | None:
    """Return the cycles of an instruction from its start to its retirement.

    What it needs is there when it starts, and all earlier instructions have retired.

    Returns
    -------
    The cycles; None where a memory channel decides.

    Raises
    ------
    ValueError
        If the queue has no such instruction.
    """
    opcode = int(record["opcode"])
    line = instruction(queue_kind(queue), opcode)
    if line is None:
        raise ValueError(f"opcode must be one of the queue's, not {opcode!r}")
    if not line.cycles:
        return None
    operands = {name: int(record[name]) for name in line.operands}
    names: dict[str, object] = constants(config) | operands | {"max": max}
    if queue_kind(queue) in (Queue.EPILOGUE, Queue.ATTENTION) and opcode != Opcode.END:
        names["vector"] = 1 + vector_cycles(
            config,
            Opcode(opcode),
            function=int(record["function"]),
            rows=int(record["rows"]),
            n=int(record["n"]),
            m=int(record["m"]),
        )
    # The table's own expressions, with these names alone.
    return int(eval(line.cycles, {"__builtins__": {}}, names))
