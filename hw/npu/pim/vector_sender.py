"""VECTOR: bursts of the lane buffer go into the global vector buffer of the channel."""

from amaranth.hdl import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.config import TileConfig
from hw.interconnect import head_layout
from hw.npu.instruction import operand_layout
from hw.program.instruction_set import Queue
from hw.protocol.commands import PimOperation, pim_layout

__all__ = ["VectorSender"]


class VectorSender(wiring.Component):
    """Sends a GWRITE for every burst of a VECTOR, one a cycle, row after row.

    The first one can go out in the cycle after the instruction was taken; the next instruction is
    taken at the earliest in the cycle after the last one.

    Members
    -------
    i : ``In(stream.Signature(operand_layout(Queue.PIM)))``
        VECTOR instructions.
    o : ``Out(stream.Signature(head_layout(pim_layout(config))))``
        GWRITEs, without their data.
    read : ``Out(StructLayout({"enable": 1, "place": …}))``
        Read of the lane buffer, by bursts, in the cycle in which the GWRITE is sent.
    done : ``Out(1)``
        Pulse in the cycle after the last burst was sent.
    bad_address : ``Out(1)``
        The burst is outside of the lane buffer or of the vector buffer, or not aligned, or there is
        none; it is not sent.
    """

    def __init__(self, config: TileConfig):
        self._config = config
        places = exact_log2(config.npu.lane_buffer_bytes // config.memory.burst_bytes)
        super().__init__(
            {
                "i": In(stream.Signature(operand_layout(Queue.PIM))),
                "o": Out(stream.Signature(head_layout(pim_layout(config)))),
                "read": Out(data.StructLayout({"enable": 1, "place": places})),
                "done": Out(1),
                "bad_address": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        burst_bits = exact_log2(config.memory.burst_bytes)

        # The burst that is next; carries out of the fields' widths are kept, to be refused.
        active = Signal()
        half = Signal()
        lane_stride, offset_row, bursts = Signal(20), Signal(12), Signal(12)
        place, row_place = Signal(21), Signal(21)
        offset, row_offset = Signal(13), Signal(13)
        rows_left, bursts_left = Signal(8), Signal(12)
        sent, ends = Signal(), Signal()
        nothing = (rows_left == 0) | (bursts_left == 0)
        m.d.comb += [
            self.bad_address.eq(
                active
                & (
                    place[exact_log2(config.npu.lane_buffer_bytes) :].any()
                    | place[:burst_bits].any()
                    | (offset >= config.vector_columns)
                    | offset[0]
                    | nothing
                )
            ),
            self.i.ready.eq(~active),
            self.o.valid.eq(active & ~self.bad_address),
            self.o.payload.operation.eq(PimOperation.GWRITE),
            self.o.payload.half.eq(half),
            self.o.payload.offset.eq(offset),
            sent.eq(self.o.valid & self.o.ready),
            ends.eq((bursts_left == 1) & (rows_left == 1)),
            self.read.enable.eq(sent),
            self.read.place.eq(place[burst_bits:]),
        ]
        with m.If(self.i.valid & self.i.ready):
            operands = self.i.payload
            m.d.sync += [
                active.eq(1),
                half.eq(operands.half),
                lane_stride.eq(operands.lane_stride),
                offset_row.eq(operands.offset_row),
                bursts.eq(operands.bursts),
                place.eq(operands.lane_address),
                row_place.eq(operands.lane_address),
                offset.eq(operands.offset),
                row_offset.eq(operands.offset),
                rows_left.eq(operands.rows),
                bursts_left.eq(operands.bursts),
            ]
        with m.If(sent):
            m.d.sync += [
                active.eq(~ends),
                place.eq(place + config.memory.burst_bytes),
                offset.eq(offset + 2),
                bursts_left.eq(bursts_left - 1),
            ]
            with m.If(bursts_left == 1):
                m.d.sync += [
                    place.eq(row_place + lane_stride),
                    row_place.eq(row_place + lane_stride),
                    offset.eq(row_offset + offset_row),
                    row_offset.eq(row_offset + offset_row),
                    bursts_left.eq(bursts),
                    rows_left.eq(rows_left - 1),
                ]
        m.d.sync += self.done.eq(sent & ends)

        return m
