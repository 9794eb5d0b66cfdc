"""One iteration of the scheduler as a program: all decoder blocks, in the order of a schedule.

A schedule is an order of emission and nothing else: instructions of a queue run in that order, and
tokens follow from what they read and write.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from hw.arith import bf16
from hw.config import Config
from hw.program.program import Label, Program
from scheduler.compiler.attention.attention import AttentionCompiler
from scheduler.compiler.attention.buffers import Decode, WorkBuffers, lane_space
from scheduler.compiler.buffers import Buffer, SpaceAllocator
from scheduler.compiler.builder import ProgramBuilder
from scheduler.compiler.dense.buffers import SubBatchBuffers, vector_buffers
from scheduler.compiler.dense.decoder_block import DenseCompiler
from scheduler.compiler.dense.placement import ModelPlacement, padded_vocabulary
from scheduler.compiler.outputs import OutputCompiler
from scheduler.models.rotary import rotations
from scheduler.models.shape import ModelShape, Positions
from scheduler.models.weights import Weights

__all__ = ["Schedule", "SubBatch", "compile_iteration", "io_bytes", "iteration_limits"]

#: Sets of attention buffers in a lane: requests whose attention overlaps in one channel (chosen).
WORK_SETS = 4


class Schedule(StrEnum):
    """What overlaps within an iteration.

    SERIAL: nothing but weight loads and compute: every phase ends before the next begins.
    HEADS: softmax of one request with logits of the next. SERIAL_PLUS: also attention of a head
    group with QKV of the later ones, and its projection with attention of the later ones.
    INTERLEAVED: as HEADS, and one sub-batch's attention with the other's GEMMs, across decoder
    blocks.
    """

    SERIAL = "serial"
    HEADS = "heads"
    SERIAL_PLUS = "serial_plus"
    INTERLEAVED = "interleaved"


@dataclass(frozen=True, slots=True)
class SubBatch:
    """Requests that go through the GEMMs together.

    Attributes
    ----------
    decodes
        Their steps; row m of the activations is ``decodes[m]``.
    tokens
        Embeddings of their tokens: bfloat16 bits, ``[rows, d_model]``.
    positions
        What comes with their positions: embeddings like those, or rotations, binary32 ``[rows,
        d_head]``.
    """

    decodes: tuple[Decode, ...]
    tokens: np.ndarray
    positions: np.ndarray

    @classmethod
    def of(cls, weights: Weights, decodes: Sequence[Decode], tokens: Sequence[int]) -> "SubBatch":
        """Look up what the tokens of some steps bring with them."""
        embeddings = bf16.to_bits(weights.tok_embedding[list(tokens)])
        places = [decode.position for decode in decodes]
        if weights.pos_embedding is None:
            return cls(tuple(decodes), embeddings, rotations(weights.shape, places))
        return cls(tuple(decodes), embeddings, bf16.to_bits(weights.pos_embedding[places]))


def position_bytes(shape: ModelShape) -> int:
    """Return the bytes that come with the position of one token."""
    return shape.d_model * 2 if shape.positions is Positions.LEARNED else shape.d_head * 4


def io_bytes(config: Config, shape: ModelShape, max_requests: int) -> int:
    """Return the bytes that inputs and outputs of an iteration take in one channel, at most."""
    inputs = max_requests * (shape.d_model * 2 + position_bytes(shape))
    logits = padded_vocabulary(config, shape) * 4
    outputs = max_requests * (logits + 4 * config.npu.lanes)
    return inputs + outputs + 4 * config.memory.burst_bytes


def compile_iteration(
    config: Config, model: ModelPlacement, sub_batches: Sequence[SubBatch], schedule: Schedule
) -> Program:
    """Compile one iteration.

    Parameters
    ----------
    config, model
        The device, and where the model lies in it.
    sub_batches
        One, or two for the interleaved schedule (a missing second one is allowed).
    schedule
        What overlaps.

    Raises
    ------
    ValueError
        If buffers do not fit the memories of the tile; it names the bytes that would do.
    """
    iteration = _Iteration(config, model, sub_batches, schedule)
    if found := iteration.limits():
        raise ValueError("; ".join(found))
    return iteration.compile()


def iteration_limits(
    config: Config, model: ModelPlacement, sub_batches: Sequence[SubBatch], schedule: Schedule
) -> list[str]:
    """Return every limit of the tile that an iteration breaks, with what would do."""
    return _Iteration(config, model, sub_batches, schedule).limits()


class _Iteration:
    """Buffers and emission of one iteration."""

    def __init__(
        self,
        config: Config,
        model: ModelPlacement,
        sub_batches: Sequence[SubBatch],
        schedule: Schedule,
    ) -> None:
        self.config = config
        self.model = model
        self.sub_batches = [sub_batch for sub_batch in sub_batches if sub_batch.decodes]
        self.schedule = schedule
        self.builder = ProgramBuilder(config)
        shape = model.shape
        self.attention = AttentionCompiler(config, shape, self.builder)
        layout = self.attention.layout
        self.every_head = range(shape.kv_heads)
        self.head_groups = self.attention.geometry.groups(shape.kv_heads)
        spaces = [lane_space(config, channel) for channel in range(config.memory.channels)]
        activations = SpaceAllocator(
            "activation_bytes", 0, config.npu.activation_bytes, config.npu.array_rows * 4
        )
        self.buffers = [
            SubBatchBuffers.take(
                model,
                layout,
                activations,
                spaces[0],
                index,
                len(sub_batch.decodes),
                position_bytes(shape),
            )
            for index, sub_batch in enumerate(self.sub_batches)
        ]
        vectors = vector_buffers(config, model, spaces)
        self.dense = DenseCompiler(config, model, layout, self.builder, vectors)
        self.qkv: dict[int, Buffer] = {}
        for sub_batch in self.sub_batches:
            for decode in sub_batch.decodes:
                self.qkv[decode.request] = spaces[decode.channel].take(
                    f"QKV of request {decode.request}", shape.d_qkv * 2, layout.ends
                )
        rows = [len(sub_batch.decodes) for sub_batch in self.sub_batches]
        chosen = spaces[0].take("chosen tokens", sum(rows) * 4 * config.npu.lanes)
        self.work = [
            [WorkBuffers.take(config, shape, space, index) for index in range(WORK_SETS)]
            for space in spaces
        ]
        address = model.io_address + sum(rows) * (shape.d_model * 2 + position_bytes(shape))
        copies = [[work.logits for work in sets] for sets in self.work]
        self.outputs = OutputCompiler(config, shape, self.builder, chosen, copies, address, rows)
        self._activations, self._lanes = activations, spaces
        self._rows = rows

    def limits(self) -> list[str]:
        """Return every limit that it breaks."""
        fullest = max(self._lanes, key=lambda space: space.used_bytes)
        found = [text for space in (self._activations, fullest) if (text := space.limit())]
        npu = self.config.npu
        if max(self._rows) > npu.accumulator_rows:
            found.append(
                f"accumulator_rows must be at least {max(self._rows)}, not {npu.accumulator_rows}"
            )
        return found

    def compile(self) -> Program:
        """Emit everything.

        GEMMs of the second sub-batch run beside attention of the first, and the other way round,
        across decoder blocks (NeuPIMs, section 6.2 and figure 11). With one sub-batch that is the
        order of the operators, and only requests and weight loads overlap.
        """
        both = len(self.sub_batches) > 1
        for index, sub_batch in enumerate(self.sub_batches):
            self.dense.embed(
                sub_batch.tokens, sub_batch.positions, self.buffers[index], Label("embed", index)
            )
        self._gemms(0, 0)
        for layer in range(self.model.shape.layers):
            if both:
                self._gemms(1, layer)
            self._attention(0, layer)
            self._gemms(0, layer + 1)
            if both:
                self._attention(1, layer)
        self._outputs(0)
        if both:
            self._gemms(1, self.model.shape.layers)
            self._outputs(1)
        entries = max(len(rows) for rows in self.builder.row_lists)
        if entries > self.config.npu.row_list_entries:
            raise ValueError(
                f"row_list_entries must be at least {entries}, "
                f"not {self.config.npu.row_list_entries}"
            )
        return self.builder.finish()

    def _gemms(self, index: int, layer: int) -> None:
        """Emit the GEMMs of a sub-batch before attention of ``layer``; past the last, the head."""
        decodes = [d for turn in self._turns(index) for d in turn]
        buffers, rows = self.buffers[index], len(decodes)
        by_group = self.schedule is Schedule.SERIAL_PLUS
        if layer:
            self.dense.after_attention(
                layer - 1,
                rows,
                buffers,
                lambda name: Label(name, index, layer - 1),
                by_group=by_group,
            )
        if layer == self.model.shape.layers:
            self.dense.head(rows, buffers, Label("head", index))
        else:
            label = Label("QKV", index, layer)
            self.dense.load_vectors(layer, label)
            self.dense.qkv(layer, decodes, buffers, self._qkv_of, label, by_group=by_group)
            for heads in self.head_groups if by_group else [self.every_head]:
                for decode in decodes:
                    name = self._label("store", index, layer, decode)
                    self.attention.store_keys(decode, layer, self._qkv_of(decode), heads, name)
            for decode in decodes:
                name = self._label("store", index, layer, decode)
                self.attention.tail.store(decode, layer, self._qkv_of(decode), name)
        self._phase()

    def _attention(self, index: int, layer: int) -> None:
        """Emit attention of a sub-batch: all channels side by side.

        A lane has buffers for so many requests at once; those form a wave. A step is an item of
        the wave at a place in its channels: a request, or a head group of one.
        """
        turns = self._turns(index)
        steps = _AttentionSteps(self, index, layer)
        waves = self.schedule in (Schedule.SERIAL, Schedule.SERIAL_PLUS)
        size = WORK_SETS if waves else len(turns)
        for start in range(0, len(turns), size):
            wave = [
                [(place, decode) for decode in turn]
                for place, turn in enumerate(turns[start : start + size], start)
            ]
            if self.schedule is Schedule.SERIAL:
                for step in (
                    steps.logit,
                    steps.add_values,
                    steps.softmax,
                    steps.attend,
                    steps.tail,
                ):
                    for requests in wave:
                        for place, decode in requests:
                            step(place, decode, self.every_head)
                    self._phase()
            elif self.schedule is Schedule.SERIAL_PLUS:
                items = [(requests, heads) for heads in self.head_groups for requests in wave]
                # tails need the values, which come last: they are a head group behind
                late = len(wave)
                _overlap(
                    items,
                    (0, steps.logit),
                    (0, steps.softmax),
                    (1, steps.attend),
                    (late, steps.add_values),
                    (late + 1, steps.tail),
                )
            else:
                items = [(requests, self.every_head) for requests in wave]
                _overlap(
                    items,
                    (0, steps.logit),
                    (1, steps.add_values),
                    (0, steps.softmax),
                    (1, steps.attend),
                    (1, steps.tail),
                )

    def _turns(self, index: int) -> list[list[Decode]]:
        """Return the steps of a sub-batch, channels in turn: the first of each, the second, …."""
        queues: list[list[Decode]] = [[] for _ in range(self.config.memory.channels)]
        for decode in self.sub_batches[index].decodes:
            queues[decode.channel].append(decode)
        longest = max(len(queue) for queue in queues)
        return [[queue[i] for queue in queues if i < len(queue)] for i in range(longest)]

    def _phase(self) -> None:
        if self.schedule is Schedule.SERIAL:
            self.builder.barrier()

    def _qkv_of(self, decode: Decode) -> Buffer:
        return self.qkv[decode.request]

    def _label(self, name: str, index: int, layer: int, decode: Decode) -> Label:
        return Label(name, index, layer, decode.request)

    def _outputs(self, index: int) -> None:
        decodes = self.sub_batches[index].decodes
        self.outputs.emit(index, decodes, self.buffers[index].hidden, Label("output", index))


#: A step of attention: place of a request in its channel, the request, and KV heads.
AttentionStep = Callable[[int, Decode, range], None]


def _overlap(
    items: Sequence[tuple[Sequence[tuple[int, Decode]], range]],
    *steps: tuple[int, AttentionStep],
) -> None:
    """Emit steps of items: each so many items behind the first one as stands beside it."""
    for ahead in range(len(items) + max(behind for behind, _step in steps)):
        for behind, step in steps:
            if 0 <= ahead - behind < len(items):
                requests, heads = items[ahead - behind]
                for place, decode in requests:
                    step(place, decode, heads)


class _AttentionSteps:
    """The steps of attention of one sub-batch in one layer."""

    def __init__(self, iteration: _Iteration, index: int, layer: int) -> None:
        self.compiler = iteration.attention
        self.output = iteration.buffers[index].attention
        self.work = iteration.work
        self.qkv = iteration.qkv
        self.index = index
        self.layer = layer
        self.every_head = iteration.every_head

    def logit(self, place: int, decode: Decode, heads: range) -> None:
        """Multiply with keys; with the first heads, load the tail."""
        work, label = self._work(place, decode), self._label("logit", decode)
        if heads.start == 0:
            self.compiler.tail.load(decode, self.layer, work, label)
        qkv = self.qkv[decode.request]
        self.compiler.logit(decode, self.layer, qkv, work, heads, label)

    def add_values(self, place: int, decode: Decode, heads: range) -> None:
        """With the first heads, put the new values of all behind the tail.

        Not before anything that waits for less than the values, and not just before the tail is
        read: vector instructions would wait for each other.
        """
        if heads.start == 0:
            work, qkv = self._work(place, decode), self.qkv[decode.request]
            self.compiler.tail.append(decode, qkv, work, self._label("tail", decode))

    def softmax(self, place: int, decode: Decode, heads: range) -> None:
        """Turn logits into weights."""
        work = self._work(place, decode)
        self.compiler.softmax(decode, work, heads, self._label("softmax", decode))

    def attend(self, place: int, decode: Decode, heads: range) -> None:
        """Sum values in the banks."""
        work = self._work(place, decode)
        self.compiler.attend(decode, self.layer, work, heads, self._label("attend", decode))

    def tail(self, place: int, decode: Decode, heads: range) -> None:
        """Add the tail; with the last heads, store it if it is complete."""
        work, label = self._work(place, decode), self._label("tail", decode)
        self.compiler.tail.attend(decode, work, self.output, heads, label)
        if heads.stop == self.every_head.stop:
            self.compiler.tail.store_page(decode, self.layer, work, label)

    def _work(self, place: int, decode: Decode) -> WorkBuffers:
        return self.work[decode.channel][place % WORK_SETS]

    def _label(self, name: str, decode: Decode) -> Label:
        return Label(name, self.index, self.layer, decode.request)
