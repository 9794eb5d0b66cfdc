"""A memory channel under free stimulus, and the rules that it must keep."""

from collections.abc import Callable

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config
from hw.formal.command_bus import CommandBus
from hw.formal.environment import whole_tiles
from hw.formal.queue_rules import times_agree
from hw.memory.controller import Controller

__all__ = ["TAG_BITS", "Proof", "Rule"]

#: Bits of the tags: enough for a request that is watched and for all others.
TAG_BITS = 1


class Proof(wiring.Component):
    """A controller whose ports are free, and a bit for each property that it has broken.

    Requests, PIM operations and the data bus are free in every cycle; requests start at even
    columns, and PIM operations form whole tiles (:func:`hw.formal.environment.whole_tiles`) where
    they leave their queue, which is proven apart (:mod:`hw.formal.queue_rules`). Nothing else is
    assumed but what a rule assumes by :meth:`assume`; from the first cycle that breaks an
    assumption on, no property counts as broken.

    Parameters
    ----------
    config
        Of the channel.
    rules
        Each is called with the proof and returns conditions that must never hold, by the names of
        the properties.

    Attributes
    ----------
    m
        Where the rules put registers.
    controller, bus
        The controller, and its followed C/A bus.
    properties
        Names, in the order of the bits of ``broken``.

    Members
    -------
    requests, requests_valid, pim, pim_valid, i_data, i_valid : ``In``
        The stimulus.
    free : ``In(32)``
        For the rules: free in every cycle.
    broken : ``Out(properties)``
        A bit a property: broken in this cycle.
    """

    def __init__(self, config: Config, *rules: "Rule"):
        self.config = config
        self.m = m = Module()
        self.controller = controller = Controller(config, TAG_BITS)
        self.choice = Signal(32)
        self._chosen = 0
        self._kept: list[Value] = []
        self.bus = CommandBus(m, config, controller.command)
        self._fragment = Fragment.get(controller, None)
        queue, request = self.part("pim"), controller.i_requests
        self.assume(~request.valid | ~request.payload.column[0])
        self.assume(whole_tiles(m, config, queue.head, queue.valid, queue.pop))
        self.assume(~queue.valid | times_agree(config, queue.head))
        conditions: dict[str, Value] = {}
        for rule in rules:
            conditions |= rule(self)
        self.properties = list(conditions)
        self._conditions = list(conditions.values())
        requests, pim = controller.i_requests, controller.i_pim
        super().__init__(
            {
                "requests": In(requests.payload.shape()),
                "requests_valid": In(1),
                "pim": In(pim.payload.shape()),
                "pim_valid": In(1),
                "i_data": In(8 * config.column_bytes),
                "i_valid": In(1),
                "free": In(32),
                "broken": Out(len(conditions)),
            }
        )

    def assume(self, condition: Value) -> None:
        """Assume a condition in every cycle."""
        self._kept.append(condition)

    def part(self, name: str) -> wiring.Component:
        """Return a submodule of the controller, for its ports."""
        (found,) = (f.origins[0] for f, n, _ in self._fragment.subfragments if n == name)
        return found

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
        m.submodules.controller = self._fragment
        m.d.comb += [
            self.choice.eq(self.free),
            controller.i_requests.payload.eq(self.requests),
            controller.i_requests.valid.eq(self.requests_valid),
            controller.i_pim.payload.eq(self.pim),
            controller.i_pim.valid.eq(self.pim_valid),
            controller.i_data.eq(self.i_data),
            controller.i_valid.eq(self.i_valid),
        ]
        kept, kept_before = Signal(), Signal(init=1)
        m.d.comb += kept.eq(kept_before & Cat(self._kept).all())
        m.d.sync += kept_before.eq(kept)
        m.d.comb += self.broken.eq(Mux(kept, Cat(self._conditions), 0))
        return m


Rule = Callable[[Proof], dict[str, Value]]
