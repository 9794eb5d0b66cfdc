"""Refresh of a channel: when it is due, when it is postponed or pulled in, and its commands."""

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import ChannelConfig
from hw.protocol.results import result_cycles

__all__ = ["Refresh", "longest_tile", "refreshes_at_once"]


def longest_tile(config: ChannelConfig) -> int:
    """Return the cycles of the longest tile: slots × columns products, each of them with a result.

    From the first PIM_ACTIVATION to the end of tRP after PIM_PRECHARGE, if the operations of a tile
    come without gaps. The controller lets no tile start that could keep a refresh from its
    deadline if it lasted so long, whatever a header says.

    Raises
    ------
    ValueError
        If a refresh could be late by more than may be postponed.
    """
    t = config.memory.timing
    turn = t.nTURN if config.memory.ranks > 1 else 0
    product = max(t.nCCDL, result_cycles(config) + turn)
    cycles = (config.memory.bank_groups - 1) * t.nFAW + 2 * config.memory.ranks
    cycles += max(
        t.nRAS, t.product_delay + config.pim.slots * config.memory.columns * product + t.nRTPL
    )
    cycles += t.nRP
    if cycles + _closing_time(config) >= config.controller.postpone * t.nREFI:
        raise ValueError(
            f"postpone × nREFI must exceed the longest tile ({cycles} cycles), not be "
            f"{config.controller.postpone * t.nREFI!r}"
        )
    return cycles


def _closing_time(config: ChannelConfig) -> int:
    """Return the cycles from the end of a tile to the last REF of its ranks, at most."""
    t = config.memory.timing
    last = max(t.nRAS, t.write_delay + t.nCWL + t.nBL + t.nWR)
    return last + t.nRP + t.nPPD + 8 * config.memory.ranks


def refreshes_at_once(config: ChannelConfig) -> int:
    """Return how many refreshes must be due before ordinary work is interrupted for them.

    Two share what an interruption costs beside the refreshes themselves (closing all rows, and
    opening them again behind the activations of a tile), which is more than half a tRFC; one where
    the limit of postponement leaves no room for two and the longest tile.
    """
    room = (config.controller.postpone - 1) * config.memory.timing.nREFI
    return 2 if longest_tile(config) + _closing_time(config) < room else 1


class Refresh(wiring.Component):
    """Counts the cycles to the deadline of the next refresh, and asks for PREA and REF.

    One refresh of every rank becomes due each nREFI cycles; it may be done up to ``postpone`` times
    nREFI later, and as much earlier. It starts (``closing``)

    - when :func:`refreshes_at_once` are due, which then follow one another;
    - when one is due and nothing is pending;
    - when nothing has been pending for nRFC cycles, as long as it may be pulled in.

    From then on no ordinary command issues and no tile starts; a tile that is running is waited
    for, so none has a refresh inside. All ranks are refreshed together.

    Members
    -------
    quiet : ``In(1)``
        No request and no PIM operation is pending.
    tile_runs : ``In(1)``
        The first activation of a tile has issued.
    fits : ``Out(1)``
        A tile may start: no refresh is about to.
    closing : ``Out(1)``
        A refresh is about to start, or in progress.
    open : ``In(banks)``
        Banks with an open MEM row.
    may_prea, may_ref : ``In(ranks)``
        Ranks in which the guards allow PREA and REF.
    prea, ref : ``Out(1)``, rank : ``Out``
        Command wanted now.
    issue : ``In(1)``
        It issues in this cycle.
    """

    def __init__(self, config: ChannelConfig):
        self._config = config
        ranks = config.memory.ranks
        super().__init__(
            {
                "quiet": In(1),
                "tile_runs": In(1),
                "fits": Out(1),
                "closing": Out(1),
                "open": In(config.memory.banks),
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
        interval, limit = config.memory.timing.nREFI, config.controller.postpone
        banks = config.memory.banks_per_rank

        # A command named at 0 is on the bus in the last cycle that is not too late.
        until_late = Signal(range((2 * limit + 1) * interval), init=(limit + 1) * interval - 1)
        left = Signal(config.memory.ranks)  # ranks that the current refresh has not reached
        done = Signal()
        m.d.comb += done.eq(self.issue & self.ref & ((left & (left - 1)) == 0))
        m.d.sync += until_late.eq(until_late - 1 + Mux(done, interval, 0))

        def due(refreshes: int):
            return until_late < (limit + 1 - refreshes) * interval

        # Start and end.
        rested = Signal(range(config.memory.timing.nRFC + 1))  # cycles without anything pending
        with m.If(~self.quiet | self.closing):
            m.d.sync += rested.eq(0)
        with m.Elif(rested != config.memory.timing.nRFC):
            m.d.sync += rested.eq(rested + 1)
        pull_in = (rested == config.memory.timing.nRFC) & (until_late <= 2 * limit * interval - 1)
        starts = Signal()
        m.d.comb += [
            starts.eq(
                (due(refreshes_at_once(config)) | (due(1) & self.quiet) | pull_in)
                & ~self.tile_runs
                & ~self.closing
            ),
            self.fits.eq(~self.closing & ~starts),
        ]
        with m.If(starts):
            m.d.sync += [self.closing.eq(1), left.eq(-1)]
        with m.If(self.issue & self.ref):
            m.d.sync += left.eq(left & ~(1 << self.rank))
        with m.If(done):
            m.d.sync += left.eq(-1)
            with m.If(~due(2)):
                m.d.sync += self.closing.eq(0)

        # Close the ranks with open rows, then refresh one after the other.
        with m.If(self.closing & ~self.tile_runs):
            for rank in reversed(range(config.memory.ranks)):
                rank_open = self.open[rank * banks : (rank + 1) * banks].any()
                with m.If(left[rank] & ~rank_open & self.may_ref[rank]):
                    m.d.comb += [self.ref.eq(1), self.rank.eq(rank)]
            for rank in reversed(range(config.memory.ranks)):
                rank_open = self.open[rank * banks : (rank + 1) * banks].any()
                with m.If(rank_open & self.may_prea[rank]):
                    m.d.comb += [self.prea.eq(1), self.ref.eq(0), self.rank.eq(rank)]
        return m
