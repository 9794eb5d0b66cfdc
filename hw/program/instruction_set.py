"""The instruction set of the NPU tile: one table from which everything else is made.

A program is a set of instruction streams, one a queue. Every instruction starts with a header: the
operation, the queues whose tokens it waits for and those it sends one to. Tokens from and to the
PIM queues, one a channel, have masks of their own, ``wait_channels`` and ``signal_channels``.

Addresses are in bytes, except where the unit says otherwise. Three spaces exist:

- *channel address*: of a memory channel; row, then bank, then byte of the row, from the top. So
  consecutive addresses walk through a row, then through the same row of the next bank. A *page* is
  the same row of all banks: one range of addresses.
- *ring address*: of the weight ring, which is striped over the lanes: burst by burst.
- *tile address*: bit 27 clear, the activation memory; bit 27 set, the lane buffer of the channel in
  bits 26 to 20, at the offset in bits 19 to 0.
"""

from dataclasses import dataclass
from enum import IntEnum

__all__ = [
    "HEADER",
    "INSTRUCTIONS",
    "LANE_SPACE",
    "MAXIMUM_CHANNELS",
    "Element",
    "Field",
    "Format",
    "Function",
    "Instruction",
    "Norm",
    "Opcode",
    "Queue",
    "Reduce",
    "Tail",
    "bit_layout",
    "instruction",
    "lane_tile_address",
    "layout",
    "queue_kind",
    "queue_name",
]

#: Channels that a mask of an instruction can name.
MAXIMUM_CHANNELS = 32

#: The bit of a tile address that selects the lane buffers.
LANE_SPACE = 1 << 27


def lane_tile_address(channel: int, offset: int) -> int:
    """Return the tile address of a byte of a channel's lane buffer.

    >>> hex(lane_tile_address(1, 0x40))
    '0x8100040'
    """
    return LANE_SPACE | channel << 20 | offset


class Queue(IntEnum):
    """The instruction queues; of the last kind there is one a channel: number 7 + channel."""

    LOAD = 0
    TAIL = 1
    STORE = 2
    MATRIX = 3
    EPILOGUE = 4
    ATTENTION = 5
    LINK = 6
    PIM = 7


class Opcode(IntEnum):
    """Operations. END closes every stream."""

    END = 0
    LOAD = 1
    STORE = 2
    WEIGHTS = 3
    GEMM = 4
    DRAIN = 5
    ELEMENTWISE = 6
    FUNCTION = 7
    NORM = 8
    TRANSPOSE = 9
    ARGMAX = 10
    SOFTMAX = 11
    TAIL = 12
    VECTOR = 13
    GEMV = 14
    ALLREDUCE = 15
    ROTARY = 16
    REDUCE = 17
    LOAD_PAGES = 18


class Format(IntEnum):
    """Number formats in the tile memories."""

    BF16 = 0
    BINARY32 = 1


class Element(IntEnum):
    """What ELEMENTWISE computes."""

    COPY = 0
    ADD = 1
    SUBTRACT = 2
    MULTIPLY = 3
    GATE = 4


class Function(IntEnum):
    """What FUNCTION computes."""

    EXP = 0
    RECIPROCAL = 1
    RSQRT = 2
    GELU_TANH = 3
    SILU = 4
    SIGMOID = 5
    GELU_ERF = 6


class Norm(IntEnum):
    """What NORM computes."""

    LAYER = 0
    RMS = 1


class Tail(IntEnum):
    """What TAIL adds to."""

    NOTHING = 0
    RESULT = 1


class Reduce(IntEnum):
    """What REDUCE computes."""

    SUM = 0
    MAX = 1


@dataclass(frozen=True, slots=True)
class Field:
    """A bit field of an instruction.

    Attributes
    ----------
    name, bits, doc
        Its name, its width in bits, and what it says.
    choices
        Names of its values, if they have some.
    """

    name: str
    bits: int
    doc: str
    choices: type[IntEnum] | None = None


