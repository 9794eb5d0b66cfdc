"""Memory of the tile, with ports of several widths: what an SRAM macro takes the place of."""

from collections.abc import Sequence

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

__all__ = ["ReadSignature", "TileMemory", "WriteSignature"]


class ReadSignature(wiring.Signature):
    """A read port, seen from its user.

    Parameters
    ----------
    address_bits : int
        Width of a byte address.
    width_bytes : int
        Bytes that a read returns.

    Members
    -------
    enable : ``Out(1, init=1)``
        Read; without it the data stay.
    address : ``Out(address_bits)``
        Byte address; the bits below the port's width are ignored.
    data : ``In(8 * width_bytes)``
        The bytes, the first one lowest, one cycle after the address.
    """

    def __init__(self, address_bits: int, width_bytes: int):
        super().__init__(
            {
                "enable": Out(1, init=1),
                "address": Out(address_bits),
                "data": In(8 * width_bytes),
            }
        )


class WriteSignature(wiring.Signature):
    """A write port, seen from its user.

    Parameters
    ----------
    address_bits : int
        Width of a byte address.
    width_bytes : int
        Bytes of a write.
    part_bytes : int
        Bytes that an enable bit stands for.

    Members
    -------
    enable : ``Out(width_bytes // part_bytes)``
        Which parts are written.
    address : ``Out(address_bits)``
        Byte address; the bits below the port's width are ignored.
    data : ``Out(8 * width_bytes)``
        The bytes, the first one lowest.
    """

    def __init__(self, address_bits: int, width_bytes: int, part_bytes: int):
        super().__init__(
            {
                "enable": Out(width_bytes // part_bytes),
                "address": Out(address_bits),
                "data": Out(8 * width_bytes),
            }
        )


class TileMemory(wiring.Component):
    """Memory with any number of read and write ports, each an aligned part of a word wide.

    Every port may be used in every cycle. A read in the cycle of a write of the same bytes returns
    the old ones. Two writes of the same bytes in one cycle leave them undefined, and so are all
    bytes that were never written: the users exclude both.

    Parameters
    ----------
    size_bytes : int
        Bytes, a power of two.
    word_bytes : int
        Bytes of a word, a power of two: at least the widest port.
    reads : sequence of int
        Bytes of each read port, powers of two.
    writes : sequence of (int, int)
        Bytes of each write port, and of the parts of it that are enabled on their own; powers of
        two.

    Members
    -------
    read_{i} : ``In(ReadSignature(address_bits, reads[i]))``
        Read port, of latency :attr:`latency`.
    write_{i} : ``In(WriteSignature(address_bits, *writes[i]))``
        Write port; a read in the next cycle sees what it wrote.

    Raises
    ------
    ValueError
        If a size is not a power of two, or a port is wider than a word.
    """

    latency = 1  #: Cycles from address to data.

    def __init__(
        self,
        *,
        size_bytes: int,
        word_bytes: int,
        reads: Sequence[int],
        writes: Sequence[tuple[int, int]],
    ):
        self.check(size_bytes=size_bytes, word_bytes=word_bytes, reads=reads, writes=writes)
        self.size_bytes = size_bytes
        self.word_bytes = word_bytes
        self.reads = tuple(reads)
        self.writes = tuple(writes)
        address_bits = exact_log2(size_bytes)
        super().__init__(
            {f"read_{i}": In(ReadSignature(address_bits, width)) for i, width in enumerate(reads)}
            | {
                f"write_{i}": In(WriteSignature(address_bits, *port))
                for i, port in enumerate(writes)
            }
        )

    @staticmethod
    def check(
        *,
        size_bytes: int,
        word_bytes: int,
        reads: Sequence[int],
        writes: Sequence[tuple[int, int]],
    ) -> None:
        """Raise :exc:`ValueError` for parameters that a memory cannot have."""
        for name, value in (
            *(("size_bytes", size_bytes), ("word_bytes", word_bytes)),
            *(("reads", width) for width in reads),
            *(("writes", width) for port in writes for width in port),
        ):
            if value < 1 or value & (value - 1):
                raise ValueError(f"{name} must be powers of two, not {value!r}")
        if max(*reads, *(width for width, _part in writes), 1) > word_bytes:
            raise ValueError(f"word_bytes must be at least the widest port, not {word_bytes!r}")

    def elaborate(self, platform):
        m = Module()

        m.submodules.memory = memory = Memory(
            shape=unsigned(8 * self.word_bytes), depth=self.size_bytes // self.word_bytes, init=[]
        )
        word_bits = exact_log2(self.word_bytes)

        for i, width_bytes in enumerate(self.reads):
            user = getattr(self, f"read_{i}")
            port = memory.read_port()
            part = Signal(range(self.word_bytes // width_bytes))  # which part of the word is read
            m.d.comb += [
                port.en.eq(user.enable),
                port.addr.eq(user.address[word_bits:]),
            ]
            # Not word_select(), of which Amaranth takes every bit to depend on all of the word.
            with m.Switch(part):
                for copy in range(self.word_bytes // width_bytes):
                    with m.Case(copy):
                        bits = slice(8 * width_bytes * copy, 8 * width_bytes * (copy + 1))
                        m.d.comb += user.data.eq(port.data[bits])
            with m.If(user.enable):
                m.d.sync += part.eq(user.address[exact_log2(width_bytes) : word_bits])

        for i, (width_bytes, part_bytes) in enumerate(self.writes):
            user = getattr(self, f"write_{i}")
            port = memory.write_port(granularity=8 * part_bytes)
            copies = self.word_bytes // width_bytes
            part = user.address[exact_log2(width_bytes) : word_bits]
            m.d.comb += [
                port.addr.eq(user.address[word_bits:]),
                port.data.eq(user.data.replicate(copies)),
                port.en.eq(Cat(Mux(part == copy, user.enable, 0) for copy in range(copies))),
            ]

        return m
