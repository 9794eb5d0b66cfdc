"""Matrix unit: systolic arrays in lock step, and the three sub-units that use them."""

from amaranth.hdl import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import exact_log2

from hw.config import TileConfig
from hw.npu.matrix.accumulator import Accumulator
from hw.npu.matrix.drain import Drain
from hw.npu.matrix.gemm_feeder import GemmFeeder
from hw.npu.matrix.interlock import MatrixInterlock
from hw.npu.matrix.operands import matrix_operands
from hw.npu.matrix.systolic_array import SystolicArray
from hw.npu.matrix.weight_loader import WeightLoader, row_pieces
from hw.npu.memories.tile_memory import ReadSignature, WriteSignature
from hw.npu.memories.weight_ring import piece_bytes
from hw.program.instruction_set import Opcode

__all__ = ["MatrixUnit"]


class MatrixUnit(wiring.Component):
    """WEIGHTS, GEMM and DRAIN, which overlap as far as their order allows.

    The arrays stand side by side: all take the same activations, each has its block of columns.
    The order of the program is that in which instructions are taken from the three streams, at
    most one a cycle. It is kept by these rules, and whatever they allow starts at once:

    - the n-th GEMM uses the n-th weight tile, and starts when the tile will be in the shadow
      in time; a weight tile is loaded when its predecessor has been swapped in;
    - a GEMM starts ``max(rows, Accumulator.interval)`` cycles after its predecessor, at least;
    - a GEMM starts when all earlier DRAINs of its half of the accumulators have read;
    - a DRAIN starts when all earlier GEMMs into its half are complete.

    GEMMs that follow one another thus start every ``max(rows, weight_cycles,
    Accumulator.interval)`` cycles. One instruction of each kind waits inside, and its stream is not
    ready while it does: a program that takes three weight tiles ahead of their GEMMs never ends.

    Ragged edges cost no cycle. The weights of a tile below its ``depth`` and the activations that
    they meet are +0, so each of their products is; accumulators of columns that are not valid may
    hold anything, and a DRAIN with ``columns`` writes them as +0. So no padding, whatever it
    holds, reaches a valid result.

    An instruction that is taken in cycle t starts in cycle t + 1 at the earliest. In detail, a
    weight tile that starts in cycle w is complete in cycle
    ``w + WeightLoader.latency + weight_cycles - 1``; its GEMM starts in cycle
    ``w + max(1, weight_cycles - 1 - SystolicArray.swap_delay(array_rows - 1))`` at the earliest;
    the next weight tile in cycle ``w + weight_cycles``, and after the start of that GEMM. A GEMM
    that starts in cycle g is complete in cycle ``g + latency + rows - 1``, a DRAIN that starts in
    cycle d in cycle ``d + Drain.latency + rows - 1``, and it has read in cycle ``d + rows``.
    A permission counts from the cycle after its cause.

    Parameters
    ----------
    config : TileConfig
        Configuration.

    Attributes
    ----------
    weight_cycles : int
        Cycles that the loading of a weight tile takes: rows of the array, times the stripes of the
        ring that a row covers.
    latency : int
        Cycles from the start of a GEMM of one row to its being in the accumulators.

    Members
    -------
    i_weights, i_gemm, i_drain : ``In(stream.Signature(matrix_operands(Opcode...)))``
        Instructions; a GEMM or DRAIN of no rows is not allowed.
    done_weights, done_gemm, done_drain : ``Out(1)``
        Pulses: the oldest instruction of the kind is complete; what it wrote can be read from
        the next cycle on.
    ring : ``Out(ReadSignature(log2(weight_ring_bytes), piece_bytes))``
        To a :class:`~hw.npu.memories.weight_ring.WeightRing`.
    activations : ``Out(ReadSignature(log2(activation_bytes), 2 * array_rows))``
        To the activation memory.
    results : ``Out(WriteSignature(log2(activation_bytes), 4 * tile_columns, 2 * tile_columns))``
        To the activation memory.
    o_busy, o_macs : ``Out(1)``
        A row of activations enters the arrays, for ``array_rows * tile_columns`` multiplications.
    o_bad_address : ``Out(1)``
        Pulse: an instruction addresses something outside of a memory.
    """

    def __init__(self, config: TileConfig):
        self._config = config
        self.weight_cycles = self.weight_cycles_of(config)
        self.latency = self.latency_of(config)
        activation_bits = exact_log2(config.npu.activation_bytes)
        row_bytes = 4 * config.npu.tile_columns
        super().__init__(
            {
                "i_weights": In(stream.Signature(matrix_operands(Opcode.WEIGHTS))),
                "i_gemm": In(stream.Signature(matrix_operands(Opcode.GEMM))),
                "i_drain": In(stream.Signature(matrix_operands(Opcode.DRAIN))),
                "done_weights": Out(1),
                "done_gemm": Out(1),
                "done_drain": Out(1),
                "ring": Out(
                    ReadSignature(exact_log2(config.npu.weight_ring_bytes), piece_bytes(config))
                ),
                "activations": Out(ReadSignature(activation_bits, 2 * config.npu.array_rows)),
                "results": Out(WriteSignature(activation_bits, row_bytes, row_bytes // 2)),
                "o_busy": Out(1),
                "o_macs": Out(1),
                "o_bad_address": Out(1),
            }
        )

    @staticmethod
    def weight_cycles_of(config: TileConfig) -> int:
        """Return :attr:`weight_cycles`, without building a unit."""
        return config.npu.array_rows * row_pieces(config)

    @staticmethod
    def period_of(config: TileConfig, rows: int) -> int:
        """Return the cycles from a GEMM of ``rows`` rows to the next one, at least.

        >>> from hw.presets import TINY
        >>> [MatrixUnit.period_of(TINY, rows) for rows in (1, 4, 8)]
        [5, 5, 8]
        """
        return max(rows, MatrixUnit.weight_cycles_of(config), Accumulator.interval)

    @staticmethod
    def latency_of(config: TileConfig) -> int:
        """Return :attr:`latency`, without building a unit."""
        array = SystolicArray.latency_of(config.npu.array_rows)
        return GemmFeeder.latency + array + Accumulator.latency

    def elaborate(self, platform):
        m = Module()
        m.submodules.weight_loader = loader = WeightLoader(self._config)
        m.submodules.gemm_feeder = feeder = GemmFeeder(self._config)
        m.submodules.drain = drain = Drain(self._config)
        connect(m, flipped(self.i_weights), loader.i)
        connect(m, flipped(self.i_gemm), feeder.i)
        connect(m, flipped(self.i_drain), drain.i)
        connect(m, loader.read, flipped(self.ring))
        connect(m, feeder.read, flipped(self.activations))
        connect(m, drain.write, flipped(self.results))

        m.d.comb += [
            self.o_busy.eq(feeder.row.valid),
            self.o_macs.eq(feeder.row.valid),
            self.o_bad_address.eq(loader.bad_address | feeder.bad_address | drain.bad_address),
        ]

        # What goes with a row of activations travels beside it, one cycle ahead of the sums.
        fields = ("valid", "first", "last", "half", "accumulate")
        ahead = SystolicArray.latency_of(self._config.npu.array_rows) - 1
        valid, first, last, half, accumulate = (
            _delayed(m, feeder.row[name], ahead, f"row_{name}") for name in fields
        )
        row = Signal(range(self._config.npu.accumulator_rows))
        next_row = Signal.like(row)
        m.d.comb += row.eq(Mux(first, 0, next_row))
        with m.If(valid):
            m.d.sync += next_row.eq(row + 1)

        # The arrays and their accumulators, each for its block of columns.
        columns = self._config.npu.array_columns
        piece_columns = piece_bytes(self._config) // 2
        drained = []
        for index in range(self._config.npu.arrays):
            m.submodules[f"array_{index}"] = array = SystolicArray(
                self._config.npu.array_rows, columns
            )
            m.d.comb += [
                array.activations.eq(feeder.activations),
                array.swap.eq(feeder.row.valid & feeder.row.first),
                array.load_row.eq(loader.load.row),
            ]
            for column in range(columns):
                piece, part = divmod(index * columns + column, piece_columns)
                m.d.comb += [
                    array.load[column].eq(loader.load.valid & (loader.load.piece == piece)),
                    array.weights[column].eq(
                        Mux(loader.load.kept, self.ring.data.word_select(part, 16), 0)
                    ),
                ]

            accumulator = Accumulator(self._config.npu.accumulator_rows, columns)
            m.submodules[f"accumulator_{index}"] = accumulator
            m.d.comb += [
                accumulator.valid.eq(valid),
                accumulator.half.eq(half),
                accumulator.row.eq(row),
                accumulator.accumulate.eq(accumulate),
                accumulator.sums.eq(array.o),
                accumulator.read.eq(drain.read),
                accumulator.read_half.eq(drain.read_half),
                accumulator.read_row.eq(drain.read_row),
            ]
            drained.append(accumulator.o)
        m.d.comb += drain.accumulators.eq(Cat(drained))

        # The row is written one cycle and an addition later.
        written = 1 + Accumulator.latency
        complete = _delayed(m, last, written, "complete")
        complete_half = _delayed(m, half, written, "complete_half")
        m.d.comb += [
            self.done_weights.eq(loader.done),
            self.done_gemm.eq(complete),
            self.done_drain.eq(drain.done),
        ]

        # Who may start.
        in_flight = 3 + self.latency // Accumulator.interval
        m.submodules.interlock = interlock = MatrixInterlock(in_flight)
        m.d.comb += [
            interlock.take_gemm.eq(self.i_gemm.valid & self.i_gemm.ready),
            interlock.gemm_half.eq(self.i_gemm.payload.half),
            interlock.take_drain.eq(self.i_drain.valid & self.i_drain.ready),
            interlock.drain_half.eq(self.i_drain.payload.half),
            interlock.complete.eq(complete),
            interlock.complete_half.eq(complete_half),
            interlock.drained.eq(drain.read_last),
            interlock.drained_half.eq(drain.read_half),
            interlock.weights_start.eq(loader.start),
            interlock.weights_ready.eq(loader.ready),
            interlock.gemm_start.eq(feeder.start),
            loader.shadow_free.eq(interlock.shadow_free),
            feeder.go.eq(interlock.gemm_go),
            feeder.depth.eq(loader.depth),
            drain.go.eq(interlock.drain_go),
        ]

        return m


def _delayed(m, bit, cycles, name):
    """Return a bit as it was some cycles ago."""
    if cycles == 0:
        return bit
    line = Signal(cycles, name=name)
    m.d.sync += line.eq(Cat(bit, line))
    return line[-1]