@dataclass(frozen=True, slots=True)
class Instruction:
    """One line of the table.

    Attributes
    ----------
    opcode, queues, operands, doc
        An operation, the queues that take it, its operands, what it does.
    cycles
        Cycles from start to retirement, if all earlier instructions of its queue have retired: an
        expression over its operands and the constants of :mod:`hw.npu.instruction_cycles`. Empty if
        something outside of the tile, a channel, decides.
    functions
        What its operand ``function`` may be, if it has one; anything else is illegal.
    positive
        Operands that may not be 0: it would be illegal.
    """

    opcode: Opcode
    queues: tuple[Queue, ...]
    operands: tuple[str, ...]
    doc: str
    cycles: str = ""
    functions: type[IntEnum] | None = None
    positive: tuple[str, ...] = ()


#: The header of every instruction.
HEADER = (
    Field("opcode", 5, "operation"),
    Field("wait", 7, "queues (bit: number) of which a token is taken before it starts"),
    Field("signal", 7, "queues (bit: number) to which a token goes when it retires"),
    Field("wait_channels", MAXIMUM_CHANNELS, "PIM queues of which a token is taken"),
    Field("signal_channels", MAXIMUM_CHANNELS, "PIM queues to which a token goes"),
)

_DMA = (
    Field("address", 30, "channel address of the first burst"),
    Field("bursts", 12, "bursts of a row of the transfer, in one lane"),
    Field("rows", 12, "rows of the transfer"),
    Field("stride", 30, "bytes of the channel from row to row"),
)
_LANE = (
    Field("lanes", MAXIMUM_CHANNELS, "channels that take part (bit: channel)"),
    Field("lane_address", 20, "offset in the lane buffer"),
    Field("lane_stride", 20, "bytes of the lane buffer from row to row"),
)
_VECTOR_UNIT = (
    Field("function", 4, "which one of the operation's variants"),
    Field("rows", 10, "rows"),
    Field("n", 16, "elements of a row"),
    Field("m", 10, "tokens of the tail (TAIL), heads of a row (ROTARY)"),
    Field("a", 28, "tile address of operand a"),
    Field("a_stride", 20, "bytes from row to row of a; 0 repeats the row"),
    Field("a_format", 1, "Format of a", Format),
    Field("b", 28, "tile address of operand b"),
    Field("b_stride", 20, "bytes from row to row of b; 0 repeats the row"),
    Field("b_format", 1, "Format of b", Format),
    Field("c", 28, "tile address of operand c"),
    Field("c_stride", 20, "bytes from row to row of c"),
    Field("o", 28, "tile address of the result"),
    Field("o_stride", 20, "bytes from row to row of the result"),
    Field("o_format", 1, "Format of the result", Format),
    Field("x", 32, "a binary32 constant, its bits"),
    Field("y", 32, "a binary32 constant, its bits"),
    Field(
        "overlap", 1, "it may start before those of the same work right before it have written all"
    ),
)

