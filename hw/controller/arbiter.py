"""Arbiter of a channel: which command is next.

The policy, whole. Row commands (ACT, PRE, PREA, REF, PIM_ACTIVATION, PIM_PRECHARGE) are on the bus
in even cycles, column commands in odd ones. Only commands that all constraints allow are looked at.

A decision takes two cycles. In the first, each queue finds its candidates by what the guards will
allow in the next cycle (:class:`hw.controller.requests.oldest_ready.Candidates`), and what keeps a
tile or a GWRITE from its row is registered. In the second, the arbiter looks at the guards again,
which know the command of the other kind that issued meanwhile, and chooses. A candidate that is no
longer allowed is dropped, never held: the next decision is made anew. Decisions of one kind do not
overlap, so each sees all that the one before it did.

Row: 1. the refresh; 2. the oldest PIM operation, for a GWRITE from a row PRE and ACT of its bank;
3. PRE (with one row buffer PREA) of rows that keep an accepted tile from its start, once no earlier
request wants them; 4. ACT for the oldest request of the current direction whose bank is closed;
5. PRE for the oldest of the current direction whose bank holds a row that no request of that
direction wants; 6. ACT for the oldest request of the other direction whose bank is closed.

Column: 1. the oldest PIM operation, but one with results yields to the oldest request of the
current direction if that is aged and its row open (:class:`hw.controller.direction.Turn`); 2. the
oldest request of the current direction whose row is open. While a vector burst waits for the bus,
no RD issues, and while it waits for an open row, no WR in that rank; it yields to one burst of an
aged request, as results do. The last burst of a run takes the A form, which saves PRE, if no other
run in the queues wants its row, and either one that may be served wants another row of the bank, or
the burst is the row's last, or its queue is at least half full: then the next one to want the row
is far.

The direction is that of :class:`hw.controller.direction.Turn`.
"""

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import ChannelConfig
from hw.controller.direction import Turn
from hw.controller.guards import ready_layout, soon_layout
from hw.controller.pim.operation import operation_layout
from hw.controller.pim.tile_closing import TileClosing
from hw.controller.requests.burst_run import candidate_layout, queue_layout
from hw.protocol.commands import Command, PimOperation, bus_layout

__all__ = ["Arbiter"]


