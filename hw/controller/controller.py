"""Channel controller: serves ordinary requests and PIM operations of one memory channel."""

from amaranth.hdl import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import ChannelConfig
from hw.controller.arbiter import Arbiter
from hw.controller.data_path import DataPath
from hw.controller.guards import Guards, maximum_extent
from hw.controller.pim.gwrite_from_row import VectorRow
from hw.controller.pim.queue import PimQueue
from hw.controller.pim.result_windows import ResultWindows
from hw.controller.pim.tile_order import TileOrder
from hw.controller.refresh import Refresh
from hw.controller.requests.request_queue import RequestQueue
from hw.controller.row_state import RowState
from hw.protocol.commands import (
    Command,
    Request,
    bus_layout,
    pim_layout,
    request_layout,
)
from hw.repeated import repeated

__all__ = ["Controller", "accept_layout"]


def accept_layout(config: ChannelConfig, tag_bits: int) -> data.StructLayout:
    """Shape of the strobe that reports an acceptance: 0 read, 1 write, 2 tile, 3 gwrite, 4 forward.

    A gwrite is a GWRITE_ROW, with ``bank``, ``row`` and ``column``; a tile has only the ``row``.
    """
    bus = bus_layout(config)
    return data.StructLayout(
        {
            "valid": 1,
            "kind": 3,
            "bank": bus["bank"].shape,
            "row": bus["row"].shape,
            "column": bus["column"].shape,
            "tag": tag_bits,
        }
    )