#: Operand fields of each queue, in the order of their bits, after the header.
OPERANDS: dict[Queue, tuple[Field, ...]] = {
    Queue.LOAD: (*_DMA, Field("ring", 24, "ring address of the first stripe")),
    Queue.TAIL: (
        *_DMA,
        *_LANE,
        Field("pages", 12, "pages of the transfer (LOAD_PAGES)"),
        Field("list", 16, "first entry of the pages in the channels' row lists (LOAD_PAGES)"),
    ),
    Queue.STORE: (*_DMA, *_LANE),
    Queue.MATRIX: (
        Field("ring", 24, "ring address of the weight tile"),
        Field("depth", 8, "rows of the weight tile that are valid; 0 is all"),
        Field("rows", 10, "rows of activations, M"),
        Field("address", 27, "tile address, in the activation memory"),
        Field("stride", 20, "bytes from row to row"),
        Field("half", 1, "half of the accumulator memory"),
        Field("accumulate", 1, "add to the accumulators (1) or replace them (0)"),
        Field("format", 1, "Format of the result", Format),
        Field("columns", 11, "columns of the accumulators that are valid; 0 is all"),
    ),
    Queue.EPILOGUE: _VECTOR_UNIT,
    Queue.ATTENTION: _VECTOR_UNIT,
    Queue.LINK: (Field("cycles", 16, "latency of the links"),),
    Queue.PIM: (
        Field("lane_address", 20, "offset in the lane buffer: vector (VECTOR), results (GEMV)"),
        Field("lane_stride", 20, "bytes of the lane buffer from row to row"),
        Field("bursts", 12, "bursts of a row of the vector"),
        Field("rows", 8, "rows of the vector"),
        Field("half", 1, "half of the global vector buffer"),
        Field("offset", 12, "column of the half, for the first GEMV"),
        Field("offset_row", 12, "columns of the half from vector row to row (VECTOR)"),
        Field("list", 16, "first entry of the tiles' rows in the channel's row list"),
        Field("tiles", 16, "tiles"),
        Field("length", 16, "cycles of a tile, for the header"),
        Field("gemvs", 6, "PIM_GEMV commands a tile"),
        Field("k", 8, "columns of a product"),
        Field("column", 8, "column of the row, for the first PIM_GEMV"),
        Field("queries", 6, "PIM_GEMVs in a row that take the same columns; 0 is 1"),
        Field("column_gemv", 8, "columns of the row from one such set of PIM_GEMVs to the next"),
        Field("column_step", 8, "columns of the row from slot to slot"),
        Field("offset_gemv", 12, "columns of the half from PIM_GEMV to PIM_GEMV"),
        Field("offset_step", 12, "columns of the half from slot to slot"),
        Field("offset_tile", 12, "columns of the half from tile to tile"),
        Field("slot", 6, "accumulator slot, for the first PIM_GEMV"),
        Field("slot_gemv", 6, "slots from PIM_GEMV to PIM_GEMV"),
        Field("slots", 6, "slots of a PIM_GEMV"),
        Field("read", 2, "read the results: 0 never, 1 of every tile, 2 of the last one"),
        Field("lane_tile", 20, "bytes of the lane buffer from tile to tile"),
        Field("lane_gemv", 20, "bytes of the lane buffer from PIM_GEMV to PIM_GEMV"),
        Field("lane_slot", 20, "bytes of the lane buffer from slot to slot"),
    ),
}

_ANY = tuple(Queue)
_VECTOR_QUEUES = (Queue.EPILOGUE, Queue.ATTENTION)


def _vector(
    opcode: Opcode,
    operands: tuple[str, ...],
    doc: str,
    functions: type[IntEnum] | None = None,
) -> Instruction:
    """Return a line of the table for the vector units, all of whose instructions may overlap."""
    operands = (*operands, "overlap")
    return Instruction(opcode, _VECTOR_QUEUES, operands, doc, "vector", functions)


