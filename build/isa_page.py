"""Write docs/instruction-set.md from the instruction set's table, or check that it is current.

python build/isa_page.py [--check]
"""

import argparse
import sys
from pathlib import Path

from hw.npu.instruction_cycles import CONSTANTS, constants
from hw.presets import PRESETS
from hw.program.instruction_set import (
    HEADER,
    INSTRUCTIONS,
    OPERANDS,
    Field,
    Instruction,
    Queue,
    bit_layout,
)

PAGE = Path(__file__).parents[1] / "docs" / "instruction-set.md"

_HEAD = """\
# The instruction set of the NPU tile

This page is made from the table in `hw/program/instruction_set.py` by `python build/isa_page.py`; a
test compares them. The same table makes the encoding (`hw.program.program.encode`), the decoders of
the tile, the assembler and the disassembler (`hw.program.assembly`), and the formulas for cycles
(`hw.npu.instruction_cycles`).

A program is a set of instruction streams, one a queue; every memory channel has a PIM queue of its
own. An instruction starts when its predecessor in the queue has started, the tokens that it waits
for are there, and its unit takes it. It retires when it and all before it in its queue are
complete; then its tokens are sent.

## In text

One instruction a line, in the total order of the program, after the name of its queue:

```text
tail LOAD address=0x4000 bursts=4 rows=1 lanes=1 lane_address=0x40 signal:epilogue
matrix GEMM rows=4 address=0x80 stride=0x10 half=1 wait:epilogue,pim[0] signal:matrix
```

Operands that are not named are 0. Operands with named values take the names. Directives say the
rest of a program; they are listed in `hw/program/assembly.py`.

## Errors

| status | when | what the exception names |
|---|---|---|
| ILLEGAL | the head of a queue is no instruction of it, has an operand that may not be 0 or a \
function that does not exist, or names a queue with which it shares no tokens | the instruction |
| OVERFLOW | a token is sent to a counter that holds 255 | the instruction that sent it |
| ADDRESS | a unit meets an address outside of a memory, or one that is not aligned | the \
instruction, and what it would have read or written |
| DEADLOCK | every queue waits for tokens or has ended, and nothing runs | the instructions that \
wait |

At an error no further instruction starts; `reset` makes the device usable again.

## Formats

Fields follow one another from bit 0 on, without gaps.
"""


def main() -> None:
    """Write or check the page."""
    parser = argparse.ArgumentParser(prog="python build/isa_page.py", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if it differs")
    if not parser.parse_args().check:
        PAGE.write_text(page(), encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != page():
        sys.exit(f"{PAGE.name} must be made anew: python build/isa_page.py")


def page() -> str:
    """Return the page."""
    parts = [_HEAD, *_formats(), "## Instructions\n"]
    parts += [_instruction(line) for line in INSTRUCTIONS]
    parts += ["## Cycles\n", _cycles()]
    return "\n".join(parts)


def _formats() -> list[str]:
    """Return a table of the header, and one for the operands of each set of queues."""
    parts = ["### Header of every instruction\n", _fields(HEADER, 0)]
    shared: dict[tuple[Field, ...], list[Queue]] = {}
    for queue, fields in OPERANDS.items():
        shared.setdefault(fields, []).append(queue)
    start = sum(field.bits for field in HEADER)
    for fields, queues in shared.items():
        names = ", ".join(_queue(queue) for queue in queues)
        bits = bit_layout(queues[0])[1]
        parts += [f"### Operands of {names}: {bits} bits with the header\n", _fields(fields, start)]
    return parts


def _queue(queue: Queue) -> str:
    return "`pim[c]`" if queue is Queue.PIM else f"`{queue.name.lower()}`"


def _fields(fields: tuple[Field, ...], start: int) -> str:
    rows = ["| field | bits | what it says |", "|---|---|---|"]
    for field in fields:
        last = start + field.bits - 1
        place = f"{start}" if field.bits == 1 else f"{start}–{last}"
        doc = field.doc
        if field.choices:
            doc += f": {', '.join(f'{choice.name} ({choice})' for choice in field.choices)}"
        rows.append(f"| `{field.name}` | {place} | {_plain(doc)} |")
        start = last + 1
    return "\n".join(rows) + "\n"


def _instruction(line: Instruction) -> str:
    queues = "any" if len(line.queues) == len(Queue) else ", ".join(map(_queue, line.queues))
    rows = [f"### {line.opcode.name} ({line.opcode}), queue {queues}\n", _plain(line.doc), ""]
    if line.operands:
        rows.append(f"- Operands: {', '.join(f'`{name}`' for name in line.operands)}")
    if line.functions:
        names = ", ".join(f"{choice.name} ({choice})" for choice in line.functions)
        rows.append(f"- `function`: {names}")
    if line.positive:
        rows.append(f"- Not 0: {', '.join(f'`{name}`' for name in line.positive)}")
    cycles = f"`{line.cycles}`" if line.cycles else "the memory channel decides"
    rows.append(f"- Cycles: {cycles}")
    return "\n".join(rows) + "\n"


def _plain(doc: str) -> str:
    return doc.replace("``", "`").replace("|", "\\|")


def _cycles() -> str:
    """Return the constants of the formulas."""
    names = list(PRESETS)
    rows = [
        "From the start of an instruction to its retirement, if what it needs is there",
        "and all before it in its queue have retired. The constants:",
        "",
        f"| constant | what | {' | '.join(f'`{name}`' for name in names)} |",
        "|---|---|" + "--:|" * len(names),
    ]
    values = {name: constants(config) for name, config in PRESETS.items()}
    for constant, doc in CONSTANTS.items():
        columns = " | ".join(str(values[name].get(constant, "by operands")) for name in names)
        rows.append(f"| `{constant}` | {doc} | {columns} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()