@repeated
class Controller(wiring.Component):
    """Orders commands so that every timing constraint holds and every request is answered.

    The policy stands in :mod:`hw.controller.arbiter`. Between ordinary requests and tiles, the
    order on one row is that of acceptance; a tile is accepted when it becomes the oldest PIM
    operation and the one before it has ended. Requests to one address are served in the order of
    acceptance. A command chosen in one cycle is on the bus in the next.

    A read of an address whose write is pending is answered from the memory of pending bursts
    (*forwarded*): without a RD, so no tile and no row has to do with it.

    An accepted request takes part in the choice from the next cycle on. Nothing starves: a run that
    has been the oldest of its kind for ``age`` cycles has its bank to itself, is exempt from the
    preference of PIM for activations, and its direction is not left before it is served. So a
    request waits for at most ``read_queue`` (``write_queue``) runs of its kind, each of which takes
    at most ``age`` cycles, a tile, a refresh and a turn of the other direction after it became the
    oldest; and a tile waits for the requests to its row that were accepted before it, and for the
    ACTs of at most four aged requests. A vector burst waits for the writes to its row that were
    accepted before it, and for one burst of an aged request; and an aged request for one of them.

    Members
    -------
    i_requests : ``In(stream.Signature(request_layout(config, tag_bits)))``
        Ordinary requests, one burst each; ready if the request continues a run or a slot for its
        kind is free.
    i_pim : ``In(stream.Signature(pim_layout(config)))``
        PIM operations, in order. Per tile: ACTIVATION of every bank group, all with one row, then
        GEMV, then PRECHARGE; HEADER before the tiles that it describes; GWRITE anywhere, and
        GWRITE_ROW where its row does not conflict with an open tile's. DOTPRODUCT and RDRESULT may
        stand where GEMV may. Operands beyond a row, the slots or a half of the vector buffer wrap.
    o_reads : ``Out(stream.Signature({tag, data}, always_ready=True))``
        Answers to reads: nCL + 2 cycles after RD is on the bus, one after its second column, so
        nCL + 3 after the choice of RD; forwarded ones 2 or 3 cycles after acceptance.
    o_writes : ``Out(stream.Signature({tag}, always_ready=True))``
        WR is on the bus in this cycle.
    o_results : ``Out(stream.Signature({data}, always_ready=True))``
        Results, burst by burst, in order.
    o_pim_done : ``Out(1)``
        A tile has ended: PIM_PRECHARGE is on the bus.
    command : ``Out(bus_layout(config))``
        The command/address bus.
    o_data : ``Out``, i_data : ``In``, i_valid : ``In(1)``
        The data bus, one column a cycle each way.
    accept : ``Out(accept_layout(config, tag_bits))``
        A request, a tile or a GWRITE_ROW was accepted in this cycle.
    o_idle : ``Out(1)``
        No request and no PIM operation is pending, no data on its way, no refresh in progress.
    """

    def __init__(self, config: ChannelConfig, tag_bits: int):
        self._config = config
        self._tag_bits = tag_bits
        burst, column = config.memory.burst_bytes * 8, config.memory.column_bytes * 8
        answers = data.StructLayout({"tag": tag_bits, "data": burst})
        tags = data.StructLayout({"tag": tag_bits})
        results = data.StructLayout({"data": burst})
        super().__init__(
            {
                "i_requests": In(stream.Signature(request_layout(config, tag_bits))),
                "i_pim": In(stream.Signature(pim_layout(config))),
                "o_reads": Out(stream.Signature(answers, always_ready=True)),
                "o_writes": Out(stream.Signature(tags, always_ready=True)),
                "o_results": Out(stream.Signature(results, always_ready=True)),
                "o_pim_done": Out(1),
                "command": Out(bus_layout(config)),
                "o_data": Out(column),
                "i_data": In(column),
                "i_valid": In(1),
                "accept": Out(accept_layout(config, tag_bits)),
                "o_idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        depths = {"reads": config.controller.read_queue, "writes": config.controller.write_queue}
        m.submodules.reads = RequestQueue(config, depth=depths["reads"], others=0)
        m.submodules.writes = RequestQueue(config, depth=depths["writes"], others=depths["reads"])
        m.submodules.pim = PimQueue(config)
        m.submodules.tiles = TileOrder(config)
        m.submodules.rows = RowState(config)
        m.submodules.vector_row = VectorRow(config)
        m.submodules.guards = Guards(config)
        m.submodules.refresh = Refresh(config)
        m.submodules.windows = ResultWindows(config)
        m.submodules.data_path = DataPath(config, tag_bits=self._tag_bits)
        m.submodules.arbiter = Arbiter(config)
        self._accept(m)
        self._follow_rows(m)
        self._permit(m)
        self._follow_tile(m)
        self._follow_vector(m)
        self._choose(m)
        self._move_data(m)
        m.d.sync += [
            self.command.eq(m.submodules.arbiter.command),
            self.o_pim_done.eq(m.submodules.tiles.precharge),
            self.o_writes.valid.eq(m.submodules.arbiter.take_write),
        ]
        quiet = Signal()
        m.d.comb += [
            quiet.eq(
                (m.submodules.reads.count == 0)
                & (m.submodules.writes.count == 0)
                & m.submodules.pim.empty
                & ~m.submodules.tiles.tile.valid
            ),
            m.submodules.refresh.quiet.eq(quiet),
            self.o_idle.eq(
                quiet
                & m.submodules.data_path.idle
                & m.submodules.windows.idle
                & ~m.submodules.refresh.closing
            ),
        ]
        return m

    def _accept(self, m: Module):
        """Let a request into the queue of its kind, and a tile into its place among them."""
        reads, writes, rows = m.submodules.reads, m.submodules.writes, m.submodules.rows
        pim, tiles, vector_row = m.submodules.pim, m.submodules.tiles, m.submodules.vector_row
        request = self.i_requests.payload
        is_write = request.kind == Request.WRITE
        enters = self.i_requests.valid & self.i_requests.ready
        forwards = Signal()
        forward_ready = m.submodules.data_path.forward_ready
        tile_or_vector = tiles.accept | vector_row.accept
        wiring.connect(m, wiring.flipped(self.i_pim), pim.i)
        m.d.comb += [
            self.i_requests.ready.eq(
                Mux(
                    is_write,
                    writes.room & ~vector_row.bars,
                    Mux(forwards, forward_ready, reads.room),
                )
                & ~tile_or_vector
            ),
            rows.query_bank.eq(request.bank),
            rows.query_row.eq(request.row),
            forwards.eq(~is_write & writes.same.any()),
            reads.enter.eq(enters & ~is_write & ~forwards),
            writes.enter.eq(enters & is_write),
            m.submodules.data_path.forward.eq(enters & forwards),
            writes.wait.eq(reads.same),
            self.accept.valid.eq(enters | tile_or_vector),
            self.accept.kind.eq(
                Mux(
                    tiles.accept,
                    2,
                    Mux(vector_row.accept, 3, Mux(is_write, 1, Mux(forwards, 4, 0))),
                )
            ),
            self.accept.bank.eq(
                Mux(tiles.accept, 0, Mux(vector_row.accept, pim.head.bank, request.bank))
            ),
            self.accept.row.eq(Mux(tile_or_vector, pim.head.row, request.row)),
            self.accept.column.eq(
                Mux(tiles.accept, 0, Mux(vector_row.accept, pim.head.column, request.column))
            ),
            self.accept.tag.eq(Mux(tile_or_vector, 0, request.tag)),
        ]
        for queue in (reads, writes):
            m.d.comb += [
                queue.bank.eq(request.bank),
                queue.row.eq(request.row),
                queue.column.eq(request.column),
                queue.hit.eq(rows.query_hit),
            ]

    def _follow_rows(self, m: Module):
        """Tell rows, guards and refresh what issues in this cycle."""
        config, rows = self._config, m.submodules.rows
        guards, refresh, tiles = m.submodules.guards, m.submodules.refresh, m.submodules.tiles
        chosen = m.submodules.arbiter.command
        closes = Signal()
        m.d.comb += closes.eq(
            (chosen.command == Command.PRE)
            | (chosen.command == Command.RDA)
            | (chosen.command == Command.WRA)
        )
        one = Mux(closes, 1 << chosen.bank, 0)
        rank = ((1 << config.memory.banks_per_rank) - 1) << chosen.bank
        m.d.comb += [
            rows.activate.eq(chosen.command == Command.ACT),
            rows.bank.eq(chosen.bank),
            rows.row.eq(chosen.row),
            rows.close.eq(one | Mux(chosen.command == Command.PREA, rank, 0)),
            rows.tile_row.eq(tiles.tile.row),
            rows.rested.eq(guards.soon.ACT),
            guards.command.eq(chosen.command),
            guards.bank.eq(chosen.bank),
            guards.extent.eq(m.submodules.pim.head.extent),
            refresh.tile_runs.eq(tiles.started),
            refresh.open.eq(rows.open),
            refresh.may_prea.eq(guards.ready.PREA),
            refresh.may_ref.eq(guards.ready.REF),
            refresh.issue.eq(m.submodules.arbiter.take_refresh),
        ]

    def _permit(self, m: Module):
        """Tell the request queues what they may ask for, and what becomes of their requests."""
        reads, writes, pim = m.submodules.reads, m.submodules.writes, m.submodules.pim
        rows, soon, tiles = m.submodules.rows, m.submodules.guards.soon, m.submodules.tiles
        arbiter, windows = m.submodules.arbiter, m.submodules.windows
        data_path = m.submodules.data_path
        banks = self._config.memory.banks_per_rank
        read_soon = Cat(clear.replicate(banks) for clear in windows.read_soon)
        m.d.comb += [
            reads.may_column.eq(soon.RD & read_soon),
            writes.may_column.eq(Mux(windows.write_soon, soon.WR, 0)),
            reads.take.eq(arbiter.take_read),
            writes.take.eq(arbiter.take_write),
            reads.release.eq(writes.served),
            writes.release.eq(Mux(data_path.release, 1 << data_path.release_slot, 0)),
        ]
        m.d.comb += writes.served.eq(Mux(reads.leaves, 1 << arbiter.slot, 0))
        for queue in (reads, writes):
            m.d.comb += [
                queue.activated.eq(rows.activate),
                queue.active_bank.eq(rows.bank),
                queue.active_row.eq(rows.row),
                queue.close.eq(rows.close),
                queue.tile.eq(tiles.tile),
                queue.open.eq(rows.open),
                queue.may_activate.eq(soon.ACT),
                queue.may_precharge.eq(soon.PRE & ~m.submodules.vector_row.hold),
                queue.vector_bank.eq(pim.head.bank),
                queue.vector_row.eq(pim.head.row),
            ]

    def _follow_tile(self, m: Module):
        """Tell the order of tiles what issues, and what keeps a tile from its start."""
        reads, writes, pim = m.submodules.reads, m.submodules.writes, m.submodules.pim
        tiles, arbiter = m.submodules.tiles, m.submodules.arbiter
        before_tile = reads.before_tile | writes.before_tile
        command = arbiter.command.command
        m.d.comb += [
            pim.pop.eq(arbiter.take_pim | tiles.header | m.submodules.vector_row.skip),
            tiles.head.eq(pim.head),
            tiles.head_valid.eq(pim.valid),
            tiles.pending.eq((reads.count != 0) | (writes.count != 0)),
            tiles.vector_waits.eq(m.submodules.vector_row.waits),
            tiles.clear.eq(m.submodules.rows.tile_clear & ~before_tile),
            tiles.fits.eq(m.submodules.refresh.fits),
            tiles.aged.eq(reads.needs_row | writes.needs_row),
            tiles.activate.eq(command == Command.PIM_ACTIVATION),
            tiles.precharge.eq(command == Command.PIM_PRECHARGE),
            tiles.waived.eq(arbiter.waived & (tiles.barred | tiles.waits)),
        ]

    def _follow_vector(self, m: Module):
        """Tell the GWRITE at the head which rows are open, and when its half is free."""
        reads, writes, rows = m.submodules.reads, m.submodules.writes, m.submodules.rows
        vector_row, head = m.submodules.vector_row, m.submodules.pim.head
        # The last GEMV reads its half of the vector buffer until its last column.
        columns_left = Signal(range(maximum_extent(self._config) + 1))
        reading_half = Signal()
        with m.If(m.submodules.arbiter.command.command == Command.PIM_GEMV):
            m.d.sync += [columns_left.eq(head.extent), reading_half.eq(head.half)]
        with m.Elif(columns_left != 0):
            m.d.sync += columns_left.eq(columns_left - 1)
        m.d.comb += [
            rows.vector_bank.eq(head.bank),
            rows.vector_row.eq(head.row),
            vector_row.head.eq(head),
            vector_row.head_valid.eq(m.submodules.pim.valid),
            vector_row.closing.eq(m.submodules.refresh.closing),
            vector_row.aged.eq(reads.aged | writes.aged),
            vector_row.yields.eq(m.submodules.arbiter.vector_yields),
            vector_row.tile.eq(m.submodules.tiles.tile),
            vector_row.open.eq(rows.open),
            vector_row.hit.eq(rows.vector_hit),
            vector_row.ready.eq(m.submodules.guards.ready),
            vector_row.pending.eq(writes.before_vector),
            vector_row.pop.eq(m.submodules.pim.pop),
            vector_row.half_free.eq((columns_left == 0) | (reading_half != head.half)),
            vector_row.request_bank.eq(self.i_requests.payload.bank),
            vector_row.request_row.eq(self.i_requests.payload.row),
        ]

    def _choose(self, m: Module):
        """Tell the arbiter what there is to choose from."""
        arbiter, pim, tiles = m.submodules.arbiter, m.submodules.pim, m.submodules.tiles
        refresh, windows, head = m.submodules.refresh, m.submodules.windows, m.submodules.pim.head
        for told, queue in (
            (arbiter.reads, m.submodules.reads),
            (arbiter.writes, m.submodules.writes),
        ):
            m.d.comb += [told[name].eq(getattr(queue, name)) for name, _ in told.shape()]

        issued = arbiter.command.command
        vector_row = m.submodules.vector_row
        m.d.comb += [
            windows.gemv.eq(head),
            windows.issue.eq(
                ((issued == Command.PIM_GEMV) | (issued == Command.PIM_RDRESULT)) & head.read
            ),
            arbiter.head.eq(head),
            arbiter.head_valid.eq(pim.valid),
            arbiter.ready.eq(m.submodules.guards.ready),
            arbiter.soon.eq(m.submodules.guards.soon),
            arbiter.open.eq(m.submodules.rows.open),
            arbiter.closing.eq(refresh.closing),
            arbiter.read_clear.eq(windows.read_clear),
            arbiter.write_clear.eq(windows.write_clear),
            arbiter.prea.eq(refresh.prea),
            arbiter.ref.eq(refresh.ref),
            arbiter.rank.eq(refresh.rank),
            arbiter.tile_started.eq(tiles.started),
            arbiter.tile_waits.eq(tiles.waits),
            arbiter.tile_may_start.eq(tiles.may_start),
            arbiter.barred.eq(tiles.barred),
            arbiter.waiver.eq(tiles.waiver),
            arbiter.tile_close.eq(m.submodules.rows.tile_close),
            arbiter.gemv_clear.eq(~head.read | (head.first >= windows.until_free)),
            arbiter.half_free.eq(vector_row.half_free),
            arbiter.vector_close.eq(vector_row.close),
            arbiter.vector_activate.eq(vector_row.activate),
            arbiter.vector_gwrite.eq(vector_row.gwrite),
            arbiter.vector_bars.eq(vector_row.bars_writes),
            arbiter.vector_hold.eq(vector_row.hold),
            arbiter.vector_stop.eq(vector_row.stop),
            arbiter.write_forced.eq(vector_row.waits),
        ]

    def _move_data(self, m: Module):
        """Connect the data path."""
        reads, writes, pim = m.submodules.reads, m.submodules.writes, m.submodules.pim
        data_path, arbiter = m.submodules.data_path, m.submodules.arbiter
        request = self.i_requests.payload
        is_write = request.kind == Request.WRITE
        m.d.comb += [
            data_path.read.eq(reads.enter),
            data_path.write.eq(writes.enter),
            data_path.slot.eq(Mux(is_write, writes.slot, reads.slot)),
            data_path.place.eq(Mux(is_write, writes.place, reads.place)),
            data_path.tag.eq(request.tag),
            data_path.data.eq(request.data),
            data_path.forward_slot.eq(writes.newest_slot),
            data_path.forward_place.eq(writes.newest_place),
            data_path.launch_read.eq(arbiter.take_read),
            data_path.launch_write.eq(arbiter.take_write),
            data_path.launch_slot.eq(arbiter.slot),
            data_path.launch_place.eq(arbiter.place),
            data_path.last.eq(writes.leaves),
            data_path.launch_vector.eq(arbiter.command.command == Command.PIM_GWRITE_DATA),
            data_path.i_data.eq(self.i_data),
            data_path.i_valid.eq(self.i_valid),
            data_path.result.eq(m.submodules.windows.now),
            data_path.vector.eq(pim.vector),
            pim.fetch.eq(data_path.fetch),
            self.o_data.eq(data_path.o_data),
            self.o_reads.valid.eq(data_path.o_reads.valid),
            self.o_reads.payload.eq(data_path.o_reads.payload),
            self.o_writes.payload.tag.eq(data_path.o_tag),
            self.o_results.valid.eq(data_path.o_results.valid),
            self.o_results.payload.eq(data_path.o_results.payload),
        ]