#: The instruction set.
INSTRUCTIONS: tuple[Instruction, ...] = (
    Instruction(
        Opcode.END,
        _ANY,
        (),
        "The stream ends; the device is done when all have ended. In the store queue it retires "
        "when everything that was stored is in the cells.",
        "2",
    ),
    Instruction(
        Opcode.LOAD,
        (Queue.LOAD,),
        ("address", "bursts", "rows", "stride", "ring"),
        "Weights: every lane reads the bursts of its channel, one row of the transfer after the "
        "other, and writes the j-th of them to its share of the j-th stripe from ``ring`` on.",
    ),
    Instruction(
        Opcode.LOAD,
        (Queue.TAIL,),
        ("address", "bursts", "rows", "stride", "lanes", "lane_address", "lane_stride"),
        "Everything else: the lanes named read bursts of their channels into their buffers.",
    ),
    Instruction(
        Opcode.LOAD_PAGES,
        (Queue.TAIL,),
        (
            *("address", "bursts", "rows", "stride", "lanes", "lane_address", "lane_stride"),
            *("pages", "list"),
        ),
        "The same rows of each of several pages: a page is a row of all banks, entry ``list`` + i "
        "of the row list of each lane's channel names page i, and ``address`` counts from its "
        "start. In the lane buffer rows go on from page to page: row r of page i goes to "
        "lane_address + (i × rows + r) × lane_stride. A page is never left: what does not lie in "
        "it is a bad address, and so is an entry that names no row.",
    ),
    Instruction(
        Opcode.STORE,
        (Queue.STORE,),
        ("address", "bursts", "rows", "stride", "lanes", "lane_address", "lane_stride"),
        "The lanes named write bursts of their buffers to their channels. Complete when the last "
        "one is accepted by its channel's controller, which keeps the order from there on.",
    ),
    Instruction(
        Opcode.WEIGHTS,
        (Queue.MATRIX,),
        ("ring", "depth"),
        "A weight tile goes from the ring into the shadow weights of the array. Rows from "
        "``depth`` on are +0, whatever the ring holds, and so are, in the GEMM that uses the tile, "
        "the activations that they meet.",
        "weight_latency + weight_cycles",
    ),
    Instruction(
        Opcode.GEMM,
        (Queue.MATRIX,),
        ("rows", "address", "stride", "half", "accumulate"),
        "The oldest unused weight tile is swapped in; ``rows`` rows of bfloat16 activations pass, "
        "and row m of the result replaces row m of the accumulators or is added to it.",
        "gemm_latency + rows",
        positive=("rows",),
    ),
    Instruction(
        Opcode.DRAIN,
        (Queue.MATRIX,),
        ("rows", "address", "stride", "half", "format", "columns"),
        "Rows of the accumulators go to the activation memory; columns from ``columns`` on are "
        "written as +0, whatever they hold.",
        "drain_latency + rows",
        positive=("rows",),
    ),
    _vector(
        Opcode.ELEMENTWISE,
        (
            *("function", "rows", "n", "a", "a_stride", "a_format"),
            *("b", "b_stride", "b_format", "o", "o_stride", "o_format"),
        ),
        "o = a, a + b, a - b, a × b or SiLU(a) × b (GATE), element by element.",
        functions=Element,
    ),
    _vector(
        Opcode.FUNCTION,
        ("function", "rows", "n", "a", "a_stride", "a_format", "o", "o_stride", "o_format"),
        "o = f(a), element by element: exponential, reciprocal, reciprocal square root, GELU in "
        "its tanh and its erf form, SiLU, logistic sigmoid.",
        functions=Function,
    ),
    _vector(
        Opcode.NORM,
        (
            *("function", "rows", "n", "a", "a_stride", "a_format"),
            *("b", "b_format", "c", "o", "o_stride", "o_format", "x", "y"),
        ),
        "LAYER: o = (a - mean) × rsqrt(variance + y) × b + c; RMS: o = a × rsqrt(mean of squares + "
        "y) × b; with x = 1/n. b and c have n elements in the format of b.",
        functions=Norm,
    ),
    _vector(
        Opcode.ROTARY,
        (
            *("rows", "n", "m", "a", "a_stride", "a_format"),
            *("b", "b_stride", "b_format", "o", "o_stride", "o_format"),
        ),
        "Rotary embedding of rows of m heads of n elements each: with c = b[2i] and s = b[2i + 1], "
        "o[2i] = a[2i] × c - a[2i + 1] × s and o[2i + 1] = a[2i + 1] × c + a[2i] × s. All heads of "
        "a row use one row of b, which has n elements.",
    ),
    _vector(
        Opcode.REDUCE,
        ("function", "rows", "n", "a", "a_stride", "a_format", "o", "o_stride", "o_format", "x"),
        "Of each row: the sum of its elements times x (SUM), or the largest one, of which a NaN is "
        "never larger (MAX), followed by zeros to the width of the unit.",
        functions=Reduce,
    ),
    _vector(
        Opcode.TRANSPOSE,
        ("rows", "n", "a", "a_stride", "o", "o_stride", "c_stride"),
        "bfloat16: element e of the rows, in their order, goes to o + (e mod banks) × o_stride + "
        "(e div banks) × c_stride.",
    ),
    _vector(
        Opcode.ARGMAX,
        ("rows", "n", "a", "a_stride", "o", "o_stride"),
        "Of each binary32 row: the index of the largest element (the first of equals, NaN is never "
        "larger), as an unsigned 32-bit integer followed by zeros to the width of the unit.",
    ),
    _vector(
        Opcode.SOFTMAX,
        ("rows", "n", "a", "a_stride", "o", "o_stride", "x"),
        "o = softmax(a × x) of each binary32 row, as bfloat16; elements past n, to the width of "
        "the unit, are +0.",
    ),
    _vector(
        Opcode.TAIL,
        (
            *("function", "rows", "n", "m", "a", "a_stride", "b", "b_stride", "c", "c_stride"),
            *("o", "o_stride", "o_format"),
        ),
        "Attend over the tail: o[h][e] = a[h][e] + sum over t < m of b[h][t] × c[t][h × n + e]; a "
        "is binary32 and left out (+0) if function is NOTHING, b and c are bfloat16, rows are "
        "heads.",
        functions=Tail,
    ),
    Instruction(
        Opcode.VECTOR,
        (Queue.PIM,),
        ("lane_address", "lane_stride", "bursts", "rows", "half", "offset", "offset_row"),
        "Rows of the lane buffer go into the global vector buffer.",
        "rows * bursts + 2",
    ),
    Instruction(
        Opcode.GEMV,
        (Queue.PIM,),
        (
            *("lane_address", "half", "offset", "list", "tiles", "length", "gemvs", "k"),
            *("column", "queries", "column_gemv", "column_step"),
            *("offset_gemv", "offset_step", "offset_tile", "slot", "slot_gemv", "slots", "read"),
            *("lane_tile", "lane_gemv", "lane_slot"),
        ),
        "Tiles of PIM work, their rows taken from the row list; the result of slot s of PIM_GEMV g "
        "of tile i goes to lane_address + i × lane_tile + g × lane_gemv + s × lane_slot (with read "
        "= 2 there is one set of results: i is 0).",
    ),
    Instruction(
        Opcode.ALLREDUCE,
        (Queue.LINK,),
        ("cycles",),
        "Tensor-parallel devices add their results: a loop-back after the latency.",
        "max(cycles, 1) + 1",
    ),
)


def queue_kind(queue: int) -> Queue:
    """Return the kind of a queue by its number: all from 7 on are PIM queues."""
    return Queue(min(queue, Queue.PIM))


def queue_name(queue: int) -> str:
    """Return what messages call a queue.

    >>> queue_name(3), queue_name(8)
    ('matrix', 'pim[1]')
    """
    kind = queue_kind(queue)
    return f"pim[{queue - Queue.PIM}]" if kind is Queue.PIM else kind.name.lower()


def instruction(kind: Queue, opcode: int) -> Instruction | None:
    """Return the line of an operation of a queue; None if the queue has no such operation."""
    lines = (line for line in INSTRUCTIONS if line.opcode == opcode and kind in line.queues)
    return next(lines, None)


def layout(queue: Queue) -> tuple[Field, ...]:
    """Return the fields of a queue's instructions, lowest bits first."""
    return HEADER + OPERANDS[queue]


def bit_layout(queue: Queue) -> tuple[dict[str, tuple[int, int]], int]:
    """Return the first bit and the width of each field of a queue's instructions, and their sum."""
    bits: dict[str, tuple[int, int]] = {}
    start = 0
    for item in layout(queue):
        bits[item.name] = (start, item.bits)
        start += item.bits
    return bits, start
