"""Operands of PIM instructions: what of banks, vector buffer and row list they reach."""

import numpy as np

from hw.config import TileConfig
from hw.program.instruction_set import Opcode, Queue
from hw.program.program import Program, queue_name
from hw.program.row_lists import RowLists

__all__ = ["check_pim_operands"]

#: What is used, how much of it by each instruction, and how much there is.
_Limit = tuple[str, np.ndarray, int]


def check_pim_operands(config: TileConfig, program: Program) -> None:
    """Check that PIM instructions stay within a row, the slots, the vector buffer and the rows.

    The hardware checks none of this but the addresses of lane buffer and row list: columns, offsets
    and slots are counted modulo what there is, so an instruction that goes beyond would compute
    with other operands, not stop. Nor does it know whether an entry of the list has been written.

    Parameters
    ----------
    config
        Of the device that shall run the program.
    program
        Its PIM queues are looked at, and in the tail queue LOAD_PAGES.

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
            for what, used, most in limits(config, stream[index]):
                wrong = np.flatnonzero((used > most) | (used < 1))
                if len(wrong):
                    raise ValueError(
                        f"{what} of {queue_name(queue)}[{index[wrong[0]]}] must be 1 to {most}, "
                        f"not {used[wrong[0]]}"
                    )
    _check_rows(config, program)


def _check_rows(config: TileConfig, program: Program) -> None:
    """Check the rows that GEMV and LOAD_PAGES get from the lists, in the total order."""
    lists = RowLists(config)
    for queue, index in _listing(program):
        record = program.streams[queue][index]
        opcode = Opcode(int(record["opcode"]))
        if opcode is Opcode.LIST:
            lists.write(queue - Queue.PIM, record)
            continue
        count = int(record["tiles" if opcode is Opcode.GEMV else "pages"])
        first = int(record["list"])
        for channel in range(program.channels):
            named = queue == Queue.PIM + channel
            if queue == Queue.TAIL:
                named = bool(int(record["lanes"]) >> channel & 1)
            if not named:
                continue
            where = f"{queue_name(queue)}[{index}]"
            written = lists.written[channel, first : first + count]
            if len(written) < count or not written.all():
                missing = first + int(np.argmin(np.append(written, False)))
                raise ValueError(
                    f"entry {missing} of the row list of channel {channel} must have been written "
                    f"by a LIST before {where} reads it"
                )
            rows = lists.rows(channel, record, count)
            if count and int(rows.max()) >= config.memory.rows:
                raise ValueError(
                    f"rows of {where} must be below {config.memory.rows}, not {int(rows.max())} "
                    f"(entry {first + int(np.argmax(rows))} of the row list of channel {channel} "
                    f"plus {int(record['row'])})"
                )


def _listing(program: Program) -> list[tuple[int, int]]:
    """Return queue and index of what writes or reads row lists, in the total order."""
    found = []
    for queue in (Queue.TAIL, *range(Queue.PIM, Queue.PIM + program.channels)):
        stream = program.streams[queue]
        uses = np.isin(stream["opcode"], (Opcode.LIST, Opcode.GEMV, Opcode.LOAD_PAGES))
        for index in np.flatnonzero(uses).tolist():
            found.append((int(stream["order"][index]), int(queue), index))
    return [(queue, index) for _order, queue, index in sorted(found)]


def _reach(stream: np.ndarray, first: str, **counts: np.ndarray) -> np.ndarray:
    """Return where the last repetition of a range starts: steps by name, how often each counts."""
    start = stream[first].astype(np.int64)
    for step, count in counts.items():
        start = start + stream[step].astype(np.int64) * (count - 1)
    return start


def _gemv_limits(config: TileConfig, stream: np.ndarray) -> list[_Limit]:
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
        ("tiles", tiles, config.npu.row_list_entries),
    ]


def _vector_limits(config: TileConfig, stream: np.ndarray) -> list[_Limit]:
    """Return the same for vectors."""
    offset = _reach(stream, "offset", offset_row=stream["rows"].astype(np.int64))
    columns = 2 * stream["bursts"].astype(np.int64)
    return [("last offset", offset + columns, config.vector_columns)]
