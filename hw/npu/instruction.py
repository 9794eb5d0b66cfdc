"""Instructions as the tile sees them: payload shapes made from the instruction set's table."""

from amaranth.lib import data

from hw.program.instruction_set import HEADER, OPERANDS, Opcode, Queue, layout

__all__ = ["SUB_UNITS", "instruction_layout", "operand_layout"]

#: Sub-units of a queue by operation; each completes its own instructions in order. Operations that
#: do not stand here go to sub-unit 0.
SUB_UNITS: dict[Queue, dict[Opcode, int]] = {
    Queue.MATRIX: {Opcode.WEIGHTS: 0, Opcode.GEMM: 1, Opcode.DRAIN: 2},
    Queue.PIM: {Opcode.VECTOR: 0, Opcode.GEMV: 1},
}


def instruction_layout(kind: Queue) -> data.StructLayout:
    """Shape of a queue's instructions: the header, then the operands, lowest bits first."""
    return data.StructLayout({item.name: item.bits for item in layout(kind)})


def operand_layout(kind: Queue) -> data.StructLayout:
    """Shape of what a unit takes of an instruction: operation and operands, without the tokens."""
    fields = {item.name: item.bits for item in OPERANDS[kind]}
    return data.StructLayout({"opcode": HEADER[0].bits, **fields})
