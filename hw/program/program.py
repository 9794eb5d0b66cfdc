"""What the host hands to a device: the instruction streams of one iteration.

A program is plain data. Each queue's stream is a NumPy structured array with one integer field per
field of the instruction set, and two for the host alone: ``order``, the instruction's place in the
total order that the program's meaning is defined by (executed one by one in that order, the
program gives the same values as on the device), and ``label``, an index into ``labels``.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hw.program.instruction_set import Queue, layout, queue_kind, queue_name
from hw.program.instruction_text import format_instruction

__all__ = [
    "Block",
    "Label",
    "Program",
    "encode",
    "queue_kind",
    "queue_name",
    "stream_dtype",
    "stream_of",
]


def stream_dtype(kind: Queue) -> np.dtype:
    """Return the type of a queue's stream: header, operands, then ``order`` and ``label``."""
    names = [item.name for item in layout(kind)]
    return np.dtype([(name, np.uint32) for name in [*names, "order", "label"]])


def stream_of(kind: Queue, records: Sequence[Mapping[str, int]]) -> np.ndarray:
    """Return the stream of a queue from the fields of its instructions; what is not named is 0."""
    stream = np.zeros(len(records), stream_dtype(kind))
    for index, fields in enumerate(records):
        for name, value in fields.items():
            stream[name][index] = value
    return stream


def encode(kind: Queue, stream: np.ndarray) -> np.ndarray:
    """Pack a stream into the bits that the device takes: ``uint64[instructions, words]``."""
    width = sum(item.bits for item in layout(kind))
    words = np.zeros((len(stream), -(-width // 64)), dtype=np.uint64)
    start = 0
    for item in layout(kind):
        value = stream[item.name].astype(np.uint64)
        if len(value) and int(value.max()) >> item.bits:
            index = int(np.argmax(value >> np.uint64(item.bits) != 0))
            raise ValueError(
                f"{item.name} of instruction {index} of queue {kind.name.lower()} must fit "
                f"{item.bits} bits, not be {int(value[index])}"
            )
        word, shift = divmod(start, 64)
        words[:, word] |= value << np.uint64(shift)
        if shift + item.bits > 64:
            words[:, word + 1] |= value >> np.uint64(64 - shift)
        start += item.bits
    return words


@dataclass(frozen=True, slots=True)
class Block:
    """Bytes of a memory channel: where they start, and how many they are."""

    channel: int
    address: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Label:
    """What an instruction is for, in the words of the host; pictures and messages show it."""

    name: str
    sub_batch: int = 0
    layer: int = -1
    request: int = -1


@dataclass(slots=True)
class Program:
    """The work of one iteration.

    Attributes
    ----------
    streams
        One array a queue, in the order of their numbers; each ends with END.
    row_lists
        One array a channel: DRAM rows of its PIM tiles, which GEMV takes by index, and of pages,
        which LOAD_PAGES does.
    inputs
        Bytes that the device writes into its memory channels before it starts.
    outputs
        Bytes of the memory channels that it reads back when all queues have ended, by name.
    labels
        What the ``label`` of an instruction refers to.
    """

    streams: list[np.ndarray]
    row_lists: list[np.ndarray]
    inputs: list[tuple[Block, bytes]] = field(default_factory=list)
    outputs: dict[str, Block] = field(default_factory=dict)
    labels: list[Label] = field(default_factory=list)

    @property
    def channels(self) -> int:
        """Memory channels that the program is for."""
        return len(self.streams) - Queue.PIM

    def __len__(self) -> int:
        return sum(len(stream) for stream in self.streams)

    def in_order(self) -> Iterator[tuple[int, int, np.void]]:
        """Yield queue, index and record of every instruction, in total order."""
        entries = [
            (int(order), queue, index)
            for queue, stream in enumerate(self.streams)
            for index, order in enumerate(stream["order"])
        ]
        for _order, queue, index in sorted(entries):
            yield queue, index, self.streams[queue][index]

    def describe(self, queue: int, index: int) -> str:
        """Disassemble one instruction: its place, operation, operands, tokens and label."""
        record = self.streams[queue][index]
        text = f"{queue_name(queue)}[{index}] {format_instruction(queue, record)}"
        return f"{text} ; {self.labels[int(record['label'])].name}" if self.labels else text

    def save(self, path: Path) -> None:
        """Write the program to one ``.npz`` file, without pickles."""
        meta = {
            "inputs": [[b.channel, b.address, b.nbytes] for b, _ in self.inputs],
            "outputs": {n: [b.channel, b.address, b.nbytes] for n, b in self.outputs.items()},
            "labels": [[x.name, x.sub_batch, x.layer, x.request] for x in self.labels],
        }
        arrays = {f"stream{i}": stream for i, stream in enumerate(self.streams)}
        arrays |= {f"rows{i}": rows for i, rows in enumerate(self.row_lists)}
        data = b"".join(content for _, content in self.inputs)
        arrays |= {"meta": np.array(json.dumps(meta)), "data": np.frombuffer(data, np.uint8)}
        np.savez_compressed(path, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> "Program":
        """Read what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            meta = json.loads(str(file["meta"]))
            data = file["data"].tobytes()
            channels = sum(name.startswith("rows") for name in file.files)
            inputs, start = [], 0
            for entry in meta["inputs"]:
                block = Block(*entry)
                inputs.append((block, data[start : start + block.nbytes]))
                start += block.nbytes
            return cls(
                streams=[file[f"stream{i}"] for i in range(Queue.PIM + channels)],
                row_lists=[file[f"rows{i}"] for i in range(channels)],
                inputs=inputs,
                outputs={name: Block(*entry) for name, entry in meta["outputs"].items()},
                labels=[Label(*entry) for entry in meta["labels"]],
            )
