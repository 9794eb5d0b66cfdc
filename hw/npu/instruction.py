"""Instructions as the tile sees them: payload shapes made from the instruction set's table."""

from amaranth.lib import data

from hw.program.instruction_set import HEADER, Opcode, Queue, bit_layout, layout

__all__ = ["SUB_UNITS", "instruction_layout", "operand_layout"]

#: Sub-units of a queue by operation; each completes its own instructions in order. Operations that
#: do not stand here go to sub-unit 0.
SUB_UNITS: dict[Queue, dict[Opcode, int]] = {
    Queue.MATRIX: {Opcode.WEIGHTS: 0, Opcode.GEMM: 1, Opcode.DRAIN: 2},
    Queue.PIM: {Opcode.VECTOR: 0, Opcode.GEMV: 1, Opcode.LIST: 2},
}


def instruction_layout(kind: Queue) -> data.Layout:
    """Shape of a queue's instructions: the header, then the operands, lowest bits first."""
    return _shape(kind, 0)


def operand_layout(kind: Queue) -> data.Layout:
    """Shape of what a unit takes of an instruction: operation and operands, without the tokens."""
    return _shape(kind, sum(item.bits for item in HEADER[1:]))


def _shape(kind: Queue, omitted: int) -> data.Layout:
    """Return the fields of instructions, without so many bits behind the operation."""
    bits, width = bit_layout(kind)
    operation = HEADER[0]
    fields: dict[int | str, data.Field] = {operation.name: data.Field(operation.bits, 0)}
    for item in layout(kind)[1:]:
        place, size = bits[item.name]
        if place >= omitted + operation.bits:
            fields[item.name] = data.Field(size, place - omitted)
    return data.FlexibleLayout(width - omitted, fields)
