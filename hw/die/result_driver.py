"""Lets results wait for the data bus, and puts one after the other on it."""

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import DieConfig
from hw.protocol.results import result_backlog, result_cycles

__all__ = ["ResultDriver"]


class ResultDriver(wiring.Component):
    """Order of results: kept in the MAC units as they come, taken when the bus is free of others.

    A result that is kept while the bus is free of results is taken in the same cycle. More than
    :func:`result_backlog` waiting results, which no PIM_GEMV causes if its results do not meet
    those of others, would overwrite each other.

    Members
    -------
    keep : ``In(1)``
        The MAC units have a result.
    keep_place : ``Out(place)``
        Where they keep it.
    take : ``Out(1)``
        They shall drive a kept result from the next cycle on.
    take_place : ``Out(place)``
        Which one.
    drive : ``Out(1)``
        A result is driven, and is on the data bus in the next cycle.
    position : ``Out(cycle)``
        Which cycle of the result it is, from 0 on; turn-arounds count.
    """

    def __init__(self, config: DieConfig):
        self._places = result_backlog(config)
        # Cycles from one result to the next.
        self._interval = result_cycles(config) + (
            config.memory.timing.nTURN if config.memory.ranks > 1 else 0
        )
        place = Out(range(self._places))
        super().__init__(
            {
                "keep": In(1),
                "keep_place": place,
                "take": Out(1),
                "take_place": place,
                "drive": Out(1),
                "position": Out(range(self._interval)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        waiting = Signal(range(self._places + 1))
        last = self.position == self._interval - 1
        m.d.comb += self.take.eq((self.keep | (waiting != 0)) & (~self.drive | last))
        m.d.sync += waiting.eq(waiting + self.keep - self.take)
        for strobe, place in ((self.keep, self.keep_place), (self.take, self.take_place)):
            with m.If(strobe):
                m.d.sync += place.eq(Mux(place == self._places - 1, 0, place + 1))
        with m.If(self.take):
            m.d.sync += [self.drive.eq(1), self.position.eq(0)]
        with m.Elif(last):
            m.d.sync += self.drive.eq(0)
        with m.Else():
            m.d.sync += self.position.eq(self.position + 1)
        return m
