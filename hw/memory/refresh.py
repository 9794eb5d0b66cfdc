"""Refresh of a channel: when it is due, when it is pulled in, and its commands."""

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config
from hw.memory.guards import maximum_extent

__all__ = ["Refresh", "longest_tile"]

#: Cycles by which a tile may be longer than its header says (row and column slots; chosen).
MARGIN = 16


def longest_tile(config: Config) -> int:
    """Return the cycles of the longest tile that is expected: every slot takes the whole row.

    From the first PIM_ACTIVATION to the end of tRP after PIM_PRECHARGE; the controller assumes this
    length for a tile without a header.

    Raises
    ------
    ValueError
        If a refresh could be late by more than may be postponed.
    """
    t = config.timing
    cycles = (config.bank_groups - 1) * t.nFAW + 2 * config.ranks
    cycles += max(t.nRAS, t.product_delay + maximum_extent(config) + t.nRTPL) + t.nRP
    if cycles + MARGIN >= config.postpone * t.nREFI:
        raise ValueError(
            f"postpone × nREFI must exceed the longest tile ({cycles} cycles), not be "
            f"{config.postpone * t.nREFI!r}"
        )
    return cycles


class Refresh(wiring.Component):
    """Counts the refreshes that are due, and asks for PREA and REF of all ranks in turn.

    One refresh of every rank becomes due each nREFI cycles. It starts (``closing``) when it is due,
    or earlier when a tile waits that would not end before it; from then on no ordinary command and
    no tile starts. A tile that is running is waited for: a tile starts only if it ``fits``, so this
    happens only if it lasts longer than announced.

    Members
    -------
    tile_waits, tile_runs : ``In(1)``, length : ``In(16)``
        A tile was accepted and has not started; one has; how many cycles it lasts.
    fits : ``Out(1)``
        The tile ends before a refresh is due.
    closing : ``Out(1)``
        A refresh is about to start.
    open : ``In(banks)``
        Banks with an open MEM row.
    may_prea, may_ref : ``In(ranks)``
        Ranks in which the guards allow PREA and REF.
    prea, ref : ``Out(1)``, rank : ``Out``
        Command wanted now.
    issue : ``In(1)``
        It issues in this cycle.
    """

    def __init__(self, config: Config):
        self._config = config
        ranks = config.ranks
        super().__init__(
            {
                "tile_waits": In(1),
                "tile_runs": In(1),
                "length": In(16),
                "fits": Out(1),
                "closing": Out(1),
                "open": In(config.banks),
                "may_prea": In(ranks),
                "may_ref": In(ranks),
                "prea": Out(1),
                "ref": Out(1),
                "rank": Out(range(max(2, ranks))),
                "issue": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        interval, limit = config.timing.nREFI, config.postpone
        banks = config.banks_per_rank

        until_due = Signal(range(interval), init=interval - 1)
        owed = Signal(range(limit + 2))  # refreshes that are due
        ahead = Signal(range(limit + 1))  # refreshes that were pulled in
        left = Signal(config.ranks)  # ranks that the current refresh has not reached
        due = until_due == 0
        done = self.issue & self.ref & ((left & (left - 1)) == 0)
        m.d.sync += until_due.eq(Mux(due, interval - 1, until_due - 1))
        balance = ahead - owed + done - due
        next_balance = Signal.like(balance)
        m.d.comb += next_balance.eq(balance)
        m.d.sync += [
            ahead.eq(Mux(next_balance > 0, next_balance, 0)),
            owed.eq(Mux(next_balance < 0, -next_balance, 0)),
        ]

        # The length is compared a cycle late, which the margin covers.
        fits = Signal()
        m.d.sync += fits.eq((ahead != 0) | (self.length + MARGIN <= until_due))
        pull_in = self.tile_waits & ~self.fits
        m.d.comb += self.fits.eq(fits & (owed == 0) & ~self.closing)
        finished = Signal()  # the comparison knows of the refresh a cycle later
        m.d.sync += finished.eq(done)
        with m.If(self.closing):
            with m.If(finished):
                m.d.sync += self.closing.eq(0)
        with m.Elif(((owed != 0) | pull_in) & ~self.tile_runs):
            m.d.sync += [self.closing.eq(1), left.eq(-1)]
        with m.If(self.issue & self.ref):
            m.d.sync += left.eq(left & ~(1 << self.rank))

        # Close the ranks with open rows, then refresh one after the other.
        with m.If(self.closing & ~self.tile_runs):
            for rank in reversed(range(config.ranks)):
                rank_open = self.open[rank * banks : (rank + 1) * banks].any()
                with m.If(left[rank] & ~rank_open & self.may_ref[rank]):
                    m.d.comb += [self.ref.eq(1), self.rank.eq(rank)]
            for rank in reversed(range(config.ranks)):
                rank_open = self.open[rank * banks : (rank + 1) * banks].any()
                with m.If(rank_open & self.may_prea[rank]):
                    m.d.comb += [self.prea.eq(1), self.ref.eq(0), self.rank.eq(rank)]
        return m
