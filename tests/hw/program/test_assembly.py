"""Assembler and disassembler: programs survive the way through text."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.program.assembly import assemble, disassemble
from hw.program.instruction_set import HEADER, INSTRUCTIONS, OPERANDS, Queue, queue_kind
from hw.program.instruction_text import format_instruction, parse_instruction
from hw.program.program import Block, Label, Program, encode, stream_dtype

CHANNELS = 3


@st.composite
def instructions(draw, queue):
    """Fields of any instruction of a queue: any operands that it has, any tokens."""
    kind = queue_kind(queue)
    line = draw(st.sampled_from([line for line in INSTRUCTIONS if kind in line.queues]))
    fields = {"opcode": int(line.opcode)}
    for field in (*HEADER[1:], *OPERANDS[kind]):
        if field in HEADER or field.name in line.operands:
            bits = min(field.bits, CHANNELS) if field.name.endswith("_channels") else field.bits
            fields[field.name] = draw(st.just(0) | st.integers(0, (1 << bits) - 1))
    return fields


names = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8)
blocks = st.builds(
    Block, st.integers(0, CHANNELS - 1), st.integers(0, 2**30), st.integers(0, 2**20)
)


@st.composite
def programs(draw):
    count = Queue.PIM + CHANNELS
    queues = draw(st.lists(st.integers(0, count - 1), max_size=12))
    labels = draw(st.lists(st.builds(Label, names, *[st.integers(-1, 99)] * 3), max_size=3))
    parts = [[] for _ in range(count)]
    for order, queue in enumerate(queues):
        label = draw(st.integers(0, max(0, len(labels) - 1)))
        parts[queue].append(draw(instructions(queue)) | {"order": order, "label": label})
    streams = []
    for queue, mine in enumerate(parts):
        stream = np.zeros(len(mine), stream_dtype(queue_kind(queue)))
        for index, fields in enumerate(mine):
            for name, value in fields.items():
                stream[name][index] = value
        streams.append(stream)
    rows = [draw(st.lists(st.integers(0, 2**32 - 1), max_size=3)) for _ in range(CHANNELS)]
    contents = draw(st.lists(st.tuples(blocks, st.binary(max_size=5)), max_size=2))
    return Program(
        streams=streams,
        row_lists=[np.array(entries, np.uint32) for entries in rows],
        inputs=[(Block(b.channel, b.address, len(data)), data) for b, data in contents],
        outputs=draw(st.dictionaries(names, blocks, max_size=2)),
        labels=labels,
    )


@settings(max_examples=60, deadline=None)
@given(programs())
def test_programs_survive_the_way_through_text(program):
    again = assemble(disassemble(program))
    for queue, (one, other) in enumerate(zip(program.streams, again.streams, strict=True)):
        np.testing.assert_array_equal(one, other)
        kind = queue_kind(queue)
        np.testing.assert_array_equal(encode(kind, one), encode(kind, other))
    for one, other in zip(program.row_lists, again.row_lists, strict=True):
        np.testing.assert_array_equal(one, other)
    assert again.inputs == program.inputs
    assert again.outputs == program.outputs
    assert again.labels == program.labels


@given(
    st.integers(0, Queue.PIM).flatmap(lambda queue: st.tuples(st.just(queue), instructions(queue)))
)
def test_one_instruction_survives_too(case):
    queue, fields = case
    record = dict.fromkeys((name for name in stream_dtype(queue_kind(queue)).names), 0) | fields
    parsed = parse_instruction(queue, format_instruction(queue, record))
    assert {name: value for name, value in parsed.items() if value} == {
        name: value for name, value in fields.items() if value
    }


def test_comments_and_empty_lines_say_nothing():
    text = '; a comment "with quotes\n\n.channels 1 ; one\nlink ALLREDUCE cycles=0x10 ; later'
    program = assemble(text)
    assert program.streams[Queue.LINK]["cycles"].tolist() == [16]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("matrix SOFTMAX", "operation of queue matrix must be one of END, WEIGHTS, GEMM, DRAIN, "),
        ("matrix GEMM n=4", "operand of GEMM must be one of rows, address, .*, not 'n'"),
        ("matrix GEMM rows=1024", "rows must be a number of 10 bits, not '1024'"),
        ("matrix GEMM rows=many", "rows must be a number of 10 bits, not 'many'"),
        ("matrix DRAIN format=FP8", "format must be BF16, BINARY32, or a number of 1 bits, "),
        ("matrix", "matrix must be followed by an operation"),
        ("pim[2] END", "channel must be one of .channels 2, not 2"),
        ("pim END", r"queue must be one of load, .*, pim\[0\] … pim\[31\], not 'pim'"),
        ("load LOAD wait:me", "queue must be one of load, .*, not 'me'"),
        (".rows 1 x", "number must be from 0 to 4294967295, not 'x'"),
        (".label 0 0 name", ".label must have 4 arguments, not 3"),
        (".input 0 0 zz", "non-hexadecimal number found"),
        (
            ".org 5",
            "directive must be one of .channels, .rows, .label, .input, .output, not '.org'",
        ),
        ('.output "x', "a name in quotes must end, not be"),
    ],
)
def test_what_cannot_be_assembled_is_named_with_its_line(line, message):
    with pytest.raises(ValueError, match=f"^line 2: {message}"):
        assemble(f".channels 2\n{line}")


def test_program_says_its_channels():
    with pytest.raises(ValueError, match=r"^a program must say its number of .channels$"):
        assemble("link END")
