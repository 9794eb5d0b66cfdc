"""Queue of ordinary requests of one kind, oldest first, and the commands that they ask for."""

from functools import reduce
from operator import or_

from amaranth.hdl import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config
from hw.memory.commands import bus_layout
from hw.memory.row_state import rows_conflict, tile_layout

__all__ = ["RequestQueue", "candidate_layout"]


def candidate_layout(config: Config, tag_bits: int) -> data.StructLayout:
    """Shape of a queue's candidate for a command: what the command needs, and whose it is."""
    bus = bus_layout(config)
    slots = max(config.read_queue, config.write_queue)
    return data.StructLayout(
        {
            "valid": 1,
            "aged": 1,
            "bank": bus["bank"].shape,
            "row": bus["row"].shape,
            "column": bus["column"].shape,
            "tag": tag_bits,
            "slot": range(slots),
        }
    )


class RequestQueue(wiring.Component):
    """Requests of one kind (reads or writes), one burst each, in the order of their acceptance.

    Entries move up when one leaves, so the first is the oldest, and each choice takes the first
    entry that qualifies. An entry knows whether its row is open (``hit``); it is *free* unless

    - it waits for requests of the other kind that were accepted before it, to the same address;
    - it was accepted after a tile whose row conflicts with its own, and that tile has not ended
      (``held``), or ended less than nRP cycles ago (``resting``);
    - the oldest entry is aged (it has been the oldest for ``age`` cycles, and is free) and in the
      same bank.

    An accepted request takes part in the choices from the next cycle on; no more than one enters
    and one leaves in a cycle.

    Parameters
    ----------
    depth
        Entries, and slots: a slot names a request from acceptance until it is released.
    others
        Slots of the queue of the other kind.

    Members
    -------
    enter, bank, row, column, tag : ``In``
        A request is accepted in this cycle.
    hit, wait : ``In``
        Of that request: whether its row is open, and which slots of the other queue it waits for.
    room : ``Out(1)``, slot : ``Out``
        A request may enter; the slot that it would get.
    release : ``In(depth)``
        Slots that become free.
    same : ``Out(depth)``
        Slots of entries at the address of ``bank``, ``row`` and ``column``.
    served : ``In(others)``
        Slots of the other queue of which RD or WR issues in this cycle.
    activated : ``In(1)``, active_bank, active_row : ``In``, close : ``In(banks)``
        Rows that open and close in this cycle.
    tile : ``In(tile_layout(config))``
        The PIM tile.
    open : ``In(banks)``
        Banks with an open row.
    may_activate, may_activate_aged, may_precharge, may_column : ``In(banks)``
        Banks in which a command is allowed; ACT for an aged entry has its own.
    activation, precharge, burst : ``Out``
        The oldest free entry whose bank is closed; whose bank holds another row, which no free
        entry wants; whose row is open: each among those allowed.
    take : ``In(1)``
        RD or WR for ``burst`` issues in this cycle: the entry leaves.
    count : ``Out``, any_free : ``Out(1)``, aged : ``Out(1)``, waiting : ``Out(1)``
        Entries; whether one is free; whether the oldest is aged; whether one waits for the other
        queue.
    before_tile : ``Out(1)``
        An entry that must be served before the tile is left.
    """

    def __init__(self, config: Config, *, depth: int, others: int, tag_bits: int):
        self._config = config
        self._depth = depth
        bus = bus_layout(config)
        candidate = candidate_layout(config, tag_bits)
        super().__init__(
            {
                "enter": In(1),
                "bank": In(bus["bank"].shape),
                "row": In(bus["row"].shape),
                "column": In(bus["column"].shape),
                "tag": In(tag_bits),
                "hit": In(1),
                "wait": In(others),
                "room": Out(1),
                "slot": Out(range(depth)),
                "release": In(depth),
                "same": Out(depth),
                "served": In(others),
                "activated": In(1),
                "active_bank": In(bus["bank"].shape),
                "active_row": In(bus["row"].shape),
                "close": In(config.banks),
                "tile": In(tile_layout(config)),
                "open": In(config.banks),
                "may_activate": In(config.banks),
                "may_activate_aged": In(config.banks),
                "may_precharge": In(config.banks),
                "may_column": In(config.banks),
                "activation": Out(candidate),
                "precharge": Out(candidate),
                "burst": Out(candidate),
                "take": In(1),
                "count": Out(range(depth + 1)),
                "any_free": Out(1),
                "aged": Out(1),
                "waiting": Out(1),
                "before_tile": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, depth = self._config, self._depth
        entry_layout = data.StructLayout(
            {
                "bank": self.bank.shape(),
                "row": self.row.shape(),
                "column": self.column.shape(),
                "tag": self.tag.shape(),
                "slot": self.slot.shape(),
                "wait": self.wait.shape(),
                "hit": 1,
                "held": 1,
                "resting": 1,
            }
        )
        entries = [Signal(entry_layout, name=f"entry_{i}") for i in range(depth)]
        valid = [Signal(name=f"valid_{i}") for i in range(depth)]
        m.d.comb += [self.count.eq(sum(valid)), self.room.eq(0)]

        # Slots: the lowest free one is next.
        used = Signal(depth)
        allocated = Signal(depth)
        for i in reversed(range(depth)):
            with m.If(~used[i]):
                m.d.comb += self.slot.eq(i)
        m.d.comb += [
            self.room.eq(~valid[-1] & ~used.all()),
            allocated.eq(self.enter << self.slot),
        ]
        m.d.sync += used.eq((used & ~self.release) | allocated)

        # What may be chosen.
        age = Signal(range(config.age + 1))
        oldest = entries[0]
        oldest_free = valid[0] & ~oldest.wait.any() & ~oldest.held & ~oldest.resting
        m.d.comb += self.aged.eq(oldest_free & (age == config.age))
        free, wanted = [], []
        for i, entry in enumerate(entries):
            is_free = Signal(name=f"free_{i}")
            barred = self.aged & (entry.bank == oldest.bank) if i else 0
            blocked = entry.wait.any() | entry.held | entry.resting | barred
            m.d.comb += is_free.eq(valid[i] & ~blocked)
            free.append(is_free)
            wanted.append((is_free & entry.hit) << entry.bank)
        unwanted = Signal(config.banks)
        m.d.comb += unwanted.eq(self.open & ~reduce(or_, wanted))

        def choose(candidate, qualifies):
            for i in reversed(range(depth)):
                with m.If(qualifies[i]):
                    m.d.comb += candidate.valid.eq(1)
                    m.d.comb += candidate.aged.eq(self.aged if i == 0 else 0)
                    for name in ("bank", "row", "column", "tag", "slot"):
                        m.d.comb += candidate[name].eq(entries[i][name])

        activate = self.may_activate & ~self.open
        activate_first = Mux(self.aged, self.may_activate_aged & ~self.open, activate)
        precharge = self.may_precharge & unwanted
        bursts = Signal(depth)
        choose(
            self.activation,
            [
                free[i] & (activate if i else activate_first).bit_select(entry.bank, 1)
                for i, entry in enumerate(entries)
            ],
        )
        choose(
            self.precharge,
            [free[i] & ~e.hit & precharge.bit_select(e.bank, 1) for i, e in enumerate(entries)],
        )
        m.d.comb += bursts.eq(
            Cat(
                free[i] & e.hit & self.may_column.bit_select(e.bank, 1)
                for i, e in enumerate(entries)
            )
        )
        choose(self.burst, bursts)
        m.d.comb += [
            self.any_free.eq(Cat(free).any()),
            self.waiting.eq(
                Cat(v & e.wait.any() for v, e in zip(valid, entries, strict=True)).any()
            ),
            self.before_tile.eq(
                self.tile.valid
                & Cat(
                    v & ~e.held & rows_conflict(config, e.row, self.tile.row)
                    for v, e in zip(valid, entries, strict=True)
                ).any()
            ),
        ]
        for i in range(depth):
            at_address = (
                (entries[i].bank == self.bank)
                & (entries[i].row == self.row)
                & (entries[i].column == self.column)
            )
            with m.If(valid[i] & at_address):
                m.d.comb += self.same.bit_select(entries[i].slot, 1).eq(1)

        # Entries of the next cycle: those present and the one that enters, with what happens now,
        # moved up behind the one that leaves.
        incoming = Signal(entry_layout)
        m.d.comb += [
            incoming.bank.eq(self.bank),
            incoming.row.eq(self.row),
            incoming.column.eq(self.column),
            incoming.tag.eq(self.tag),
            incoming.slot.eq(self.slot),
            incoming.wait.eq(self.wait),
            incoming.hit.eq(self.hit),
            incoming.held.eq(self.tile.valid & rows_conflict(config, self.row, self.tile.row)),
            incoming.resting.eq(
                self.tile.resting & rows_conflict(config, self.row, self.tile.rested_row)
            ),
        ]
        following, present = [], []
        for i, entry in enumerate(entries):
            source = Signal(entry_layout, name=f"source_{i}")
            updated = Signal(entry_layout, name=f"updated_{i}")
            opens = (
                self.activated & (source.bank == self.active_bank) & (source.row == self.active_row)
            )
            closes = self.close.bit_select(source.bank, 1)
            m.d.comb += [
                source.eq(Mux(valid[i], entry, incoming)),
                updated.eq(source),
                updated.wait.eq(source.wait & ~self.served),
                updated.hit.eq((source.hit | opens) & ~closes),
                updated.held.eq(source.held & ~self.tile.end),
                updated.resting.eq(
                    (source.resting & ~self.tile.rested) | (source.held & self.tile.end)
                ),
            ]
            following.append(updated)
            present.append(valid[i] | (self.enter & (valid[i - 1] if i else 1)))
        present.append(Const(0))
        following.append(following[-1])
        for i in range(depth):
            with m.If(self.take & bursts[: i + 1].any()):
                m.d.sync += [entries[i].eq(following[i + 1]), valid[i].eq(present[i + 1])]
            with m.Else():
                m.d.sync += [entries[i].eq(following[i]), valid[i].eq(present[i])]

        # How long the oldest entry has been the oldest.
        with m.If(~valid[0] | (self.take & bursts[0])):
            m.d.sync += age.eq(0)
        with m.Elif(age != config.age):
            m.d.sync += age.eq(age + 1)
        return m
