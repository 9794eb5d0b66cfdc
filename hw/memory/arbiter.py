"""Arbiter of a channel: which command is next.

The policy, whole. Row commands (ACT, PRE, PREA, REF, PIM_ACTIVATION, PIM_PRECHARGE) are on the bus
in even cycles, column commands in odd ones; each is chosen in the cycle before, from registers.
Only commands that all constraints allow are looked at.

Either kind is chosen every second cycle, but in one cycle: the choice marks its run as served, and
the guards, that the next choice of the same kind sees. The longest path goes from the guards and
the runs through the first free run that qualifies (16 entries, whose bank picks one of the guards),
the direction, the A form of RD or WR and the command itself to guards and runs. A flow that wants
it in two cycles has to register each queue's candidates, and to look two cycles ahead in guards
and rows.

Row: 1. the refresh; 2. the oldest PIM operation, for a GWRITE from a row PRE and ACT of its bank;
3. PRE (with one row buffer PREA) of rows that keep an accepted tile from its start, once no earlier
request wants them; 4. ACT for the oldest request of the current direction whose bank is closed;
5. PRE for the oldest of the current direction whose bank holds a row that no request of that
direction wants; 6. ACT for the oldest request of the other direction whose bank is closed.

Column: 1. the oldest PIM operation; 2. the oldest request of the current direction whose row is
open. While a vector burst waits for the bus, no RD issues; an aged request comes before it. The
last burst of a run takes the A form, which saves PRE, if no other run in the queues wants its row,
and either one that may be served wants another row of the bank, or the burst is the row's last, or
its queue is at least half full: then the next one to want the row is far.

Direction: writes when no read can be served, or at the high watermark, or if a tile, a GWRITE or a
read waits for a write or the oldest write is aged; but after at least one read of this turn. Reads
again when no write can be served, or at the low watermark if nothing forces writes, or after TURN
writes, or if the oldest read is aged; but after at least one write. A turn does not end while its
oldest request is aged.
"""

from amaranth.hdl import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config
from hw.memory.commands import Command, PimOperation, bus_layout
from hw.memory.guards import ready_layout
from hw.memory.pim_operation import operation_layout
from hw.memory.run import candidate_layout

__all__ = ["TURN", "Arbiter", "queue_layout"]

#: Writes after which reads come again if any can be served (chosen: four times what the change of
#: direction costs).
TURN = 32


def queue_layout(config: Config) -> data.StructLayout:
    """Shape of what a request queue tells the arbiter (see its members of the same names)."""
    candidate = candidate_layout(config)
    return data.StructLayout(
        {
            "activation": candidate,
            "precharge": candidate,
            "burst": candidate,
            "count": range(max(config.read_queue, config.write_queue) + 1),
            "any_free": 1,
            "aged": 1,
            "waiting": 1,
            "before_tile": 1,
            "before_vector": 1,
            "wanted": config.banks,
            "unwelcome": config.banks,
        }
    )