class Arbiter(wiring.Component):
    """Chooses one command a cycle.

    Members
    -------
    reads, writes : ``In(queue_layout(...))``
        The request queues.
    head : ``In(operation_layout(config))``, head_valid : ``In(1)``
        The oldest PIM operation.
    ready : ``In(ready_layout(config))``, soon : ``In(soon_layout(config))``
        What the guards allow, in this cycle and in the next.
    open : ``In(banks)``
        Banks with an open MEM row.
    closing : ``In(1)``
        A refresh is about to start or in progress: no ordinary command issues.
    read_clear : ``In(ranks)``, write_clear : ``In(1)``
        No result is in the way of RD from a rank, or of WR.
    prea, ref, rank : ``In``
        The refresh.
    tile_started, tile_waits, tile_may_start, tile_close : ``In``
        The tile: its first activation has issued; it waits for that; only timing keeps it; banks
        that must be closed for it.
    barred, waiver : ``In(1)``
        Ordinary ACTs are barred; aged requests are exempt from that.
    gemv_clear : ``In(1)``
        The data bus allows the GEMV at the head.
    half_free : ``In(1)``
        No GEMV reads the half of the vector buffer that the vector burst at the head writes.
    vector_close, vector_activate, vector_gwrite, vector_bars, vector_hold, vector_stop : ``In``
        The GWRITE from a row at the head (:class:`hw.controller.pim.gwrite_from_row.VectorRow`).
    write_forced : ``In(1)``
        That GWRITE waits for a write.
    command : ``Out(bus_layout(config))``
        The command of this cycle, with its fields; it is on the bus in the next one.
    slot, place : ``Out``
        Slot of the run that RD or WR serves, and place of the request in it.
    take_read, take_write, take_pim : ``Out(1)``
        The request or operation leaves its queue.
    vector_yields : ``Out(1)``
        An aged request comes before the vector burst at the head.
    take_refresh : ``Out(1)``
        PREA or REF of the refresh issues.
    waived : ``Out(1)``
        ACT for an aged request issues.
    """

    def __init__(self, config: ChannelConfig):
        self._config = config
        bus, candidate = bus_layout(config), candidate_layout(config)
        super().__init__(
            {
                "reads": In(queue_layout(config)),
                "writes": In(queue_layout(config)),
                "head": In(operation_layout(config)),
                "head_valid": In(1),
                "ready": In(ready_layout(config)),
                "soon": In(soon_layout(config)),
                "open": In(config.memory.banks),
                "closing": In(1),
                "read_clear": In(config.memory.ranks),
                "write_clear": In(1),
                "prea": In(1),
                "ref": In(1),
                "rank": In(range(max(2, config.memory.ranks))),
                "tile_started": In(1),
                "tile_waits": In(1),
                "tile_may_start": In(1),
                "tile_close": In(config.memory.banks),
                "barred": In(1),
                "waiver": In(1),
                "gemv_clear": In(1),
                "half_free": In(1),
                "vector_close": In(1),
                "vector_activate": In(1),
                "vector_gwrite": In(1),
                "vector_bars": In(config.memory.banks),
                "vector_hold": In(config.memory.banks),
                "vector_stop": In(config.memory.banks),
                "write_forced": In(1),
                "command": Out(bus),
                "slot": Out(candidate["slot"].shape),
                "place": Out(candidate["place"].shape),
                "take_read": Out(1),
                "take_write": Out(1),
                "take_pim": Out(1),
                "vector_yields": Out(1),
                "take_refresh": Out(1),
                "waived": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, head, ready = self._config, self.head, self.ready
        reads, writes, command = self.reads, self.writes, self.command
        row_slot = Signal()
        m.d.sync += row_slot.eq(~row_slot)
        m.submodules.turn = turn = Turn(config)
        m.submodules.tile_closing = tile_closing = TileClosing(config)
        writing = turn.writing
        m.d.comb += [
            turn.reads.eq(reads),
            turn.writes.eq(writes),
            turn.write_forced.eq(self.write_forced),
            turn.take.eq(self.take_read | self.take_write),
            tile_closing.waits.eq(self.tile_waits),
            tile_closing.free.eq(~(reads.before_tile | writes.before_tile)),
            tile_closing.close.eq(self.tile_close),
            tile_closing.open.eq(self.open),
            tile_closing.soon.eq(self.soon),
            tile_closing.ready.eq(ready),
        ]

        def oldest_is(operation: PimOperation):
            return self.head_valid & (head.operation == operation)

        activation = (
            oldest_is(PimOperation.ACTIVATION)
            & (self.tile_started | (self.tile_waits & self.tile_may_start))
            & ready.PIM_ACTIVATION.bit_select(head.group, 1)
        )
        precharge = oldest_is(PimOperation.PRECHARGE) & ready.PIM_PRECHARGE
        # What works on columns of the PIM row buffers: the command of each operation.
        works = {
            PimOperation.GEMV: Command.PIM_GEMV,
            PimOperation.DOTPRODUCT: Command.PIM_DOTPRODUCT,
            PimOperation.RDRESULT: Command.PIM_RDRESULT,
        }
        gemv, work, allowed_work = Signal(), Signal(Command), Signal()
        for operation, code in works.items():
            with m.If(oldest_is(operation)):
                m.d.comb += [
                    allowed_work.eq(ready[code.name] & self.gemv_clear),
                    work.eq(code),
                ]
        m.d.comb += [
            gemv.eq(allowed_work & ~(turn.results_yield & head.read)),
            turn.result_ready.eq(allowed_work & head.read & ~row_slot),
        ]
        is_burst, is_row_burst = (
            oldest_is(kind) for kind in (PimOperation.GWRITE, PimOperation.GWRITE_ROW)
        )
        wants_vector = is_burst & self.half_free & ~turn.vector_yields
        vector = wants_vector & ready.PIM_GWRITE_DATA & self.write_clear
        m.d.comb += [
            turn.vector_waits.eq(is_burst | is_row_burst),
            turn.vector_issues.eq(turn.vector_waits & self.take_pim),
            self.vector_yields.eq(turn.vector_yields),
        ]

        def direction(name: str, allowed: Value, other: bool = False):
            """Return the candidate of a direction, whether it may issue, and whether it is aged."""
            candidate = Signal.like(reads[name], name=f"{'other' if other else 'current'}_{name}")
            issues = Signal(name=f"{candidate.as_value().name}_issues")
            is_aged = Signal(name=f"{candidate.as_value().name}_is_aged")
            first, second = (reads, writes) if other else (writes, reads)
            m.d.comb += [
                candidate.eq(Mux(writing, first[name].as_value(), second[name].as_value())),
                issues.eq(candidate.valid & ~self.closing & allowed.bit_select(candidate.bank, 1)),
                is_aged.eq(candidate.oldest & Mux(writing, first.aged, second.aged)),
            ]
            return candidate, issues, is_aged

        # Only the aged are exempt where ACTs are barred.
        activate, activates, is_aged = direction("activation", ready.ACT)
        other, other_activates, other_is_aged = direction("activation", ready.ACT, other=True)
        exempt = ~self.barred | (self.waiver & is_aged)
        other_exempt = ~self.barred | (self.waiver & other_is_aged)
        close, closes_row, _ = direction("precharge", ready.PRE & self.open & ~self.vector_hold)
        clear = Cat(bit.replicate(config.memory.banks_per_rank) for bit in self.read_clear)
        may_read = Mux(wants_vector, 0, ready.RD & clear)
        may_write = Mux(self.write_clear, ready.WR & ~self.vector_bars, 0)
        in_open_row = self.open & ~self.vector_stop
        burst, serves, serves_aged = direction(
            "burst", Mux(writing, may_write, may_read) & in_open_row
        )
        m.d.comb += [
            self.slot.eq(burst.slot),
            self.place.eq(burst.place),
            turn.take_aged.eq(turn.take & serves_aged),
        ]

        # The A form, if the row has served its turn and what was written to it before is safe.
        closes = Signal()
        other_wants = Mux(writing, reads.wanted, writes.wanted).bit_select(burst.bank, 1)
        conflict = (reads.unwelcome | writes.unwelcome).bit_select(burst.bank, 1)
        crowded = Mux(
            writing,
            writes.count >= config.controller.write_queue // 2,
            reads.count >= config.controller.read_queue // 2,
        )
        allowed = Mux(writing, ready.WRA, ready.RDA).bit_select(burst.bank, 1)
        held = self.vector_hold.bit_select(burst.bank, 1)
        m.d.comb += closes.eq(
            burst.last & ~other_wants & ~held & (burst.end | conflict | crowded) & allowed
        )

        # Row commands.
        with m.If(row_slot):
            with m.If(self.prea | self.ref):
                m.d.comb += [
                    command.command.eq(Mux(self.ref, Command.REF, Command.PREA)),
                    command.bank.eq(self.rank * config.memory.banks_per_rank),
                    self.take_refresh.eq(1),
                ]
            with m.Elif(activation):
                m.d.comb += [
                    command.command.eq(Command.PIM_ACTIVATION),
                    command.bank.eq(head.group << 2),
                    command.row.eq(head.row),
                    self.take_pim.eq(1),
                ]
            with m.Elif(precharge):
                m.d.comb += [command.command.eq(Command.PIM_PRECHARGE), self.take_pim.eq(1)]
            with m.Elif(self.vector_activate | self.vector_close):
                m.d.comb += [
                    command.command.eq(Mux(self.vector_close, Command.PRE, Command.ACT)),
                    command.bank.eq(head.bank),
                    command.row.eq(head.row),
                ]
            with m.Elif(tile_closing.valid):
                close_tile = Command.PREA if config.pim.row_buffers == 1 else Command.PRE
                m.d.comb += [command.command.eq(close_tile), command.bank.eq(tile_closing.bank)]
            with m.Elif(activates & exempt):
                m.d.comb += [
                    command.command.eq(Command.ACT),
                    command.bank.eq(activate.bank),
                    command.row.eq(activate.row),
                    self.waived.eq(is_aged),
                ]
            with m.Elif(closes_row):
                m.d.comb += [command.command.eq(Command.PRE), command.bank.eq(close.bank)]
            with m.Elif(other_activates & other_exempt):
                m.d.comb += [
                    command.command.eq(Command.ACT),
                    command.bank.eq(other.bank),
                    command.row.eq(other.row),
                    self.waived.eq(other_is_aged),
                ]

        # Column commands.
        with m.Elif(gemv):
            fields = ("column", "column_step", "half", "offset", "offset_step")
            fields += ("slot", "slots", "k", "read")
            m.d.comb += [
                command.command.eq(work),
                *(command[name].eq(head[name]) for name in fields),
                self.take_pim.eq(1),
            ]
        with m.Elif(vector):
            m.d.comb += [
                command.command.eq(Command.PIM_GWRITE_DATA),
                command.half.eq(head.half),
                command.offset.eq(head.offset),
                self.take_pim.eq(1),
            ]
        with m.Elif(self.vector_gwrite):
            m.d.comb += [
                command.command.eq(Command.PIM_GWRITE),
                *(command[name].eq(head[name]) for name in ("bank", "column", "half", "offset")),
                command.k.eq(config.memory.bursts if config.pim.gwrite == "row" else 1),
                self.take_pim.eq(1),
            ]
        with m.Elif(serves):
            m.d.comb += [
                command.command.eq(
                    Mux(
                        writing,
                        Mux(closes, Command.WRA, Command.WR),
                        Mux(closes, Command.RDA, Command.RD),
                    )
                ),
                command.bank.eq(burst.bank),
                command.column.eq(burst.column),
                self.take_write.eq(writing),
                self.take_read.eq(~writing),
            ]
        return m
