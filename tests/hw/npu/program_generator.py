"""Random legal programs: every queue, every operation, hazards of all kinds, tokens for each.

Instructions are drawn in the total order (:mod:`tests.hw.npu.random_instructions`), with operands
that meet in small memories, so that many of them touch what others have. Of every instruction the
generator finds, byte by byte, the earlier ones that must have retired when it starts, and gives it
the tokens for these and no others, but for a few at random. What the hardware orders by itself gets
none: accumulators, weights in the arrays, vector buffer and slots; and instructions of one queue,
but for the sub-units of the matrix queue and of a PIM queue, and loads into the same bytes.
"""

from dataclasses import dataclass

import numpy as np

from hw.npu.vector.ports import CONTEXTS
from hw.program.instruction_set import Opcode, Queue
from hw.program.program import Block, Program, queue_kind, stream_dtype, stream_of
from scheduler.compiler.checks.footprint import accesses, memories
from tests.hw.npu.random_instructions import RandomInstructions

__all__ = ["channel_contents", "idle_program", "random_program"]

VECTOR_QUEUES = (Queue.EPILOGUE, Queue.ATTENTION)
LOAD_QUEUES = (Queue.LOAD, Queue.TAIL)

#: How often an instruction gets a token that it does not need.
SPARE_TOKENS = 0.2


def channel_contents(config, rng):
    """Return bytes for every channel: bfloat16 numbers of moderate size, and a few of any bits."""
    found = []
    for _ in range(config.memory.channels):
        values = rng.standard_normal(config.memory.channel_bytes // 2).astype(np.float32)
        bits = (values.view(np.uint32) >> 16).astype(np.uint16)
        odd = rng.random(len(bits)) < 0.01
        bits[odd] = rng.integers(0, 1 << 16, int(odd.sum()))
        found.append(bits.tobytes())
    return found


def random_program(config, rng, length):
    """Return a program of as many drawn instructions; its outputs are the channels, whole."""
    generator = ProgramGenerator(config, rng)
    draw = RandomInstructions(config, rng, generator)
    draw.prologue()
    for _ in range(length):
        draw.instruction()
    draw.epilogue()
    return generator.finish()


def idle_program(config, cycles):
    """Return a program that lets time pass."""
    generator = ProgramGenerator(config, np.random.default_rng(0))
    generator.emit(Queue.LINK, {"opcode": Opcode.ALLREDUCE, "cycles": cycles})
    return generator.finish()


@dataclass(slots=True)
class Step:
    """An instruction: its place, its sub-unit, and what has retired when it retires, by queue."""

    queue: int
    index: int
    unit: int
    clock: list[int]


class ProgramGenerator:
    """Takes instructions in the total order, and gives them their tokens.

    Attributes
    ----------
    row_lists
        Row list of each channel; what draws instructions extends it before it emits a GEMV.
    """

    def __init__(self, config, rng):
        self.config = config
        self.rng = rng
        self.row_lists = [[] for _ in range(config.memory.channels)]
        queues = Queue.PIM + config.memory.channels
        self._records = [[] for _ in range(queues)]
        self._steps = []
        self._known = [[-1] * queues for _ in range(queues)]
        # Of every memory, the last step of each sub-unit that has read and written each granule.
        self._grain = {
            name: config.memory.burst_bytes if name.startswith("channel") else 2
            for name in memories(config)
        }
        self._last = {
            name: np.full((2, 2 * queues, nbytes // self._grain[name]), -1, np.int32)
            for name, nbytes in memories(config).items()
        }

    def granules(self, access):
        """Return the entries of a memory that an access touches."""
        return access.granules(self._grain[access.memory])

    def accesses(self, queue, fields):
        """Return what an instruction reads and writes."""
        listed = Program([], [np.array(rows, np.uint32) for rows in self.row_lists])
        return list(accesses(self.config, listed, queue, self.record(queue, fields)))

    def record(self, queue, fields):
        """Return all fields of an instruction; those that are not named are 0."""
        return dict.fromkeys(stream_dtype(queue_kind(queue)).names, 0) | fields

    def emit(self, queue, fields):
        """Append an instruction."""
        unit = 2 * queue + (fields["opcode"] in (Opcode.DRAIN, Opcode.GEMV))
        touched = [(a, self.granules(a)) for a in self.accesses(queue, fields)]
        record = dict(fields) | {"order": len(self._steps)}
        needed = self._needed(queue, unit, touched)
        if queue in VECTOR_QUEUES:
            at_work = len(self._records[queue]) - CONTEXTS
            writers = self._last_steps(touched, unit, writes_only=True)
            late = any(self._steps[step].index > at_work for step in writers)
            record["overlap"] = int(not late and self.rng.random() < 0.7)
        if self._steps and self.rng.random() < SPARE_TOKENS:
            needed.append(int(self.rng.integers(len(self._steps))))
        self._wait(queue, record, needed)
        step = Step(queue, len(self._records[queue]), unit, list(self._known[queue]))
        step.clock[queue] = step.index
        for access, places in touched:
            self._last[access.memory][int(access.write), unit, places] = len(self._steps)
        self._steps.append(step)
        self._records[queue].append(record)

    def finish(self):
        """Return the program; every stream is closed by END."""
        for queue in range(len(self._records)):
            self.emit(queue, {"opcode": Opcode.END})
        streams = [stream_of(queue_kind(q), records) for q, records in enumerate(self._records)]
        whole = {
            f"channel {channel}": Block(channel, 0, self.config.memory.channel_bytes)
            for channel in range(self.config.memory.channels)
        }
        lists = [np.array(rows, np.uint32) for rows in self.row_lists]
        return Program(streams, lists, outputs=whole)

    def _last_steps(self, touched, unit, *, writes_only):
        """Return the last steps of a sub-unit that an instruction with these accesses follows."""
        found = set()
        for access, places in touched:
            if not len(places):
                continue
            found.add(int(self._last[access.memory][1, unit, places].max()))
            if access.write and not writes_only:
                found.add(int(self._last[access.memory][0, unit, places].max()))
        return found - {-1}

    def _needed(self, queue, unit, touched):
        """Return the steps that must have retired before an instruction starts."""
        found = []
        for other in range(2 * len(self._records)):
            if other != unit:
                found += self._last_steps(touched, other, writes_only=False)
            elif queue in LOAD_QUEUES:
                written = [pair for pair in touched if pair[0].write]
                found += self._last_steps(written, other, writes_only=True)
        return found

    def _wait(self, queue, record, needed):
        """Wait for steps that are not known to have retired, of each queue for the last."""
        known = self._known[queue]
        latest = {}
        for number in needed:
            step = self._steps[number]
            if min(step.queue, queue) >= Queue.PIM and step.queue != queue:
                continue  # PIM queues of two channels share nothing, not even tokens
            if step.index > known[step.queue]:
                latest[step.queue] = max(latest.get(step.queue, step), step, key=lambda s: s.index)
        for step in latest.values():
            _add(self._records[step.queue][step.index], "signal", queue)
            _add(record, "wait", step.queue)
        for step in latest.values():
            for other, index in enumerate(step.clock):
                known[other] = max(known[other], index)


def _add(record, way, queue):
    """Add a queue to a mask of an instruction."""
    name, bit = (way, queue) if queue < Queue.PIM else (f"{way}_channels", queue - Queue.PIM)
    record[name] = record.get(name, 0) | 1 << bit
