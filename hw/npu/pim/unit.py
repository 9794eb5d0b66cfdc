"""PIM unit: what the tile has for one channel's PIM queue."""

from amaranth.hdl import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.config import TileConfig
from hw.interconnect import head_layout
from hw.npu.instruction import operand_layout
from hw.npu.memories.row_list import RowListSignature
from hw.npu.pim.gemv_sender import GemvSender
from hw.npu.pim.result_writer import ResultWriter
from hw.npu.pim.vector_sender import VectorSender
from hw.program.instruction_set import Opcode, Queue
from hw.protocol.commands import pim_layout
from hw.repeated import repeated

__all__ = ["PimUnit"]


@repeated
class PimUnit(wiring.Component):
    """Turns VECTOR and GEMV into the PIM operations of a channel, and takes their results.

    Operations go out in the order of the instructions, one a cycle: for VECTOR a GWRITE a burst;
    for GEMV a HEADER, then for each tile an ACTIVATION a bank group, its GEMVs, a PRECHARGE. An
    instruction is taken when all operations of the one before it have been sent, but results of up
    to four earlier GEMVs may be outstanding; its first operation can go out in the next cycle.
    A VECTOR gives way to a STORE at the lane buffer's read port.

    VECTOR is complete when its last burst has been read and sent, GEMV when its last result is in
    the lane buffer (with ``read`` = 0: when the last tile has ended); ``done`` is high in the cycle
    after. Nothing is complete without work: a VECTOR without bursts and a GEMV without tiles or
    PIM_GEMV commands are refused as bad addresses are.

    Members
    -------
    i : ``In(stream.Signature(operand_layout(Queue.PIM)))``
        Instructions.
    done : ``Out(2)``
        Pulses: the oldest VECTOR (bit 0), the oldest GEMV (bit 1) is complete.
    bad_address : ``Out(1)``
        Something outside of a memory is addressed; the unit stays there.
    rows : ``Out(RowListSignature(config))``
        To the row list.
    o_pim : ``Out(stream.Signature(head_layout(pim_layout(config))))``
        Operations, to the link.
    read_busy : ``In(1)``
        The lane buffer's read port is taken.
    read : ``Out(StructLayout({"enable": 1, "place": …}))``
        Read of the lane buffer, by bursts, in the cycle in which the GWRITE is sent; the data
        follow it on the link a cycle later.
    result : ``In(1)``
        A burst of results has come.
    pim_done : ``In(1)``
        Pulse: a tile has ended.
    write : ``Out(StructLayout({"enable": 1, "place": …}))``
        Where in the lane buffer the burst goes, by bursts, in the cycle in which it comes.
    """

    def __init__(self, config: TileConfig):
        self._config = config
        places = exact_log2(config.npu.lane_buffer_bytes // config.memory.burst_bytes)
        access = data.StructLayout({"enable": 1, "place": places})
        super().__init__(
            {
                "i": In(stream.Signature(operand_layout(Queue.PIM))),
                "done": Out(2),
                "bad_address": Out(1),
                "rows": Out(RowListSignature(config)),
                "o_pim": Out(stream.Signature(head_layout(pim_layout(config)))),
                "read_busy": In(1),
                "read": Out(access),
                "result": In(1),
                "pim_done": In(1),
                "write": Out(access),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.vectors = vectors = VectorSender(self._config)
        m.submodules.gemvs = gemvs = GemvSender(self._config)
        m.submodules.results = results = ResultWriter(self._config)

        # Instructions, one at a time.
        is_vector = self.i.payload.opcode == Opcode.VECTOR
        free = Signal()
        m.d.comb += [
            free.eq(vectors.i.ready & gemvs.i.ready),
            self.i.ready.eq(free & (is_vector | results.i.ready)),
            vectors.i.valid.eq(self.i.valid & self.i.ready & is_vector),
            gemvs.i.valid.eq(self.i.valid & self.i.ready & ~is_vector),
            results.i.valid.eq(self.i.valid & free & ~is_vector),
        ]
        m.d.comb += [unit.i.payload.eq(self.i.payload) for unit in (vectors, gemvs, results)]

        # Operations: the senders share what GWRITE and GEMV both have.
        m.d.comb += [
            self.o_pim.valid.eq((vectors.o.valid & ~self.read_busy) | gemvs.o.valid),
            vectors.o.ready.eq(self.o_pim.ready & ~self.read_busy),
            gemvs.o.ready.eq(self.o_pim.ready),
            self.o_pim.payload.eq(gemvs.o.payload),
            self.read.eq(vectors.read),
        ]
        wiring.connect(m, gemvs.rows, wiring.flipped(self.rows))
        with m.If(vectors.o.valid):
            m.d.comb += [
                self.o_pim.payload[name].eq(vectors.o.payload[name])
                for name in ("operation", "half", "offset")
            ]

        # Results.
        m.d.comb += [
            results.result.eq(self.result),
            results.pim_done.eq(self.pim_done),
            self.write.eq(results.write),
            self.done.eq(Cat(vectors.done, results.done)),
            self.bad_address.eq(vectors.bad_address | gemvs.bad_address | results.bad_address),
        ]

        return m
