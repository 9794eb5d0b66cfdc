"""What an iteration gives: the chosen tokens, and the logits of every request."""

from collections.abc import Sequence

from hw.config import Config
from hw.program.instruction_set import Element, Format, Opcode, Queue
from hw.program.program import Block, Label
from scheduler.compiler.attention.buffers import Decode
from scheduler.compiler.buffers import Buffer, round_up
from scheduler.compiler.builder import ProgramBuilder
from scheduler.compiler.dense.placement import padded_vocabulary
from scheduler.compiler.vector_instructions import Operand, VectorEmitter
from scheduler.models.shape import ModelShape

__all__ = ["OutputCompiler", "logits_name", "tokens_name"]


def logits_name(request: int) -> str:
    """Return the name of a request's logits among a program's outputs: binary32.

    Those of the vocabulary, then zeros up to a whole number of weight tiles.
    """
    return f"logits of request {request}"


def tokens_name(sub_batch: int) -> str:
    """Return the name of a sub-batch's next tokens among the outputs.

    One row a request: an unsigned 32-bit integer, then zeros to the width of the vector unit.
    """
    return f"tokens of sub-batch {sub_batch}"


class OutputCompiler:
    """Emits the choice of tokens, and the stores of tokens and logits.

    Parameters
    ----------
    config, shape, builder
        The device, the model, and where instructions go.
    chosen
        A buffer of channel 0 for the tokens of all requests.
    copies
        Of every channel, buffers that logits of one request may lie in on their way out, used in
        turn.
    address
        The channel address from which on outputs lie, in every channel.
    rows
        Requests of each sub-batch.
    """

    def __init__(
        self,
        config: Config,
        shape: ModelShape,
        builder: ProgramBuilder,
        chosen: Buffer,
        copies: Sequence[Sequence[Buffer]],
        address: int,
        rows: Sequence[int],
    ) -> None:
        self.config = config
        self.shape = shape
        self.builder = builder
        self.vector_unit = VectorEmitter(builder)
        self.chosen = chosen
        self.copies = copies
        self.address = address
        self.rows = rows

    def emit(self, index: int, decodes: Sequence[Decode], logits: Buffer, label: Label) -> None:
        """Emit the outputs of a sub-batch, whose rows are ``decodes``."""
        config, width = self.config, padded_vocabulary(self.config, self.shape)
        token_bytes, logit_bytes = 4 * config.npu.lanes, width * 4
        first_row = sum(self.rows[:index])
        token_offset = first_row * token_bytes
        self.builder.emit(
            Queue.EPILOGUE,
            Opcode.ARGMAX,
            label,
            reads=logits.regions,
            writes=[self.chosen.region],
            rows=len(decodes),
            n=self.shape.vocabulary,
            a=logits.address,
            a_stride=logit_bytes,
            o=self.chosen.address + token_offset,
            o_stride=token_bytes,
        )
        for decode in decodes:
            row = first_row + decode.row
            channel, place = row % config.memory.channels, row // config.memory.channels
            copy = self.copies[channel][place % len(self.copies[channel])]
            self.vector_unit.elementwise(
                Element.COPY,
                label,
                1,
                width,
                a=Operand(logits, decode.row * logit_bytes, 0, Format.BINARY32),
                o=Operand(copy, 0, 0, Format.BINARY32),
            )
            block = Block(channel, self.address + place * logit_bytes, logit_bytes)
            self._store(block, copy, 0, label)
            self.builder.outputs[logits_name(decode.request)] = block
        nbytes = round_up(len(decodes) * token_bytes, config.memory.burst_bytes)
        address = self.address + logit_bytes * -(-sum(self.rows) // config.memory.channels)
        address += index * round_up(max(self.rows) * token_bytes, config.memory.burst_bytes)
        block = Block(0, address, nbytes)
        self._store(block, self.chosen, token_offset, label)
        self.builder.outputs[tokens_name(index)] = block

    def _store(self, block: Block, buffer: Buffer, offset: int, label: Label) -> None:
        self.builder.emit(
            Queue.STORE,
            Opcode.STORE,
            label,
            reads=buffer.regions,
            address=block.address,
            bursts=block.nbytes // self.config.memory.burst_bytes,
            rows=1,
            lanes=1 << block.channel,
            lane_address=buffer.offset + offset,
        )
