"""Weight loader: WEIGHTS, from the ring into the shadow weights of the arrays."""

from amaranth.hdl import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.config import TileConfig
from hw.npu.matrix.operands import matrix_operands
from hw.npu.matrix.systolic_array import SystolicArray
from hw.npu.memories.tile_memory import ReadSignature
from hw.npu.memories.weight_ring import WeightRing, piece_bytes
from hw.program.instruction_set import Opcode

__all__ = ["WeightLoader", "load_layout", "row_pieces"]


def row_pieces(config: TileConfig) -> int:
    """Return the pieces of a weight row: the cycles that its reading takes."""
    return 2 * config.npu.tile_columns // piece_bytes(config)


def load_layout(config: TileConfig) -> data.StructLayout:
    """Shape of the place of a piece: whether there is one, its row, part of it, if it is valid."""
    return data.StructLayout(
        {
            "valid": 1,
            "row": range(config.npu.array_rows),
            "piece": range(row_pieces(config)),
            "kept": 1,
        }
    )


class WeightLoader(wiring.Component):
    """Reads a weight tile, a piece a cycle, and says where in the shadow each piece belongs.

    An instruction that starts in cycle s has piece j on the ring's port in cycle s + 1 + j and
    loads it into the shadow in cycle s + j + :attr:`latency`. The next one may start in the cycle
    of the last piece on the port. One instruction can wait inside. Rows from the operand ``depth``
    on are read, which keeps the cycles those of any tile, but not ``kept``: +0 is loaded instead.

    Parameters
    ----------
    config : TileConfig
        Configuration.

    Members
    -------
    i : ``In(stream.Signature(matrix_operands(Opcode.WEIGHTS)))``
        Instructions.
    shadow_free : ``In(1)``
        The tile in the shadow is swapped in at most :attr:`latency` cycles, or there is none.
    start : ``Out(1)``
        Pulse: an instruction starts; from now on the shadow is its own.
    ready : ``Out(1)``
        Pulse: rows that are swapped at least ``latency + 1`` cycles from now will be in the shadow.
    read : ``Out(ReadSignature(log2(weight_ring_bytes), piece_bytes))``
        To the ring.
    load : ``Out(load_layout(config))``
        Where the piece belongs that the ring returns in this cycle.
    depth : ``Out(range(array_rows + 1))``
        Valid rows of the tile that started last, from the cycle after its start on.
    done : ``Out(1)``
        Pulse: the last piece of a tile is loaded in this cycle.
    bad_address : ``Out(1)``
        Pulse: the instruction that starts has an address outside of the ring.
    """

    latency = 1 + WeightRing.latency  #: Cycles from the start to the first load.

    def __init__(self, config: TileConfig):
        self._config = config
        self._ring_bits = exact_log2(config.npu.weight_ring_bytes)
        super().__init__(
            {
                "i": In(stream.Signature(matrix_operands(Opcode.WEIGHTS))),
                "shadow_free": In(1),
                "start": Out(1),
                "ready": Out(1),
                "read": Out(ReadSignature(self._ring_bits, piece_bytes(config))),
                "load": Out(load_layout(config)),
                "depth": Out(range(config.npu.array_rows + 1)),
                "done": Out(1),
                "bad_address": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        rows, pieces = self._config.npu.array_rows, row_pieces(self._config)

        # One instruction waits.
        waiting = Signal()
        next_ring = Signal(24)
        next_depth = Signal.like(self.depth)
        m.d.comb += self.i.ready.eq(~waiting | self.start)
        with m.If(self.start):
            m.d.sync += waiting.eq(0)
        with m.If(self.i.valid & self.i.ready):
            given = self.i.payload.depth
            m.d.sync += [
                waiting.eq(1),
                next_ring.eq(self.i.payload.ring),
                next_depth.eq(Mux((given == 0) | (given > rows), rows, given)),
            ]

        # Stage 1: a piece a cycle on the ring's port.
        reading = Signal()
        address = Signal(self._ring_bits)
        row = Signal(range(rows))
        piece = Signal(range(pieces))
        last_piece = piece == pieces - 1
        last = last_piece & (row == rows - 1)
        m.d.comb += [
            self.start.eq(waiting & self.shadow_free & (~reading | last)),
            self.bad_address.eq(self.start & next_ring[self._ring_bits :].any()),
            self.read.enable.eq(reading),
            self.read.address.eq(address),
        ]
        with m.If(reading):
            m.d.sync += [
                address.eq(address + piece_bytes(self._config)),
                piece.eq(Mux(last_piece, 0, piece + 1)),
                row.eq(row + last_piece),
            ]
            with m.If(last):
                m.d.sync += reading.eq(0)
        with m.If(self.start):
            m.d.sync += [
                reading.eq(1),
                address.eq(next_ring),
                piece.eq(0),
                row.eq(0),
                self.depth.eq(next_depth),
            ]

        # The last row needs its weights later than the first one.
        head_start = max(0, rows * pieces - 2 - SystolicArray.swap_delay(rows - 1))
        ready_row, ready_piece = divmod(head_start, pieces)
        m.d.comb += self.ready.eq(reading & (row == ready_row) & (piece == ready_piece))

        # As many stages as the ring has.
        place = Signal(self.load.shape())
        m.d.comb += [
            place.valid.eq(reading),
            place.row.eq(row),
            place.piece.eq(piece),
            place.kept.eq(row < self.depth),
        ]
        for stage in range(WeightRing.latency):
            delayed = Signal(place.shape(), name=f"place_{stage}")
            m.d.sync += delayed.eq(place)
            place = delayed
        m.d.comb += [
            self.load.eq(place),
            self.done.eq(place.valid & (place.row == rows - 1) & (place.piece == pieces - 1)),
        ]

        return m
