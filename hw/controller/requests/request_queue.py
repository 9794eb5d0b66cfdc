"""Queue of ordinary requests of one kind, in runs, and the commands that they ask for."""

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import ChannelConfig
from hw.controller.requests.burst_run import candidate_layout, run_layout, run_length
from hw.controller.requests.oldest_ready import Candidates
from hw.controller.row_state import rest_cycles, rows_conflict, tile_layout
from hw.protocol.commands import bus_layout

__all__ = ["RequestQueue"]


class RequestQueue(wiring.Component):
    """Requests of one kind (reads or writes), merged into runs, in the order of their acceptance.

    An entry is a run: up to 16 bursts of a row, one behind the other. A request that continues a
    run joins it, unless one of them waits for requests of the other kind, or a tile was accepted
    between them whose row conflicts with theirs, or another entry has a burst at its address.
    Entries move up when one leaves, so the first is the oldest, and each choice takes the first
    entry that qualifies (:class:`hw.controller.requests.oldest_ready.Candidates`). An entry knows
    whether its row is open (``hit``); it is *free* unless

    - it is a write and waits for reads that were accepted before it, to the same address (a read
      does not wait for a write, whose data are forwarded);
    - it was accepted after a tile whose row conflicts with its own, and that tile has not ended
      (``held``), or ended less than nRP cycles ago (``resting``); where tiles go first, after the
      first tile of a header, until the last has ended or a tile comes that wants its row;
    - the oldest entry is aged (it has been the oldest for ``age`` cycles, and is free) and in the
      same bank.

    An accepted request takes part in the choices from the next cycle on, whose commands issue in
    the one after; no more than one enters and one leaves in a cycle.

    Parameters
    ----------
    depth
        Entries, and slots: a slot names a run from its first request until it is released.
    others
        Slots of the queue of the other kind, if requests wait for those; else 0.

    Members
    -------
    enter, bank, row, column : ``In``
        A request is accepted in this cycle.
    hit, wait : ``In``
        Of that request: whether its row is open, and which slots of the other queue it waits for.
    room : ``Out(1)``, slot, place : ``Out``
        A request may enter; the slot that it would get, and its place in the run.
    release : ``In(depth)``
        Slots that become free.
    same : ``Out(depth)``
        Slots of entries with a burst, served or not, at the address of ``bank``, ``row`` and
        ``column``.
    newest_slot, newest_place : ``Out``
        The last accepted of those bursts.
    served : ``In(others)``
        Slots of the other queue whose last RD or WR issues in this cycle.
    activated : ``In(1)``, active_bank, active_row : ``In``, close : ``In(banks)``
        Rows that open and close in this cycle.
    tile : ``In(tile_layout(config))``
        The PIM tile.
    open : ``In(banks)``
        Banks with an open row.
    may_activate, may_precharge, may_column : ``In(banks)``
        Banks in which a command will be allowed in the next cycle.
    activation, precharge, burst, wanted, unwelcome : ``Out``
        The candidates of the cycle before
        (:class:`hw.controller.requests.oldest_ready.Candidates`).
    take : ``In(1)``, leaves : ``Out(1)``
        RD or WR for ``burst`` issues in this cycle; its run leaves with it.
    count : ``Out``, any_free : ``Out(1)``, aged, needs_row : ``Out(1)``
        Entries; whether one is free; whether the oldest is aged, and its row is not open.
    before_tile : ``Out(1)``
        An entry that must be served before the tile is left.
    vector_bank, vector_row : ``In``, before_vector : ``Out(1)``
        An entry of this row is left.
    """

    def __init__(self, config: ChannelConfig, *, depth: int, others: int):
        self._config = config
        self._depth = depth
        bus = bus_layout(config)
        candidate = candidate_layout(config)
        super().__init__(
            {
                "enter": In(1),
                "bank": In(bus["bank"].shape),
                "row": In(bus["row"].shape),
                "column": In(bus["column"].shape),
                "hit": In(1),
                "wait": In(others),
                "room": Out(1),
                "slot": Out(range(depth)),
                "place": Out(candidate["place"].shape),
                "release": In(depth),
                "same": Out(depth),
                "newest_slot": Out(range(depth)),
                "newest_place": Out(candidate["place"].shape),
                "served": In(others),
                "activated": In(1),
                "active_bank": In(bus["bank"].shape),
                "active_row": In(bus["row"].shape),
                "close": In(config.memory.banks),
                "tile": In(tile_layout(config)),
                "open": In(config.memory.banks),
                "may_activate": In(config.memory.banks),
                "may_precharge": In(config.memory.banks),
                "may_column": In(config.memory.banks),
                "activation": Out(candidate),
                "precharge": Out(candidate),
                "burst": Out(candidate),
                "take": In(1),
                "leaves": Out(1),
                "count": Out(range(depth + 1)),
                "any_free": Out(1),
                "aged": Out(1),
                "needs_row": Out(1),
                "before_tile": Out(1),
                "vector_bank": In(bus["bank"].shape),
                "vector_row": In(bus["row"].shape),
                "before_vector": Out(1),
                "wanted": Out(config.memory.banks),
                "unwelcome": Out(config.memory.banks),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, depth = self._config, self._depth
        entry_layout = run_layout(config, depth, len(self.wait))
        entries = [Signal(entry_layout, name=f"entry_{i}") for i in range(depth)]
        valid = [Signal(name=f"valid_{i}") for i in range(depth)]
        m.d.comb += self.count.eq(sum(valid))

        incoming = Signal(entry_layout)
        joins = self._accept(m, entries, valid, incoming)
        age = Signal(
            range(config.controller.age + 1)
        )  # cycles for which the oldest has been the oldest
        picked = self._choose(m, entries, valid, age)
        self._look(m, entries, valid)

        # Entries of the next cycle: those present and the one that enters, with what happens now,
        # moved up behind the one that leaves.
        rests = rest_cycles(config) > 1  # longer than an entry takes to ask for its ACT
        following, present = [], []
        leaves = Signal(depth)
        for i, entry in enumerate(entries):
            source = Signal(entry_layout, name=f"source_{i}")
            updated = Signal(entry_layout, name=f"updated_{i}")
            opens = (
                self.activated & (source.bank == self.active_bank) & (source.row == self.active_row)
            )
            taken = self.take & picked[i]
            released = self.tile.end | (valid[i] & self._goes_first(entry))
            m.d.comb += [
                leaves[i].eq(taken & (entry.left == 1) & ~joins[i]),
                source.eq(Mux(valid[i], entry, incoming)),
                updated.eq(source),
                updated.wait.eq(source.wait & ~self.served),
                updated.hit.eq((source.hit | opens) & ~self.close.bit_select(source.bank, 1)),
                updated.held.eq(source.held & ~released),
                updated.resting.eq(
                    (source.resting & ~self.tile.rested)
                    | (source.held & released & self.tile.rests & rests)
                ),
                updated.left.eq(source.left + joins[i] - taken),
            ]
            with m.If(taken):
                m.d.comb += [
                    updated.column.eq(source.column + 2),
                    updated.place.eq(source.place + 1),
                ]
            following.append(updated)
            enters = self.enter & ~joins.any() & (valid[i - 1] if i else 1)
            present.append(valid[i] | enters)
        present.append(Const(0))
        following.append(following[-1])
        m.d.comb += self.leaves.eq(leaves.any())
        with m.If(~valid[0] | leaves[0]):
            m.d.sync += age.eq(0)
        for i in range(depth):
            with m.If(leaves[: i + 1].any()):
                m.d.sync += [entries[i].eq(following[i + 1]), valid[i].eq(present[i + 1])]
            with m.Else():
                m.d.sync += [entries[i].eq(following[i]), valid[i].eq(present[i])]
        return m

    def _accept(self, m: Module, entries: list, valid: list, incoming) -> Signal:
        """Place the request of this cycle; return which entry it joins, a bit an entry."""
        config, depth = self._config, self._depth
        length = run_length(config)

        # Slots: the lowest free one is next.
        used = Signal(depth)
        allocated = Signal(depth)
        free_slot = Signal.like(self.slot)
        for i in reversed(range(depth)):
            with m.If(~used[i]):
                m.d.comb += free_slot.eq(i)
        m.d.sync += used.eq((used & ~self.release) | allocated)

        m.d.comb += [
            incoming.bank.eq(self.bank),
            incoming.row.eq(self.row),
            incoming.column.eq(self.column),
            incoming.left.eq(1),
            incoming.slot.eq(free_slot),
            incoming.wait.eq(self.wait),
            incoming.hit.eq(self.hit),
            incoming.held.eq(self.tile.holds & rows_conflict(config, self.row, self.tile.row)),
            incoming.resting.eq(
                self.tile.resting & rows_conflict(config, self.row, self.tile.rested_row)
            ),
        ]
        joins = Signal(depth)
        fits = Signal(depth)  # the run that the request continues
        found, places = [], []
        m.d.comb += self.slot.eq(free_slot)
        for i in reversed(range(depth)):
            entry = entries[i]
            in_row = valid[i] & (entry.bank == self.bank) & (entry.row == self.row)
            distance = Signal(
                range(-config.memory.columns, config.memory.columns), name=f"distance_{i}"
            )
            m.d.comb += distance.eq(self.column - entry.column)
            # Also bursts that were served: who waits for a run does so to its end, and a later
            # request to the same address must not wait for less.
            from_start = Signal(
                range(-config.memory.columns, 2 * config.memory.columns), name=f"from_start_{i}"
            )
            m.d.comb += from_start.eq(distance + (entry.place << 1))
            found.append(in_row & (from_start >= 0) & (distance < entry.left << 1))
            with m.If(found[-1]):
                m.d.comb += self.same.bit_select(entry.slot, 1).eq(1)
            places.append(from_start >> 1)
            continues = (
                in_row
                & (distance == entry.left << 1)
                & (entry.place + entry.left < length)
                & ~(entry.wait.any() | self.wait.any())
                & (entry.held == incoming.held)
                & (entry.resting == incoming.resting)
                & ~self.same.any()  # would overtake an entry behind the run
            )
            with m.If(continues):
                m.d.comb += [
                    fits.eq(1 << i),
                    self.slot.eq(entry.slot),
                    self.place.eq(entry.place + entry.left),
                ]
        for is_there, place, entry in zip(reversed(found), reversed(places), entries, strict=True):
            with m.If(is_there):
                m.d.comb += [self.newest_slot.eq(entry.slot), self.newest_place.eq(place)]
        m.d.comb += [
            self.room.eq((~valid[-1] & ~used.all()) | fits.any()),
            joins.eq(Mux(self.enter, fits, 0)),
            allocated.eq((self.enter & ~fits.any()) << free_slot),
        ]
        return joins

    def _choose(self, m: Module, entries: list, valid: list, age: Signal) -> Value:
        """Find the candidates; return which entry is that for RD or WR, a bit an entry."""
        config, depth = self._config, self._depth
        oldest = entries[0]
        with m.If(age != config.controller.age):
            m.d.sync += age.eq(age + 1)
        oldest_free = valid[0] & ~oldest.wait.any() & ~oldest.held & ~oldest.resting
        m.d.comb += [
            self.aged.eq(oldest_free & (age == config.controller.age)),
            self.needs_row.eq(self.aged & ~oldest.hit),
        ]
        m.submodules.candidates = candidates = Candidates(
            config, depth=depth, others=len(self.wait)
        )
        m.d.comb += [
            *(getattr(candidates, f"run_{i}").eq(entry) for i, entry in enumerate(entries)),
            candidates.valid.eq(Cat(valid)),
            candidates.aged.eq(self.aged),
            candidates.rested.eq(self.tile.rested),
        ]
        for name in ("open", "may_activate", "may_precharge", "may_column"):
            m.d.comb += getattr(candidates, name).eq(getattr(self, name))
        for name in ("activation", "precharge", "burst", "any_free", "wanted", "unwelcome"):
            m.d.comb += getattr(self, name).eq(getattr(candidates, name))
        return candidates.picked

    def _goes_first(self, entry) -> Value:
        """Return whether a held entry was accepted before the present tile, to the same row."""
        return self.tile.fresh & (entry.row == self.tile.row)

    def _look(self, m: Module, entries: list, valid: list):
        """Tell what else others have to know of the entries."""
        config = self._config
        before_vector, before_tile = [], []
        for present, entry in zip(valid, entries, strict=True):
            at_vector = (entry.bank == self.vector_bank) & (entry.row == self.vector_row)
            before_vector.append(present & at_vector)
            conflict = rows_conflict(config, entry.row, self.tile.row)
            before_tile.append(present & (~entry.held | self._goes_first(entry)) & conflict)
        m.d.comb += [
            self.before_vector.eq(Cat(before_vector).any()),
            self.before_tile.eq(self.tile.valid & Cat(before_tile).any()),
        ]
