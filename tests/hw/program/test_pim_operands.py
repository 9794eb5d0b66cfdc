"""Operands beyond a row, the slots or the vector buffer are refused, by name."""

import re

import numpy as np
import pytest

from hw.presets import TINY
from hw.program.instruction_set import Opcode, Queue
from hw.program.pim_operands import check_pim_operands
from hw.program.program import Program, queue_kind, stream_dtype

GEMV = {"gemvs": 4, "queries": 2, "slots": 2, "k": 4, "tiles": 3, "list": 1}
GEMV |= {"column_gemv": 8, "column_step": 4, "slot_gemv": 2}
GEMV |= {"offset_gemv": 8, "offset_step": 4, "offset_tile": 8, "offset": 16}
VECTOR = {"rows": 2, "bursts": 8, "offset": 32, "offset_row": 16}


def program_of(opcode, **fields):
    """Return a program with one PIM instruction, which reaches every limit of TINY exactly."""
    streams = []
    for queue in range(Queue.PIM + TINY.memory.channels):
        stream = np.zeros(1 + (queue == Queue.PIM + 1), stream_dtype(queue_kind(queue)))
        stream["opcode"] = Opcode.END
        streams.append(stream)
    record = streams[Queue.PIM + 1][:1]
    record["opcode"] = opcode
    for name, value in ((GEMV if opcode is Opcode.GEMV else VECTOR) | fields).items():
        record[name] = value
    rows = np.full(4, TINY.memory.rows - 1, np.uint32)
    return Program(streams, [rows[:0], rows])


@pytest.mark.parametrize("opcode", [Opcode.GEMV, Opcode.VECTOR])
def test_instructions_may_reach_every_limit(opcode):
    check_pim_operands(TINY, program_of(opcode))


@pytest.mark.parametrize(
    ("opcode", "fields", "message"),
    [
        (Opcode.GEMV, {"k": 0}, "k of pim[1][0] must be 1 to 16, not 0"),
        (Opcode.GEMV, {"k": 17}, "k of pim[1][0] must be 1 to 16, not 17"),
        (Opcode.GEMV, {"slots": 0}, "slots of pim[1][0] must be 1 to 8, not 0"),
        (Opcode.GEMV, {"column": 1}, "last column of pim[1][0] must be 1 to 16, not 17"),
        (Opcode.GEMV, {"queries": 0}, "last column of pim[1][0] must be 1 to 16, not 32"),
        (Opcode.GEMV, {"slot": 1}, "last slot of pim[1][0] must be 1 to 8, not 9"),
        (Opcode.GEMV, {"offset": 17}, "last offset of pim[1][0] must be 1 to 64, not 65"),
        (
            *(Opcode.GEMV, {"tiles": 4, "offset_tile": 0}),
            "last entry of the row list of pim[1][0] must be 1 to 4, not 5",
        ),
        (Opcode.VECTOR, {"offset": 34}, "last offset of pim[1][0] must be 1 to 64, not 66"),
    ],
)
def test_operand_beyond_its_limit_is_named(opcode, fields, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_pim_operands(TINY, program_of(opcode, **fields))


def test_row_that_the_banks_do_not_have_is_named():
    program = program_of(Opcode.GEMV)
    program.row_lists[1][2] = TINY.memory.rows
    with pytest.raises(ValueError, match=r"^rows of the list of channel 1 must be below 1024, not"):
        check_pim_operands(TINY, program)
