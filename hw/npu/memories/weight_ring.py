"""Weight ring: the memory that the lanes fill with weights, striped burst by burst over them."""

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from amaranth.utils import exact_log2

from hw.config import TileConfig
from hw.npu.memories.tile_memory import ReadSignature, TileMemory, WriteSignature

__all__ = ["WeightRing", "piece_bytes", "stripe_bytes"]


def stripe_bytes(config: TileConfig) -> int:
    """Return the bytes of a stripe: a burst of every lane."""
    return config.memory.channels * config.memory.burst_bytes


def piece_bytes(config: TileConfig) -> int:
    """Return the bytes that are read a cycle: a weight row, or a stripe if that is less."""
    return min(stripe_bytes(config), 2 * config.npu.tile_columns)


class WeightRing(wiring.Component):
    """One memory a lane, of words of one burst; all are read side by side.

    Byte x of the ring is in stripe ``x // (channels * burst_bytes)`` and there in the memory of
    lane ``(x // burst_bytes) % channels``. Each lane writes one burst a cycle, and one piece of
    a weight row is read a cycle: the whole row, or a stripe of it if the row is longer. A read in
    the cycle of a write of the same bytes returns the old ones; tokens keep them apart.

    Parameters
    ----------
    config : TileConfig
        Uses ``channels``, ``burst_bytes``, ``weight_ring_bytes`` and ``tile_columns``.

    Attributes
    ----------
    stripe_bytes, piece_bytes, stripes : int
        Bytes of a stripe, and of what is read a cycle; number of stripes.

    Members
    -------
    lane_{l} : ``In(WriteSignature(log2(stripes), burst_bytes, burst_bytes))``
        Lane l writes a burst; its ``address`` is the number of the stripe, not of a byte.
    read : ``In(ReadSignature(log2(weight_ring_bytes), piece_bytes))``
        Piece at a byte address; the bits below its size are ignored. Latency is :attr:`latency`.
    """

    latency = 2  #: Cycles from a read's address to its data.

    def __init__(self, config: TileConfig):
        self.config = config
        self.stripe_bytes = stripe_bytes(config)
        self.piece_bytes = piece_bytes(config)
        self.stripes = config.npu.weight_ring_bytes // self.stripe_bytes
        lane = WriteSignature(
            exact_log2(self.stripes), config.memory.burst_bytes, config.memory.burst_bytes
        )
        ring_bits = exact_log2(config.npu.weight_ring_bytes)
        super().__init__(
            {f"lane_{i}": In(lane) for i in range(config.memory.channels)}
            | {"read": In(ReadSignature(ring_bits, self.piece_bytes))}
        )

    def elaborate(self, platform):
        m = Module()
        burst_bytes = self.config.memory.burst_bytes
        burst_bits = exact_log2(burst_bytes)

        # Stage 1: every memory reads its burst of the stripe.
        stripe = []
        for i in range(self.config.memory.channels):
            memory = TileMemory(
                size_bytes=self.stripes * burst_bytes,
                word_bytes=burst_bytes,
                reads=[burst_bytes],
                writes=[(burst_bytes, burst_bytes)],
            )
            m.submodules[f"lane_{i}"] = memory
            lane = getattr(self, f"lane_{i}")
            m.d.comb += [
                memory.write_0.enable.eq(lane.enable),
                memory.write_0.address.eq(lane.address << burst_bits),
                memory.write_0.data.eq(lane.data),
                memory.read_0.enable.eq(self.read.enable),
                memory.read_0.address.eq(
                    self.read.address[exact_log2(self.stripe_bytes) :] << burst_bits
                ),
            ]
            stripe.append(memory.read_0.data)
        pieces = self.stripe_bytes // self.piece_bytes
        piece = Signal(range(pieces))
        read = Signal()
        m.d.sync += read.eq(self.read.enable)
        with m.If(self.read.enable):
            m.d.sync += piece.eq(self.read.address[exact_log2(self.piece_bytes) :])

        # Stage 2: select the piece.
        bits = 8 * self.piece_bytes
        with m.If(read):
            # Not word_select(), of which Amaranth takes every bit to depend on all of the stripe.
            with m.Switch(piece):
                for number in range(pieces):
                    with m.Case(number):
                        part = Cat(stripe)[bits * number : bits * (number + 1)]
                        m.d.sync += self.read.data.eq(part)

        return m
