"""A PIM operation as the controller knows it: with the times that it will take."""

from amaranth.lib import data
from amaranth.utils import bits_for

from hw.config import Config
from hw.memory.commands import pim_layout
from hw.memory.guards import maximum_extent
from hw.pim.results import result_cycles, result_latency

__all__ = ["operation_layout"]


def operation_layout(config: Config) -> data.StructLayout:
    """Shape of a PIM operation in the queue: without data, with the times that it will take.

    ``extent`` are the cycles from issue to the last column (of a row for the vector buffer: to the
    last burst), ``step`` those from a slot's first
    column to its last, ``first`` those from issue to the first result, and ``end`` those until a
    result of the next command may follow.
    """
    fields = {name: shape for name, shape in pim_layout(config).members.items() if name != "data"}
    extent = maximum_extent(config)
    end = extent + result_latency(config) + config.slots * (result_cycles(config) + 4)
    times = {
        "extent": bits_for(extent),
        "step": bits_for(config.columns * config.timing.nCCDL),
        "first": bits_for(end),
        "end": bits_for(end + config.timing.nTURN),
    }
    return data.StructLayout({**fields, **times})
