"""The slots in flight, and where in time the route of an instruction looks at them."""

from amaranth.hdl import *
from amaranth.lib import data

from hw.npu.vector.issue.issuer import Slot
from hw.npu.vector.issue.schedule import Route

__all__ = ["of_routes", "select", "taps_layout"]


def taps_layout(taps):
    """Shape of the slots in flight: element t was issued t cycles ago."""
    return data.ArrayLayout(Slot, taps)


def select(m, name, taps, route, places):
    """Return the slot at the tap where the route of the running instruction looks.

    Parameters
    ----------
    m : Module
        Where the multiplexer goes.
    name : str
        Of the signal.
    taps : View of ``taps_layout(...)``
        Slots in flight.
    route : Signal of :class:`Route`
        Route of the instruction.
    places : dict of Route to int
        The tap of each route that looks; others see an invalid slot.

    Returns
    -------
    View of :class:`Slot`
    """
    slot = Signal(Slot, name=name)
    routes = {}
    for way, place in places.items():
        routes.setdefault(place, []).append(way)
    with m.Switch(route):
        for place, ways in routes.items():
            with m.Case(*ways):
                m.d.comb += slot.eq(taps[place])
    return slot


def of_routes(place, *routes):
    """Return the taps that a method of the schedule gives for routes, all of them by default.

    >>> of_routes(lambda route: 3, Route.COPY)
    {<Route.COPY: 0>: 3}
    """
    return {route: place(route) for route in routes or Route}
