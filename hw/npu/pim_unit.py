"""PIM unit: what the tile has for one channel's PIM queue."""

from amaranth.hdl import *
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.config import Config
from hw.interconnect import head_layout
from hw.isa import Opcode, Queue
from hw.memory.commands import PimOperation, pim_layout
from hw.npu.instruction import operand_layout
from hw.npu.result_writer import ResultWriter

__all__ = ["PimUnit"]


class _State(enum.Enum, shape=3):
    """What the operations' generator is at."""

    IDLE = 0
    HEADER = 1
    ACTIVATION = 2
    GEMV = 3
    PRECHARGE = 4
    VECTOR = 5


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

    Rows of tiles come from the channel's row list, which the host writes; it must not write entries
    that an unfinished GEMV uses.

    Members
    -------
    i : ``In(stream.Signature(operand_layout(Queue.PIM)))``
        Instructions.
    done : ``Out(2)``
        Pulses: the oldest VECTOR (bit 0), the oldest GEMV (bit 1) is complete.
    bad_address : ``Out(1)``
        Something outside of a memory is addressed; the unit stays there.
    list_write : ``In(StructLayout({"enable": 1, "index": …, "row": …}))``
        Write of the row list.
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

    def __init__(self, config: Config):
        self._config = config
        places = exact_log2(config.lane_buffer_bytes // config.burst_bytes)
        access = data.StructLayout({"enable": 1, "place": places})
        list_write = data.StructLayout(
            {"enable": 1, "index": range(config.row_list_entries), "row": range(config.rows)}
        )
        super().__init__(
            {
                "i": In(stream.Signature(operand_layout(Queue.PIM))),
                "done": Out(2),
                "bad_address": Out(1),
                "list_write": In(list_write),
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
        config = self._config
        burst_bits = exact_log2(config.burst_bytes)
        m.submodules.results = results = ResultWriter(config)

        # The instruction at work, and where it is.
        state = Signal(_State)
        operands = Signal(operand_layout(Queue.PIM))
        tiles_left, gemvs_left = Signal(16), Signal(6)
        group = Signal(range(config.groups))
        column, slot = Signal(8), Signal(6)
        offset, start_offset = Signal(13), Signal(13)
        rows_left, bursts_left = Signal(8), Signal(12)
        place, row_place = Signal(21), Signal(21)
        entry = Signal(17)

        m.submodules.row_list = row_list = Memory(
            shape=range(config.rows), depth=config.row_list_entries, init=[]
        )
        list_read, list_write = row_list.read_port(), row_list.write_port()
        m.d.comb += [
            list_write.en.eq(self.list_write.enable),
            list_write.addr.eq(self.list_write.index),
            list_write.data.eq(self.list_write.row),
            list_read.addr.eq(entry),
        ]

        # Take an instruction.
        take = Signal()
        is_vector = self.i.payload.opcode == Opcode.VECTOR
        m.d.comb += [
            self.i.ready.eq((state == _State.IDLE) & (is_vector | results.i.ready)),
            take.eq(self.i.valid & self.i.ready),
            results.i.valid.eq(take & ~is_vector),
            results.i.payload.eq(self.i.payload),
            results.result.eq(self.result),
            results.pim_done.eq(self.pim_done),
            self.write.eq(results.write),
        ]

        # Send an operation. All that a state does not need may have any value.
        sent = Signal()
        outside = Signal()
        last_tile = tiles_left == 1
        m.d.comb += [
            self.o_pim.valid.eq(
                (state != _State.IDLE) & ~outside & ~((state == _State.VECTOR) & self.read_busy)
            ),
            sent.eq(self.o_pim.valid & self.o_pim.ready),
            self.o_pim.payload.group.eq(group),
            self.o_pim.payload.row.eq(list_read.data),
            self.o_pim.payload.column.eq(column),
            self.o_pim.payload.column_step.eq(operands.column_step),
            self.o_pim.payload.half.eq(operands.half),
            self.o_pim.payload.offset.eq(offset),
            self.o_pim.payload.offset_step.eq(operands.offset_step),
            self.o_pim.payload.slot.eq(slot),
            self.o_pim.payload.slots.eq(operands.slots),
            self.o_pim.payload.k.eq(operands.k),
            self.o_pim.payload.read.eq((operands.read == 1) | ((operands.read == 2) & last_tile)),
            self.o_pim.payload.tiles.eq(operands.tiles),
            self.o_pim.payload.length.eq(operands.length),
            self.read.enable.eq(sent & (state == _State.VECTOR)),
            self.read.place.eq(place[burst_bits:]),
        ]

        with m.Switch(state):
            with m.Case(_State.IDLE):
                with m.If(take):
                    m.d.sync += state.eq(Mux(is_vector, _State.VECTOR, _State.HEADER))
            with m.Case(_State.VECTOR):
                m.d.comb += [
                    self.o_pim.payload.operation.eq(PimOperation.GWRITE),
                    outside.eq(
                        place[exact_log2(config.lane_buffer_bytes) :].any()
                        | place[:burst_bits].any()
                        | (offset >= config.vector_columns)
                        | offset[0]
                        | (operands.bursts == 0)
                        | (operands.rows == 0)
                    ),
                ]
                with m.If(sent & (bursts_left == 1) & (rows_left == 1)):
                    m.d.sync += state.eq(_State.IDLE)
            with m.Case(_State.HEADER):
                m.d.comb += [
                    self.o_pim.payload.operation.eq(PimOperation.HEADER),
                    outside.eq((operands.tiles == 0) | (operands.gemvs == 0)),
                ]
                with m.If(sent):
                    m.d.sync += state.eq(_State.ACTIVATION)
            with m.Case(_State.ACTIVATION):
                m.d.comb += [
                    self.o_pim.payload.operation.eq(PimOperation.ACTIVATION),
                    outside.eq(entry >= config.row_list_entries),
                ]
                with m.If(sent & (group == config.groups - 1)):
                    m.d.sync += state.eq(_State.GEMV)
            with m.Case(_State.GEMV):
                m.d.comb += [
                    self.o_pim.payload.operation.eq(PimOperation.GEMV),
                    outside.eq(
                        (column >= config.columns)
                        | (offset >= config.vector_columns)
                        | (slot + operands.slots > config.slots)
                        | (operands.slots == 0)
                        | (operands.k == 0)
                    ),
                ]
                with m.If(sent & (gemvs_left == 1)):
                    m.d.sync += state.eq(_State.PRECHARGE)
            with m.Case(_State.PRECHARGE):
                m.d.comb += self.o_pim.payload.operation.eq(PimOperation.PRECHARGE)
                with m.If(sent):
                    m.d.sync += state.eq(Mux(last_tile, _State.IDLE, _State.ACTIVATION))

        # Step through the vector, and through groups, PIM_GEMV commands and tiles.
        with m.If(take):
            m.d.sync += [
                operands.eq(self.i.payload),
                tiles_left.eq(self.i.payload.tiles),
                entry.eq(self.i.payload.list),
                rows_left.eq(self.i.payload.rows),
                bursts_left.eq(self.i.payload.bursts),
                place.eq(self.i.payload.lane_address),
                row_place.eq(self.i.payload.lane_address),
                offset.eq(self.i.payload.offset),
                start_offset.eq(self.i.payload.offset),
                group.eq(0),
            ]
        with m.If(sent & (state == _State.VECTOR)):
            m.d.sync += [
                place.eq(place + config.burst_bytes),
                offset.eq(offset + 2),
                bursts_left.eq(bursts_left - 1),
            ]
            with m.If(bursts_left == 1):
                m.d.sync += [
                    place.eq(row_place + operands.lane_stride),
                    row_place.eq(row_place + operands.lane_stride),
                    offset.eq(start_offset + operands.offset_row),
                    start_offset.eq(start_offset + operands.offset_row),
                    bursts_left.eq(operands.bursts),
                    rows_left.eq(rows_left - 1),
                ]
        with m.If(sent & (state == _State.ACTIVATION)):
            m.d.sync += [
                group.eq(group + 1),
                gemvs_left.eq(operands.gemvs),
                column.eq(operands.column),
                slot.eq(operands.slot),
                offset.eq(start_offset),
            ]
            with m.If(group == config.groups - 1):
                m.d.sync += [group.eq(0), entry.eq(entry + 1)]
        with m.If(sent & (state == _State.GEMV)):
            m.d.sync += [
                gemvs_left.eq(gemvs_left - 1),
                column.eq(column + operands.column_gemv),
                slot.eq(slot + operands.slot_gemv),
                offset.eq(offset + operands.offset_gemv),
            ]
        with m.If(sent & (state == _State.PRECHARGE)):
            m.d.sync += [
                tiles_left.eq(tiles_left - 1),
                start_offset.eq(start_offset + operands.offset_tile),
            ]

        vector_done = Signal()
        m.d.sync += vector_done.eq(
            sent & (state == _State.VECTOR) & (bursts_left == 1) & (rows_left == 1)
        )
        m.d.comb += [
            self.done.eq(Cat(vector_done, results.done)),
            self.bad_address.eq(outside | results.bad_address),
        ]

        return m
