"""GEMV: tiles of PIM work become operations of the channel's controller."""

from amaranth.hdl import *
from amaranth.lib import enum, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import TileConfig
from hw.interconnect import head_layout
from hw.npu.instruction import operand_layout
from hw.npu.memories.row_list import RowListSignature
from hw.program.instruction_set import Queue
from hw.protocol.commands import PimOperation, pim_layout

__all__ = ["GemvSender"]


class _State(enum.Enum, shape=3):
    """What is sent next."""

    IDLE = 0
    HEADER = 1
    ACTIVATION = 2
    GEMV = 3
    PRECHARGE = 4


class GemvSender(wiring.Component):
    """Sends a HEADER, then for each tile an ACTIVATION a bank group, its GEMVs, and a PRECHARGE.

    One operation goes out a cycle, the first one in the cycle after the instruction was taken; the
    next instruction is taken at the earliest in the cycle after the last one.

    Members
    -------
    i : ``In(stream.Signature(operand_layout(Queue.PIM)))``
        GEMV instructions.
    o : ``Out(stream.Signature(head_layout(pim_layout(config))))``
        Operations; the fields that one does not have are undefined.
    rows : ``Out(RowListSignature(config))``
        To the row list, for the rows of tiles.
    bad_address : ``Out(1)``
        The operation is outside of the row list, the row, the vector buffer or the slots, its entry
        of the list names no row, or the instruction has no tiles or PIM_GEMV commands; it is not
        sent.
    """

    def __init__(self, config: TileConfig):
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(operand_layout(Queue.PIM))),
                "o": Out(stream.Signature(head_layout(pim_layout(config)))),
                "rows": Out(RowListSignature(config)),
                "bad_address": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config

        # The instruction, and where it is; carries out of the fields' widths are kept.
        state = Signal(_State)
        operands = Signal(operand_layout(Queue.PIM))
        tiles_left, gemvs_left = Signal(16), Signal(6)
        group = Signal(range(config.memory.groups))
        column, slot = Signal(9), Signal(7)
        offset, tile_offset = Signal(13), Signal(13)
        entry = Signal(17)
        uses = Signal(6)  # PIM_GEMVs that have taken the present columns
        last_group, last_gemv, last_tile, last_use = Signal(), Signal(), Signal(), Signal()
        sent = Signal()
        m.d.comb += [
            last_group.eq(group == config.memory.groups - 1),
            last_gemv.eq(gemvs_left == 1),
            last_tile.eq(tiles_left == 1),
            last_use.eq(uses + 1 >= operands.queries),
            self.i.ready.eq(state == _State.IDLE),
            self.o.valid.eq((state != _State.IDLE) & ~self.bad_address),
            sent.eq(self.o.valid & self.o.ready),
        ]
        m.d.comb += self.rows.index.eq(entry)

        # The operation.
        m.d.comb += [
            self.o.payload.group.eq(group),
            self.o.payload.row.eq(self.rows.row),
            self.o.payload.column.eq(column),
            self.o.payload.offset.eq(offset),
            self.o.payload.slot.eq(slot),
            self.o.payload.read.eq((operands.read == 1) | ((operands.read == 2) & last_tile)),
        ]
        for name in ("column_step", "half", "offset_step", "slots", "k", "tiles", "length"):
            m.d.comb += self.o.payload[name].eq(operands[name])

        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                state.eq(_State.HEADER),
                operands.eq(self.i.payload),
                tiles_left.eq(self.i.payload.tiles),
                entry.eq(self.i.payload.list),
                tile_offset.eq(self.i.payload.offset),
                group.eq(0),
            ]
        with m.Switch(state):
            with m.Case(_State.HEADER):
                m.d.comb += [
                    self.o.payload.operation.eq(PimOperation.HEADER),
                    self.bad_address.eq((operands.tiles == 0) | (operands.gemvs == 0)),
                ]
                with m.If(sent):
                    m.d.sync += state.eq(_State.ACTIVATION)
            with m.Case(_State.ACTIVATION):
                m.d.comb += [
                    self.o.payload.operation.eq(PimOperation.ACTIVATION),
                    self.bad_address.eq(
                        (entry >= config.npu.row_list_entries)
                        | (self.rows.row >= config.memory.rows)
                    ),
                ]
                with m.If(sent):
                    m.d.sync += [
                        group.eq(Mux(last_group, 0, group + 1)),
                        entry.eq(entry + last_group),
                        state.eq(Mux(last_group, _State.GEMV, _State.ACTIVATION)),
                        gemvs_left.eq(operands.gemvs),
                        uses.eq(0),
                        column.eq(operands.column),
                        slot.eq(operands.slot),
                        offset.eq(tile_offset),
                    ]
            with m.Case(_State.GEMV):
                m.d.comb += [
                    self.o.payload.operation.eq(PimOperation.GEMV),
                    self.bad_address.eq(
                        (column >= config.memory.columns)
                        | (offset >= config.vector_columns)
                        | (slot + operands.slots > config.pim.slots)
                        | (operands.slots == 0)
                        | (operands.k == 0)
                    ),
                ]
                with m.If(sent):
                    m.d.sync += [
                        gemvs_left.eq(gemvs_left - 1),
                        uses.eq(Mux(last_use, 0, uses + 1)),
                        column.eq(Mux(last_use, column + operands.column_gemv, column)),
                        slot.eq(slot + operands.slot_gemv),
                        offset.eq(offset + operands.offset_gemv),
                        state.eq(Mux(last_gemv, _State.PRECHARGE, _State.GEMV)),
                    ]
            with m.Case(_State.PRECHARGE):
                m.d.comb += self.o.payload.operation.eq(PimOperation.PRECHARGE)
                with m.If(sent):
                    m.d.sync += [
                        tiles_left.eq(tiles_left - 1),
                        tile_offset.eq(tile_offset + operands.offset_tile),
                        state.eq(Mux(last_tile, _State.IDLE, _State.ACTIVATION)),
                    ]

        return m
