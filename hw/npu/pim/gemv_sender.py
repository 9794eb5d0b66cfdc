"""GEMV: tiles of PIM work become operations of the channel's controller."""

from amaranth.hdl import *
from amaranth.lib import enum, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.config import TileConfig
from hw.interconnect import head_layout
from hw.npu.instruction import operand_layout
from hw.npu.memories.row_list import RowListSignature
from hw.program.instruction_set import Queue
from hw.protocol.commands import PimOperation, pim_layout
from hw.protocol.tile_length import bursts_ahead

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

    The ranks take turns: a bank group is opened in each of them before the next one in any, since
    every rank has an activation window of its own. Before the next group, the sender ``yields`` to
    the bursts of a VECTOR that follows: to :func:`~hw.protocol.tile_length.bursts_ahead` of them at
    most, and to none any more once there is none. They issue while the window keeps the tile.

    One operation goes out a cycle, the first one in the cycle after the instruction was taken; the
    next instruction is taken at the earliest in the cycle after the last one. The row of a tile is
    a register: the entry of the list is read and the operand ``row`` added while the operations
    before its first ACTIVATION go out.

    Members
    -------
    i : ``In(stream.Signature(operand_layout(Queue.PIM)))``
        GEMV instructions.
    o : ``Out(stream.Signature(head_layout(pim_layout(config))))``
        Operations; the fields that one does not have are undefined.
    rows : ``Out(RowListSignature(config))``
        To the row list, for the rows of tiles.
    half : ``Out(1)``
        The half of the vector buffer that the instruction reads.
    burst, burst_sent : ``In(1)``
        A burst of a VECTOR waits; it is sent in this cycle.
    yields : ``Out(1)``
        That burst goes before the next operation.
    bad_address : ``Out(1)``
        The operation is outside of the row list, the row, the vector buffer or the slots, its tile
        lies in no row, or the instruction has no tiles or PIM_GEMV commands; it is not sent.
    """

    def __init__(self, config: TileConfig):
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(operand_layout(Queue.PIM))),
                "o": Out(stream.Signature(head_layout(pim_layout(config)))),
                "rows": Out(RowListSignature(config)),
                "half": Out(1),
                "burst": In(1),
                "burst_sent": In(1),
                "yields": Out(1),
                "bad_address": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config

        # The instruction, and where it is; carries out of the fields' widths are kept.
        state = Signal(_State)
        operands = Signal(operand_layout(Queue.PIM))
        tiles_left, gemvs_left = Signal.like(operands.tiles), Signal.like(operands.gemvs)
        number = Signal(range(config.memory.groups))  # of the activation: ranks in turn
        rank_bits = exact_log2(config.memory.ranks)
        group = Cat(number[rank_bits:], number[:rank_bits])
        column, slot = Signal(9), Signal(7)
        offset, tile_offset = Signal(13), Signal(13)
        entry = Signal(17)
        row = Signal(18)  # of the tile, two cycles behind the index of its entry
        uses = Signal(6)  # PIM_GEMVs that have taken the present columns
        ahead = Signal(range(bursts_ahead(config) + 1))  # bursts that may go first
        last_group, last_gemv, last_tile, last_use = Signal(), Signal(), Signal(), Signal()
        sent = Signal()
        m.d.comb += [
            last_group.eq(number == config.memory.groups - 1),
            last_gemv.eq(gemvs_left == 1),
            last_tile.eq(tiles_left == 1),
            last_use.eq(uses + 1 >= operands.queries),
            self.i.ready.eq(state == _State.IDLE),
            self.half.eq(operands.half),
            self.yields.eq((ahead != 0) & self.burst),
            self.o.valid.eq((state != _State.IDLE) & ~self.bad_address & ~self.yields),
            sent.eq(self.o.valid & self.o.ready),
        ]
        taken = Mux(state == _State.IDLE, self.i.payload.list, entry)
        m.d.comb += self.rows.index.eq(taken)
        m.d.sync += row.eq(self.rows.row + operands.row)

        # The operation.
        m.d.comb += [
            self.o.payload.group.eq(group),
            self.o.payload.row.eq(row),
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
                number.eq(0),
            ]
        with m.If(self.burst_sent & self.yields):
            m.d.sync += ahead.eq(ahead - 1)
        with m.Elif(~self.yields):
            m.d.sync += ahead.eq(0)
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
                        (entry >= config.npu.row_list_entries) | (row >= config.memory.rows)
                    ),
                ]
                with m.If(sent):
                    m.d.sync += [
                        number.eq(Mux(last_group, 0, number + 1)),
                        ahead.eq(
                            Mux(
                                number[:rank_bits].all() & ~last_group,
                                bursts_ahead(config),
                                0,
                            )
                        ),
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
