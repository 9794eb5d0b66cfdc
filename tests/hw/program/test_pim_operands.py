"""Operands beyond a row, the slots or the vector buffer are refused, by name."""

import re

import pytest

from hw.presets import TINY
from hw.program.assembly import assemble
from hw.program.instruction_set import Opcode, Queue
from hw.program.pim_operands import check_pim_operands
from hw.program.program import Program, queue_kind, queue_name, stream_of
from hw.program.row_lists import list_records

GEMV = {"gemvs": 4, "queries": 2, "slots": 2, "k": 4, "tiles": 3, "list": 1, "row": 7}
GEMV |= {"column_gemv": 8, "column_step": 4, "slot_gemv": 2}
GEMV |= {"offset_gemv": 8, "offset_step": 4, "offset_tile": 8, "offset": 16}
VECTOR = {"rows": 2, "bursts": 8, "offset": 32, "offset_row": 16}

LISTED = [0, 3, 5, TINY.memory.rows - 8]


def program_of(opcode, **fields):
    """Return a program with one PIM instruction, which reaches every limit of TINY exactly."""
    streams = []
    for queue in range(Queue.PIM + TINY.memory.channels):
        mine = [{"opcode": Opcode.END, "order": 9}]
        if queue == Queue.PIM + 1:
            operands = (GEMV if opcode is Opcode.GEMV else VECTOR) | fields
            mine = [{"opcode": opcode, "order": 2} | operands, *mine]
            mine = [record | {"order": 1} for record in list_records(0, LISTED)] + mine
        streams.append(stream_of(queue_kind(queue), mine))
    return Program(streams)


@pytest.mark.parametrize("opcode", [Opcode.GEMV, Opcode.VECTOR])
def test_instructions_may_reach_every_limit(opcode):
    check_pim_operands(TINY, program_of(opcode))


@pytest.mark.parametrize(
    ("opcode", "fields", "message"),
    [
        (Opcode.GEMV, {"k": 0}, "k of pim[1][1] must be 1 to 16, not 0"),
        (Opcode.GEMV, {"k": 17}, "k of pim[1][1] must be 1 to 16, not 17"),
        (Opcode.GEMV, {"slots": 0}, "slots of pim[1][1] must be 1 to 8, not 0"),
        (Opcode.GEMV, {"column": 1}, "last column of pim[1][1] must be 1 to 16, not 17"),
        (Opcode.GEMV, {"queries": 0}, "last column of pim[1][1] must be 1 to 16, not 32"),
        (Opcode.GEMV, {"slot": 1}, "last slot of pim[1][1] must be 1 to 8, not 9"),
        (Opcode.GEMV, {"offset": 17}, "last offset of pim[1][1] must be 1 to 64, not 65"),
        (Opcode.GEMV, {"tiles": 0}, "tiles of pim[1][1] must be 1 to 1024, not 0"),
        (
            *(Opcode.GEMV, {"tiles": 4, "offset_tile": 0}),
            "entry 4 of the row list of channel 1 must have been written by a LIST before",
        ),
        (
            *(Opcode.GEMV, {"row": 8}),
            "rows of pim[1][1] must be below 1024, not 1024 (entry 3 of the row list of channel 1",
        ),
        (Opcode.VECTOR, {"offset": 34}, "last offset of pim[1][1] must be 1 to 64, not 66"),
    ],
)
def test_operand_beyond_its_limit_is_named(opcode, fields, message):
    with pytest.raises(
        ValueError, match=f"^{re.escape(message)}( pim\\[1\\]\\[1\\] reads it| plus 8\\))?$"
    ):
        check_pim_operands(TINY, program_of(opcode, **fields))


def test_pages_are_looked_at_in_the_order_of_the_program():
    lines = ["tail LOAD_PAGES pages=2 list=1 row=9 lanes=2", "pim[1] LIST entries=3 entry_2=1015"]
    ends = [f"{queue_name(queue)} END" for queue in range(Queue.PIM + 2)]
    message = r"^entry 1 of the row list of channel 1 must have been .* before tail\[0\] reads it$"
    with pytest.raises(ValueError, match=message):
        check_pim_operands(TINY, assemble("\n".join([".channels 2", *lines, *ends])))
    message = r"^rows of tail\[0\] must be below 1024, not 1024 \(entry 2 of the row list of "
    with pytest.raises(ValueError, match=message):
        check_pim_operands(TINY, assemble("\n".join([".channels 2", *lines[::-1], *ends])))
    lines[0] = lines[0].replace("row=9", "row=8")
    check_pim_operands(TINY, assemble("\n".join([".channels 2", *lines[::-1], *ends])))
