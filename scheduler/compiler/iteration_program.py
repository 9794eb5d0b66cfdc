"""One iteration of the scheduler as a program: all decoder blocks, in the order of a schedule.

A schedule is an order of emission and nothing else: instructions of a queue run in that order, and
tokens follow from what they read and write.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import numpy as np

from hw.config import Config
from hw.isa import Element, Format, Opcode, Queue
from hw.program import Block, Label, Program
from scheduler.compiler.attention import AttentionCompiler, Decode, WorkBuffers, lane_space
from scheduler.compiler.builder import ProgramBuilder
from scheduler.compiler.decoder_block import DenseCompiler, SubBatchBuffers, vector_buffers
from scheduler.compiler.placement import Buffer, ModelPlacement, SpaceAllocator, round_up

__all__ = ["Schedule", "SubBatch", "compile_iteration", "io_bytes", "logits_name", "tokens_name"]

#: Sets of attention buffers in a lane: requests whose attention overlaps in one channel (chosen).
WORK_SETS = 4


class Schedule(StrEnum):
    """What overlaps within an iteration.

    SERIAL: nothing but weight loads and compute: every phase ends before the next begins.
    HEADS: softmax of one request with logits of the next. INTERLEAVED: also one sub-batch's
    attention with the other's GEMMs, across decoder blocks.
    """

    SERIAL = "serial"
    HEADS = "heads"
    INTERLEAVED = "interleaved"


@dataclass(frozen=True, slots=True)
class SubBatch:
    """Requests that go through the GEMMs together.

    Attributes
    ----------
    decodes
        Their steps; row m of the activations is ``decodes[m]``.
    tokens, positions
        Embeddings of their tokens and positions: bfloat16 bits, ``[rows, d_model]``.
    """

    decodes: tuple[Decode, ...]
    tokens: np.ndarray
    positions: np.ndarray


def logits_name(request: int) -> str:
    """Return the name of a request's logits among a program's outputs: binary32."""
    return f"logits of request {request}"


def tokens_name(sub_batch: int) -> str:
    """Return the name of a sub-batch's next tokens among the outputs.

    One row a request: an unsigned 32-bit integer, then zeros to the width of the vector unit.
    """
    return f"tokens of sub-batch {sub_batch}"


def io_bytes(config: Config, d_model: int, vocabulary: int, max_requests: int) -> int:
    """Return the bytes that inputs and outputs of an iteration take in one channel, at most."""
    inputs = max_requests * d_model * 2 * 2
    outputs = max_requests * (vocabulary * 4 + 4 * config.lanes)
    return inputs + outputs + 4 * config.burst_bytes


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
        If buffers do not fit the memories of the tile.
    """
    return _Iteration(config, model, sub_batches, schedule).compile()


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
        spaces = [lane_space(config, channel) for channel in range(config.channels)]
        self.rows = rows = sum(len(sub_batch.decodes) for sub_batch in self.sub_batches)
        staging = spaces[0].take("embeddings", rows * shape.d_model * 4)
        self.output_address = model.io_address + rows * shape.d_model * 4
        self.dense = DenseCompiler(
            config, model, self.builder, vector_buffers(config, model, spaces), staging
        )
        self.attention = AttentionCompiler(config, shape, self.builder)
        self.qkv: dict[int, Buffer] = {}
        for sub_batch in self.sub_batches:
            for decode in sub_batch.decodes:
                self.qkv[decode.request] = spaces[decode.channel].take(
                    f"QKV of request {decode.request}", 3 * shape.d_model * 2
                )
        self.chosen = spaces[0].take("chosen tokens", rows * 4 * config.lanes)
        self.work = [
            [WorkBuffers.take(config, shape, space, index) for index in range(WORK_SETS)]
            for space in spaces
        ]
        activations = SpaceAllocator(
            "activation_bytes", 0, config.activation_bytes, config.array_rows * 4
        )
        self.buffers = [
            SubBatchBuffers.take(model, activations, index, len(sub_batch.decodes))
            for index, sub_batch in enumerate(self.sub_batches)
        ]
        tallest = max(len(sub_batch.decodes) for sub_batch in self.sub_batches)
        if tallest > config.accumulator_rows:
            raise ValueError(
                f"accumulator_rows must be at least {tallest}, not {config.accumulator_rows}"
            )

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
        self._outputs(0, 0)
        if both:
            self._gemms(1, self.model.shape.layers)
            self._outputs(1, len(self.sub_batches[0].decodes))
        return self.builder.finish()

    def _gemms(self, index: int, layer: int) -> None:
        """Emit the GEMMs of a sub-batch before attention of ``layer``; past the last, the head."""
        decodes = self.sub_batches[index].decodes
        buffers, rows = self.buffers[index], len(decodes)
        if layer:
            self.dense.after_attention(
                layer - 1, rows, buffers, lambda name: Label(name, index, layer - 1)
            )
        if layer == self.model.shape.layers:
            self.dense.head(rows, buffers, Label("head", index))
        else:
            label = Label("QKV", index, layer)
            self.dense.load_vectors(layer, label)
            self.dense.qkv(layer, decodes, buffers, self._qkv_of, label)
            for decode in decodes:
                self.attention.store_token(
                    decode, layer, self._qkv_of(decode), self._label("store", index, layer, decode)
                )
        self._phase()

    def _attention(self, index: int, layer: int) -> None:
        """Emit attention of a sub-batch: all channels side by side, request by request."""
        queues: list[list[Decode]] = [[] for _ in range(self.config.channels)]
        for decode in self.sub_batches[index].decodes:
            queues[decode.channel].append(decode)
        serial = self.schedule is Schedule.SERIAL
        wave = WORK_SETS if serial else max(len(queue) for queue in queues)
        for start in range(0, max(len(queue) for queue in queues), wave):
            requests = [
                (place, queue[place])
                for place in range(start, start + wave)
                for queue in queues
                if place < len(queue)
            ]
            steps = [partial(self._logits, index, layer), partial(self._softmax, index, layer)]
            steps += [partial(self._attend, index, layer), partial(self._tail, index, layer)]
            if serial:
                for step in steps:
                    for place, decode in requests:
                        step(place, decode)
                    self._phase()
                continue
            for place in range(wave + 1):
                for behind, step in zip((0, 0, 1, 1), steps, strict=True):
                    for at, decode in requests:
                        if at == place - behind:
                            step(at, decode)

    def _logits(self, index: int, layer: int, place: int, decode: Decode) -> None:
        work, label = self._work(place, decode), self._label("logit", index, layer, decode)
        self.attention.load_tail(decode, layer, work, label)
        self.attention.logit(decode, layer, self._qkv_of(decode), work, label)

    def _softmax(self, index: int, layer: int, place: int, decode: Decode) -> None:
        label = self._label("softmax", index, layer, decode)
        self.attention.softmax(decode, self._work(place, decode), label)

    def _attend(self, index: int, layer: int, place: int, decode: Decode) -> None:
        label = self._label("attend", index, layer, decode)
        self.attention.attend(decode, layer, self._work(place, decode), label)

    def _tail(self, index: int, layer: int, place: int, decode: Decode) -> None:
        label = self._label("tail", index, layer, decode)
        output = self.buffers[index].attention
        self.attention.tail(decode, layer, self._work(place, decode), output, label)

    def _phase(self) -> None:
        if self.schedule is Schedule.SERIAL:
            self.builder.barrier()

    def _qkv_of(self, decode: Decode) -> Buffer:
        return self.qkv[decode.request]

    def _work(self, place: int, decode: Decode) -> WorkBuffers:
        return self.work[decode.channel][place % WORK_SETS]

    def _label(self, name: str, index: int, layer: int, decode: Decode) -> Label:
        return Label(name, index, layer, decode.request)

    def _outputs(self, index: int, first_row: int) -> None:
        """Emit the choice of tokens, and the stores of tokens and logits."""
        config, shape = self.config, self.model.shape
        buffers, decodes = self.buffers[index], self.sub_batches[index].decodes
        label = Label("output", index)
        token_bytes = 4 * config.lanes
        token_offset = first_row * token_bytes
        self.builder.emit(
            Queue.EPILOGUE,
            Opcode.ARGMAX,
            label,
            reads=buffers.hidden.regions,
            writes=[self.chosen.region],
            rows=len(decodes),
            n=shape.vocabulary,
            a=buffers.hidden.address,
            a_stride=shape.vocabulary * 4,
            o=self.chosen.address + token_offset,
            o_stride=token_bytes,
        )
        logit_bytes = shape.vocabulary * 4
        for decode in decodes:
            row = first_row + decode.row
            channel, place = row % config.channels, row // config.channels
            work = self.work[channel][place % WORK_SETS].logits
            self.builder.emit(
                Queue.EPILOGUE,
                Opcode.ELEMENTWISE,
                label,
                reads=buffers.hidden.regions,
                writes=[work.region],
                function=Element.COPY,
                rows=1,
                n=shape.vocabulary,
                a=buffers.hidden.address + decode.row * logit_bytes,
                a_format=Format.BINARY32,
                o=work.address,
                o_format=Format.BINARY32,
            )
            block = Block(channel, self.output_address + place * logit_bytes, logit_bytes)
            self._store(block, work, 0, label)
            self.builder.outputs[logits_name(decode.request)] = block
        nbytes = round_up(len(decodes) * token_bytes, config.burst_bytes)
        rows = max(len(decodes) for decodes in [sb.decodes for sb in self.sub_batches])
        address = self.output_address + logit_bytes * -(-self.rows // config.channels)
        address += index * round_up(rows * token_bytes, config.burst_bytes)
        block = Block(0, address, nbytes)
        self._store(block, self.chosen, token_offset, label)
        self.builder.outputs[tokens_name(index)] = block

    def _store(self, block: Block, buffer: Buffer, offset: int, label: Label) -> None:
        self.builder.emit(
            Queue.STORE,
            Opcode.STORE,
            label,
            reads=[buffer.region],
            address=block.address,
            bursts=block.nbytes // self.config.burst_bytes,
            rows=1,
            lanes=1 << block.channel,
            lane_address=(buffer.address + offset) & 0xFFFFF,
        )