class Arbiter(wiring.Component):
    """Chooses one command a cycle.

    Members
    -------
    reads, writes : ``In(queue_layout(...))``
        The request queues.
    head : ``In(operation_layout(config))``, head_valid : ``In(1)``
        The oldest PIM operation.
    ready : ``In(ready_layout(config))``
        What the guards allow.
    prea, ref, rank : ``In``
        The refresh.
    tile_started, tile_waits, tile_may_start, tile_close : ``In``
        The tile: its first activation has issued; it waits for that; only timing keeps it; banks
        that must be closed for it.
    gemv_clear, vector_clear : ``In(1)``
        The data bus allows the GEMV, or the vector burst, at the head.
    vector_close, vector_activate, vector_gwrite, vector_hold : ``In``
        The GWRITE from a row at the head (:class:`hw.memory.vector_row.VectorRow`); the bank whose
        row it needs.
    write_forced : ``In(1)``
        That GWRITE waits for a write.
    command : ``Out(bus_layout(config))``
        The command of this cycle, with its fields; it is on the bus in the next one.
    slot, place : ``Out``
        Slot of the run that RD or WR serves, and place of the request in it.
    take_read, take_write, take_pim : ``Out(1)``
        The request or operation leaves its queue.
    take_refresh : ``Out(1)``
        PREA or REF of the refresh issues.
    waived : ``Out(1)``
        ACT for an aged request issues.
    """

    def __init__(self, config: Config):
        self._config = config
        bus, candidate = bus_layout(config), candidate_layout(config)
        super().__init__(
            {
                "reads": In(queue_layout(config)),
                "writes": In(queue_layout(config)),
                "head": In(operation_layout(config)),
                "head_valid": In(1),
                "ready": In(ready_layout(config)),
                "prea": In(1),
                "ref": In(1),
                "rank": In(range(max(2, config.ranks))),
                "tile_started": In(1),
                "tile_waits": In(1),
                "tile_may_start": In(1),
                "tile_close": In(config.banks),
                "gemv_clear": In(1),
                "vector_clear": In(1),
                "vector_close": In(1),
                "vector_activate": In(1),
                "vector_gwrite": In(1),
                "vector_hold": In(config.banks),
                "write_forced": In(1),
                "command": Out(bus),
                "slot": Out(candidate["slot"].shape),
                "place": Out(candidate["place"].shape),
                "take_read": Out(1),
                "take_write": Out(1),
                "take_pim": Out(1),
                "take_refresh": Out(1),
                "waived": Out(1),
            }
        )

    def _direction(self, m: Module, writing: Signal):
        """Decide whether reads or writes are served."""
        config, reads, writes = self._config, self.reads, self.writes
        served = Signal(range(TURN + 1))  # requests of this turn
        forced = reads.waiting | writes.before_tile | writes.aged | self.write_forced
        to_writes = writes.any_free & (
            ~reads.any_free
            | (((writes.count >= config.write_high) | forced) & (served != 0) & ~reads.aged)
        )
        enough = ((writes.count <= config.write_low) & ~forced) | (served == TURN) | reads.aged
        to_reads = reads.any_free & (~writes.any_free | (enough & (served != 0) & ~writes.aged))
        with m.If(Mux(writing, to_reads, to_writes)):
            m.d.sync += [writing.eq(~writing), served.eq(0)]
        with m.Elif((self.take_read | self.take_write) & (served != TURN)):
            m.d.sync += served.eq(served + 1)

    def elaborate(self, platform):
        m = Module()
        config, head, ready = self._config, self.head, self.ready
        reads, writes, command = self.reads, self.writes, self.command
        row_slot = Signal()
        writing = Signal()
        m.d.sync += row_slot.eq(~row_slot)
        self._direction(m, writing)

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
        gemv, work = Signal(), Signal(Command)
        for operation, code in works.items():
            with m.If(oldest_is(operation)):
                m.d.comb += [gemv.eq(ready[code.name] & self.gemv_clear), work.eq(code)]
        wants_vector = oldest_is(PimOperation.GWRITE) & ~reads.aged & ~writes.aged
        vector = wants_vector & ready.PIM_GWRITE_DATA & self.vector_clear

        # Rows of the tile in MEM row buffers: bank by bank, or all of a rank.
        unit = config.banks_per_rank if config.row_buffers == 1 else 1
        tile_close = Signal()
        tile_bank = Signal.like(command.bank)
        may_close = ready.PREA if config.row_buffers == 1 else ready.PRE
        for i in reversed(range(config.banks // unit)):
            wanted = self.tile_close[i * unit : (i + 1) * unit].any()
            with m.If(wanted & may_close[i]):
                m.d.comb += [tile_close.eq(1), tile_bank.eq(i * unit)]
        before_tile = reads.before_tile | writes.before_tile

        def direction(name: str, other: bool = False):
            candidate = Signal.like(reads[name], name=f"{'other' if other else 'current'}_{name}")
            first, second = (reads, writes) if other else (writes, reads)
            m.d.comb += candidate.eq(Mux(writing, first[name].as_value(), second[name].as_value()))
            return candidate

        activate, close = direction("activation"), direction("precharge")
        burst, other = direction("burst"), direction("activation", other=True)
        m.d.comb += [self.slot.eq(burst.slot), self.place.eq(burst.place)]

        # The A form, if the row has served its turn and what was written to it before is safe.
        closes = Signal()
        other_wants = Mux(writing, reads.wanted, writes.wanted).bit_select(burst.bank, 1)
        conflict = (reads.unwelcome | writes.unwelcome).bit_select(burst.bank, 1)
        crowded = Mux(
            writing,
            writes.count >= config.write_queue // 2,
            reads.count >= config.read_queue // 2,
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
                    command.bank.eq(self.rank * config.banks_per_rank),
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
            with m.Elif(self.tile_waits & ~before_tile & tile_close):
                close_tile = Command.PREA if config.row_buffers == 1 else Command.PRE
                m.d.comb += [command.command.eq(close_tile), command.bank.eq(tile_bank)]
            with m.Elif(activate.valid):
                m.d.comb += [
                    command.command.eq(Command.ACT),
                    command.bank.eq(activate.bank),
                    command.row.eq(activate.row),
                    self.waived.eq(activate.aged),
                ]
            with m.Elif(close.valid):
                m.d.comb += [command.command.eq(Command.PRE), command.bank.eq(close.bank)]
            with m.Elif(other.valid):
                m.d.comb += [
                    command.command.eq(Command.ACT),
                    command.bank.eq(other.bank),
                    command.row.eq(other.row),
                    self.waived.eq(other.aged),
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
                command.k.eq(config.bursts if config.gwrite == "row" else 1),
                self.take_pim.eq(1),
            ]
        with m.Elif(burst.valid):
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
