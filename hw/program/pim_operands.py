"""Operands of PIM instructions: what of the banks and the vector buffer they reach."""

import numpy as np

from hw.config import TileConfig
from hw.program.instruction_set import Opcode, Queue
from hw.program.program import Program, queue_name

__all__ = ["check_pim_operands"]

#: What is used, how much of it by each instruction, and how much there is.
_Limit = tuple[str, np.ndarray, int]


def check_pim_operands(config: TileConfig, program: Program) -> None:
    """Check that PIM instructions stay within a row, the slots, the vector buffer and the rows.

    The hardware checks none of this but the addresses of lane buffer and row list: columns, offsets
    and slots are counted modulo what there is, so an instruction that goes beyond would compute
    with other operands, not stop.

    Parameters
    ----------
    config
        Of the device that shall run the program.
    program
        Its PIM queues and row lists are looked at.

    Raises
    ------
    ValueError
        That names the first operand found beyond its limit, the instruction and the limit.
    """
    for channel in range(program.channels):
        queue = Queue.PIM + channel
        stream = program.streams[queue]
        for opcode in (Opcode.GEMV, Opcode.VECTOR):
            index = np.flatnonzero(stream["opcode"] == opcode)
            limits = _gemv_limits if opcode is Opcode.GEMV else _vector_limits
            for what, used, most in limits(config, stream[index], len(program.row_lists[channel])):
                wrong = np.flatnonzero((used > most) | (used < 1))
                if len(wrong):
                    raise ValueError(
                        f"{what} of {queue_name(queue)}[{index[wrong[0]]}] must be 1 to {most}, "
                        f"not {used[wrong[0]]}"
                    )
        rows = program.row_lists[channel]
        if len(rows) and int(rows.max()) >= config.memory.rows:
            raise ValueError(
                f"rows of the list of channel {channel} must be below {config.memory.rows}, "
                f"not {int(rows.max())}"
            )


def _reach(stream: np.ndarray, first: str, **counts: np.ndarray) -> np.ndarray:
    """Return where the last repetition of a range starts: steps by name, how often each counts."""
    start = stream[first].astype(np.int64)
    for step, count in counts.items():
        start = start + stream[step].astype(np.int64) * (count - 1)
    return start


def _gemv_limits(config: TileConfig, stream: np.ndarray, entries: int) -> list[_Limit]:
    """Return what GEMVs use, counted from 1, and how much of it there is."""
    gemvs, slots, k, tiles = (stream[n].astype(np.int64) for n in ("gemvs", "slots", "k", "tiles"))
    sets = -(-gemvs // np.maximum(stream["queries"].astype(np.int64), 1))
    column = _reach(stream, "column", column_gemv=sets, column_step=slots)
    slot = _reach(stream, "slot", slot_gemv=gemvs)
    offset = _reach(stream, "offset", offset_gemv=gemvs, offset_step=slots, offset_tile=tiles)
    return [
        ("k", k, config.memory.columns),
        ("slots", slots, config.pim.slots),
        ("last column", column + k, config.memory.columns),
        ("last slot", slot + slots, config.pim.slots),
        ("last offset", offset + k, config.vector_columns),
        ("last entry of the row list", _reach(stream, "list") + tiles, entries),
    ]


def _vector_limits(config: TileConfig, stream: np.ndarray, _entries: int) -> list[_Limit]:
    """Return the same for vectors."""
    offset = _reach(stream, "offset", offset_row=stream["rows"].astype(np.int64))
    columns = 2 * stream["bursts"].astype(np.int64)
    return [("last offset", offset + columns, config.vector_columns)]
