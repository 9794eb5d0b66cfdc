"""Operands of the matrix unit's instructions, made from the instruction set's table."""

from amaranth.lib import data

from hw.program.instruction_set import INSTRUCTIONS, OPERANDS, Opcode, Queue

__all__ = ["matrix_operands"]


def matrix_operands(opcode: Opcode) -> data.StructLayout:
    """Shape of the operands of an instruction of the matrix queue.

    >>> list(matrix_operands(Opcode.WEIGHTS).members)
    ['ring', 'depth']
    """
    names = next(line.operands for line in INSTRUCTIONS if line.opcode is opcode)
    return data.StructLayout(
        {item.name: item.bits for item in OPERANDS[Queue.MATRIX] if item.name in names}
    )
