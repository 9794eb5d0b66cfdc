"""One instruction as text and back: what assembler, disassembler and messages have in common."""

from collections.abc import Mapping
from typing import Any

from hw.program.instruction_set import OPERANDS, Opcode, Queue, instruction, queue_kind, queue_name
from hw.program.tokens import named_queues, token_masks

__all__ = ["format_instruction", "parse_instruction", "parse_queue"]


def format_instruction(queue: int, record: Any) -> str:
    """Disassemble an instruction: its operation, its operands and its tokens.

    Every operand that is not 0 is named, in the order of the fields, even one that the operation
    does not have.

    Parameters
    ----------
    queue
        Number of the queue that it is in.
    record
        Its fields by name, for example a record of a stream.

    Examples
    --------
    >>> from hw.program.program import stream_dtype
    >>> import numpy as np
    >>> record = np.zeros((), stream_dtype(Queue.MATRIX))
    >>> record["opcode"], record["rows"], record["address"] = Opcode.DRAIN, 4, 64
    >>> record["format"], record["signal"], record["signal_channels"] = 1, 1 << Queue.STORE, 2
    >>> format_instruction(Queue.MATRIX, record)
    'DRAIN rows=4 address=0x40 format=BINARY32 signal:store,pim[1]'
    """
    kind, code = queue_kind(queue), int(record["opcode"])
    line = instruction(kind, code)
    parts = [Opcode(code).name if code in list(Opcode) else f"OPCODE_{code}"]
    for field in OPERANDS[kind]:
        if value := int(record[field.name]):
            choices = field.choices
            if field.name == "function" and line is not None:
                choices = line.functions
            if choices is not None and value < len(choices):
                parts.append(f"{field.name}={choices(value).name}")
            else:
                parts.append(f"{field.name}={value if value < 10 else hex(value)}")
    for way in ("wait", "signal"):
        if queues := named_queues(record, way):
            parts.append(f"{way}:{','.join(map(queue_name, queues))}")
    return " ".join(parts)


def parse_queue(text: str) -> int:
    """Return the number of a queue by its name.

    Raises
    ------
    ValueError
        If there is no such queue.
    """
    name, bracket, rest = text.partition("[")
    kinds = {kind.name.lower(): kind for kind in Queue}
    if name in kinds and (kinds[name] is Queue.PIM) == bool(bracket):
        if not bracket:
            return kinds[name]
        if rest.endswith("]") and rest[:-1].isdecimal() and int(rest[:-1]) < 32:
            return Queue.PIM + int(rest[:-1])
    known = ", ".join([*(name for name in kinds if name != "pim"), "pim[0] … pim[31]"])
    raise ValueError(f"queue must be one of {known}, not {text!r}")


def parse_instruction(queue: int, text: str) -> dict[str, int]:
    """Assemble an instruction that :func:`format_instruction` wrote; return its fields by name.

    Operands that are not named are 0; numbers are decimal, or hexadecimal after 0x.

    Raises
    ------
    ValueError
        If the queue has no such operation, the operation no such operand, or the operand no such
        value.

    Examples
    --------
    >>> parse_instruction(Queue.MATRIX, "WEIGHTS ring=0x20 wait:load")
    {'opcode': 3, 'ring': 32, 'wait': 1, 'wait_channels': 0}
    """
    kind = queue_kind(queue)
    name, *parts = text.split()
    line = instruction(kind, Opcode[name]) if name in Opcode.__members__ else None
    if line is None:
        known = [code.name for code in Opcode if instruction(kind, code)]
        raise ValueError(
            f"operation of queue {queue_name(queue)} must be one of {', '.join(known)}, "
            f"not {name!r}"
        )
    bits = {field.name: field for field in OPERANDS[kind]}
    fields: dict[str, int] = {"opcode": int(line.opcode)}
    for part in parts:
        way, colon, names = part.partition(":")
        if colon and way in ("wait", "signal"):
            fields |= token_masks(way, map(parse_queue, names.split(",")))
            continue
        operand, equals, value = part.partition("=")
        if not equals or operand not in line.operands:
            raise ValueError(
                f"operand of {name} must be one of {', '.join(line.operands) or 'none'}, "
                f"not {operand!r}"
            )
        field = bits[operand]
        choices = line.functions if operand == "function" else field.choices
        named = choices.__members__ if choices is not None else {}
        fields[operand] = _number(operand, value, field.bits, named)
    return fields


def _number(operand: str, text: str, bits: int, named: Mapping[str, int]) -> int:
    """Return the value of an operand."""
    if text in named:
        return int(named[text])
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if not 0 <= value < 1 << bits:
        names = "".join(f"{name}, " for name in named) + ("or " if named else "")
        raise ValueError(f"{operand} must be {names}a number of {bits} bits, not {text!r}")
    return value
