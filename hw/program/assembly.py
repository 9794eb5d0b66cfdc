"""Whole programs as text and back: assembler and disassembler.

A line holds an instruction, after the name of its queue; lines are in the total order of the
program. What a program has beside instructions stands in directives, each on a line::

    .channels 2
    .rows 1 11 12 13              row list of channel 1
    .label 0 -1 -1 QKV            a label: sub-batch, layer, request, name; they count from 0
    .input 0 0x4000 00ff          channel, address and bytes that are written before the start
    .output logits 1 0x8000 32    name, channel, address, number of bytes that are read at the end
    load LOAD address=0x1000 bursts=2 rows=1 signal:matrix @0
    matrix WEIGHTS ring=0x20 wait:load

``@0`` gives an instruction label 0, which is what it has without one. What follows ``;`` is a
comment. A name with spaces is in double quotes, as in JSON.
"""

import json
from collections.abc import Iterator

import numpy as np

from hw.program.instruction_set import MAXIMUM_CHANNELS, Queue, queue_kind, queue_name
from hw.program.instruction_text import format_instruction, parse_instruction, parse_queue
from hw.program.program import Block, Label, Program, stream_of

__all__ = ["assemble", "disassemble"]


def disassemble(program: Program) -> str:
    """Return a program as text, of which :func:`assemble` makes an equal one.

    Places in the total order are counted anew, without gaps.
    """
    lines = [f".channels {program.channels}"]
    for channel, rows in enumerate(program.row_lists):
        if len(rows):
            lines.append(f".rows {channel} {' '.join(map(str, rows.tolist()))}")
    for label in program.labels:
        numbers = f"{label.sub_batch} {label.layer} {label.request}"
        lines.append(f".label {numbers} {json.dumps(label.name)}")
    for block, content in program.inputs:
        lines.append(f".input {block.channel} {block.address:#x} {content.hex()}")
    for name, block in program.outputs.items():
        place = f"{block.channel} {block.address:#x} {block.nbytes}"
        lines.append(f".output {json.dumps(name)} {place}")
    for queue, _index, record in program.in_order():
        label = f" @{record['label']}" if record["label"] else ""
        lines.append(f"{queue_name(queue)} {format_instruction(queue, record)}{label}")
    return "\n".join(lines) + "\n"


def assemble(text: str) -> Program:
    """Return the program that a text says.

    Raises
    ------
    ValueError
        Naming the line.
    """
    return _Assembler().run(text)


class _Assembler:
    """The parts of a program as they are met."""

    def __init__(self) -> None:
        self._instructions: list[tuple[int, dict[str, int]]] = []
        self._rows: dict[int, list[int]] = {}
        self._channels: int | None = None
        self._labels: list[Label] = []
        self._inputs: list[tuple[Block, bytes]] = []
        self._outputs: dict[str, Block] = {}

    def run(self, text: str) -> Program:
        for number, line in enumerate(text.splitlines(), 1):
            try:
                if words := _words(line):
                    self._line(words)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
        if self._channels is None:
            raise ValueError("a program must say its number of .channels")
        return self._program(self._channels)

    def _line(self, words: list[str]) -> None:
        directive, *rest = words
        if directive == ".channels":
            (channels,) = _count(directive, rest, 1)
            self._channels = _number(channels, 1, MAXIMUM_CHANNELS)
        elif directive == ".rows":
            numbers = [_number(word) for word in rest]
            if not numbers:
                raise ValueError(".rows must name a channel")
            self._rows[self._channel(numbers[0])] = numbers[1:]
        elif directive == ".label":
            *owner, name = _count(directive, rest, 4)
            sub_batch, layer, request = (_number(word, -1) for word in owner)
            self._labels.append(Label(name, sub_batch, layer, request))
        elif directive == ".input":
            channel, address, *contents = rest if len(rest) > 2 else _count(directive, rest, 2)
            data = bytes.fromhex("".join(contents))
            source = Block(self._channel(_number(channel)), _number(address), len(data))
            self._inputs.append((source, data))
        elif directive == ".output":
            name, *block = _count(directive, rest, 4)
            place, start, nbytes = (_number(word) for word in block)
            self._outputs[name] = Block(self._channel(place), start, nbytes)
        elif directive.startswith("."):
            raise ValueError(
                "directive must be one of .channels, .rows, .label, .input, .output, "
                f"not {directive!r}"
            )
        else:
            self._instruction(directive, rest)

    def _instruction(self, name: str, words: list[str]) -> None:
        queue = parse_queue(name)
        if queue >= Queue.PIM:
            self._channel(queue - Queue.PIM)
        label = 0
        if words and words[-1].startswith("@"):
            label = _number(words.pop()[1:])
        if not words:
            raise ValueError(f"{name} must be followed by an operation")
        fields = parse_instruction(queue, " ".join(words))
        self._instructions.append((queue, fields | {"label": label}))

    def _channel(self, channel: int) -> int:
        if self._channels is None or channel >= self._channels:
            raise ValueError(f"channel must be one of .channels {self._channels}, not {channel}")
        return channel

    def _program(self, channels: int) -> Program:
        streams = []
        for queue in range(Queue.PIM + channels):
            mine = [
                fields | {"order": order}
                for order, (q, fields) in enumerate(self._instructions)
                if q == queue
            ]
            streams.append(stream_of(queue_kind(queue), mine))
        return Program(
            streams=streams,
            row_lists=[np.array(self._rows.get(c, []), np.uint32) for c in range(channels)],
            inputs=self._inputs,
            outputs=self._outputs,
            labels=self._labels,
        )


def _words(line: str) -> list[str]:
    """Split a line; names in double quotes may hold anything that JSON can write."""
    words: list[str] = []
    for piece, quoted in _pieces(line):
        if quoted:
            words.append(json.loads(piece))
            continue
        code, semicolon, _comment = piece.partition(";")
        words += code.split()
        if semicolon:
            break
    return words


def _pieces(line: str) -> Iterator[tuple[str, bool]]:
    """Yield the parts of a line outside and, with their quotes, inside of double quotes."""
    decoder = json.JSONDecoder()
    while '"' in line.partition(";")[0]:
        start = line.index('"')
        yield line[:start], False
        try:
            _string, end = decoder.raw_decode(line, start)
        except json.JSONDecodeError as error:
            raise ValueError(f"a name in quotes must end, not be {line[start:]!r}") from error
        yield line[start:end], True
        line = line[end:]
    yield line, False


def _count(directive: str, words: list[str], count: int) -> list[str]:
    if len(words) != count:
        raise ValueError(f"{directive} must have {count} arguments, not {len(words)}")
    return words


def _number(text: str, least: int = 0, most: int = 2**32 - 1) -> int:
    try:
        value = int(text, 0)
    except ValueError:
        value = least - 1
    if not least <= value <= most:
        raise ValueError(f"number must be from {least} to {most}, not {text!r}")
    return value
