"""Candidates of a request queue: which of its runs asks for the next ACT, PRE, and RD or WR."""

from functools import reduce
from operator import or_

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import ChannelConfig
from hw.controller.requests.burst_run import candidate_layout, run_layout

__all__ = ["Candidates"]


class Candidates(wiring.Component):
    """First half of a decision: finds the oldest run that qualifies for each kind of command.

    A run is *free* if it waits neither for requests of the other kind nor for a tile, and, while
    the oldest run is aged, is not another one of its bank. What is found in one cycle is registered
    and offered in the next, the second half, where the arbiter looks at the guards again: they
    know what issued meanwhile. Row commands are two cycles apart, as column commands are, so a
    candidate never misses what the decision before it did to the runs.

    Latency 1 cycle, but for ``any_free``, which belongs to the runs of this cycle.

    Parameters
    ----------
    depth, others
        As those of :class:`hw.controller.requests.request_queue.RequestQueue`.

    Members
    -------
    run_0, … : ``In(run_layout(...))``, valid : ``In(depth)``
        The runs, the oldest first.
    aged : ``In(1)``
        The oldest has waited for long.
    rested : ``In(1)``
        The tile that runs rest behind has rested from the next cycle on.
    open : ``In(banks)``
        Banks with an open row.
    may_activate, may_precharge, may_column : ``In(banks)``
        Banks in which a command will be allowed in the next cycle.
    activation, precharge, burst : ``Out(candidate_layout(config))``
        The oldest free run whose bank is closed; whose bank holds another row, which no free run
        wants; whose row is open: each among those allowed.
    picked : ``Out(depth)``
        The run of ``burst``, as a bit.
    any_free : ``Out(1)``
        A run is free.
    wanted, unwelcome : ``Out(banks)``
        Banks with an open row that a run wants, free or not; banks of which a free run wants
        another row than the open one.
    """

    def __init__(self, config: ChannelConfig, *, depth: int, others: int):
        self._config = config
        self._depth = depth
        candidate, banks = candidate_layout(config), config.memory.banks
        super().__init__(
            {
                **{f"run_{i}": In(run_layout(config, depth, others)) for i in range(depth)},
                "valid": In(depth),
                "aged": In(1),
                "rested": In(1),
                "open": In(banks),
                "may_activate": In(banks),
                "may_precharge": In(banks),
                "may_column": In(banks),
                "activation": Out(candidate),
                "precharge": Out(candidate),
                "burst": Out(candidate),
                "picked": Out(depth),
                "any_free": Out(1),
                "wanted": Out(banks),
                "unwelcome": Out(banks),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, depth = self._config, self._depth
        runs = [getattr(self, f"run_{i}") for i in range(depth)]
        free = Signal(depth)
        hits, misses = [], []  # the banks of the runs, a bit each
        for i, run in enumerate(runs):
            barred = self.aged & (run.bank == runs[0].bank) if i else 0
            rests = run.resting & ~self.rested
            place = Signal(config.memory.banks, name=f"bank_{i}")
            m.d.comb += [
                free[i].eq(self.valid[i] & ~(run.wait.any() | run.held | rests | barred)),
                place.eq(Mux(self.valid[i], 1 << run.bank, 0)),
            ]
            hits.append(Mux(run.hit, place, 0))
            misses.append(Mux(free[i] & ~run.hit, place, 0))
        wanted_now = reduce(or_, (Mux(free[i], hit, 0) for i, hit in enumerate(hits)))
        several = Signal(config.memory.banks)  # banks of which more than one run wants the open row
        activate, precharge = Signal(config.memory.banks), Signal(config.memory.banks)
        m.d.comb += [
            self.any_free.eq(free.any()),
            several.eq(reduce(or_, (a & reduce(or_, hits[:i]) for i, a in enumerate(hits) if i))),
            activate.eq(self.may_activate & ~self.open),
            precharge.eq(self.may_precharge & self.open & ~wanted_now),
        ]
        m.d.sync += [
            self.wanted.eq(reduce(or_, hits)),
            self.unwelcome.eq(self.open & reduce(or_, misses)),
        ]

        def choose(candidate, allowed: Value, hit: bool) -> Value:
            """Register the oldest free run in a bank that is allowed; return it as a bit."""
            qualifies, found = Signal(depth), Signal.like(candidate)
            for i in reversed(range(depth)):
                run = runs[i]
                m.d.comb += qualifies[i].eq(
                    free[i] & (run.hit if hit else ~run.hit) & allowed.bit_select(run.bank, 1)
                )
                with m.If(qualifies[i]):
                    m.d.comb += [
                        found.oldest.eq(i == 0),
                        *(
                            found[name].eq(run[name])
                            for name in ("bank", "row", "column", "slot", "place")
                        ),
                        found.last.eq((run.left == 1) & ~several.bit_select(run.bank, 1)),
                        found.end.eq(run.column[1:] == config.memory.bursts - 1),
                    ]
            m.d.comb += found.valid.eq(qualifies.any())
            m.d.sync += candidate.eq(found)
            return qualifies & -qualifies

        choose(self.activation, activate, hit=False)
        choose(self.precharge, precharge, hit=False)
        picked = choose(self.burst, self.may_column, hit=True)
        m.d.sync += self.picked.eq(picked)
        return m
