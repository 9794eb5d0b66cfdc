"""A memory channel under free stimulus, and the rules that it must keep."""

from collections.abc import Callable

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config
from hw.controller.controller import Controller
from hw.die.pim_channel import PimChannel
from hw.formal.command_bus import CommandBus
from hw.formal.environment import whole_tiles
from hw.formal.rules.queue import times_agree

__all__ = ["TAG_BITS", "Proof", "Rule"]

#: Bits of the tags: enough for a request that is watched and for all others.
TAG_BITS = 1


class Proof(wiring.Component):
    """A controller whose ports are free, and a bit for each property that it has broken.

    Requests, PIM operations and the data bus are free in every cycle; requests start at even
    columns. The queue of PIM operations is proven apart (:mod:`hw.formal.rules.queue`) and is a
    black box here: operations are free where they leave it, as long as one that is there stays
    until it is taken, and together they form whole tiles
    (:func:`hw.formal.environment.whole_tiles`). Nothing else is assumed but what a rule assumes by
    :meth:`assume`; from the first cycle that breaks an assumption on, no property counts as broken.

    Parameters
    ----------
    config
        Of the channel.
    rules
        Each is called with the proof and returns conditions that must never hold, by the names of
        the properties.
    tag_bits
        Bits of the tags of requests.
    with_die
        The data bus is not free: the DRAM die stands at its other end. Its MAC units are black
        boxes.
    lemmas
        As rules, but what they return helps to prove the properties of the same names
        (:mod:`hw.formal.lemmas`).

    Attributes
    ----------
    m
        Where the rules put registers.
    controller, bus
        The controller, and its followed C/A bus.
    with_die
        Whether the die is there.
    properties, strengthened
        Names, in the order of the bits of ``broken``: first each property, then each that a lemma
        helps once more, together with its lemma.

    Members
    -------
    requests, requests_valid, pim, pim_valid, i_data, i_valid : ``In``
        The stimulus.
    free : ``In(32)``
        For the rules: free in every cycle.
    broken : ``Out(properties + strengthened)``
        A bit each: broken in this cycle.
    """

    def __init__(
        self,
        config: Config,
        *rules: "Rule",
        tag_bits: int = TAG_BITS,
        with_die: bool = False,
        lemmas: "Rule | None" = None,
    ):
        self.config = config
        self.m = m = Module()
        self.controller = controller = Controller(config, tag_bits)
        self.choice = Signal(32)
        self._chosen = 0
        self._kept: list[Value] = []
        self.bus = CommandBus(m, config, controller.command)
        self.with_die = with_die
        self._parts = {"controller": Fragment.get(controller, None)}
        if with_die:
            self._die = PimChannel(config)
            self._parts["die"] = Fragment.get(self._die, None)
        queue, request = self.part("controller", "pim"), controller.i_requests
        self.assume(~request.valid | ~request.payload.column[0])
        before, stays = Signal.like(queue.head), Signal()
        m.d.sync += [before.eq(queue.head), stays.eq(queue.valid & ~queue.pop)]
        self.assume(~stays | (queue.valid & (queue.head.as_value() == before.as_value())))
        self.assume(~queue.valid | ~queue.empty)
        self.assume(whole_tiles(m, config, queue.head, queue.valid, queue.pop))
        self.assume(~queue.valid | times_agree(config, queue.head))
        conditions: dict[str, Value] = {}
        for rule in rules:
            conditions |= rule(self)
        helpers = lemmas(self) if lemmas else {}
        self.properties = list(conditions)
        self.strengthened = [name for name in conditions if name in helpers]
        self._conditions = [
            *conditions.values(),
            *(conditions[name] | helpers[name] for name in self.strengthened),
        ]
        requests, pim = controller.i_requests, controller.i_pim
        super().__init__(
            {
                "requests": In(requests.payload.shape()),
                "requests_valid": In(1),
                "pim": In(pim.payload.shape()),
                "pim_valid": In(1),
                "i_data": In(8 * config.memory.column_bytes),
                "i_valid": In(1),
                "free": In(32),
                "broken": Out(len(self._conditions)),
            }
        )

    def assume(self, condition: Value) -> None:
        """Assume a condition in every cycle."""
        self._kept.append(condition)

    def part(self, *path: str) -> wiring.Component:
        """Return a part of the controller or the die, by the names on the way, for its ports."""
        fragment = self._parts[path[0]]
        for step in path[1:]:
            (fragment,) = (part for part, name, _ in fragment.subfragments if name == step)
        return fragment.origins[0]

    def any_constant(self, width: int, name: str) -> Value:
        """Return a value that is free and never changes."""
        drawn = Signal(name=f"{name}_drawn")
        held = Signal(width, name=f"{name}_held")
        value = Signal(width, name=name)
        self.m.d.sync += [drawn.eq(1), held.eq(value)]
        self.m.d.comb += value.eq(Mux(drawn, held, self.any_value(width)))
        return value

    def any_value(self, width: int) -> Value:
        """Return a value that is free in every cycle."""
        start = self._chosen
        self._chosen += width
        assert self._chosen <= len(self.choice)
        return self.choice[start : self._chosen]

    def elaborate(self, platform):
        m, controller = self.m, self.controller
        for name, part in self._parts.items():
            m.submodules[name] = part
        m.d.comb += [
            self.choice.eq(self.free),
            controller.i_requests.payload.eq(self.requests),
            controller.i_requests.valid.eq(self.requests_valid),
            controller.i_pim.payload.eq(self.pim),
            controller.i_pim.valid.eq(self.pim_valid),
            controller.i_data.eq(self._die.o_data if self.with_die else self.i_data),
            controller.i_valid.eq(self._die.o_valid if self.with_die else self.i_valid),
        ]
        if self.with_die:
            m.d.comb += [
                self._die.command.eq(controller.command),
                self._die.i_data.eq(controller.o_data),
            ]
        kept, kept_before = Signal(), Signal(init=1)
        m.d.comb += kept.eq(kept_before & Cat(self._kept).all())
        m.d.sync += kept_before.eq(kept)
        m.d.comb += self.broken.eq(Mux(kept, Cat(self._conditions), 0))
        return m


Rule = Callable[[Proof], dict[str, Value]]
