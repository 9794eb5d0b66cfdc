"""A PIM operation as the controller knows it: with the times that it will take."""

from amaranth.lib import data
from amaranth.utils import bits_for

from hw.config import ChannelConfig
from hw.controller.guards import maximum_extent
from hw.protocol.commands import pim_layout
from hw.protocol.results import result_cycles, result_latency

__all__ = ["operation_layout"]


def operation_layout(config: ChannelConfig) -> data.StructLayout:
    """Shape of a PIM operation in the queue: without data, with the times that it will take.

    ``extent`` are the cycles from issue to the last column (of a row for the vector buffer: to the
    last burst), ``step`` those from a slot's first
    column to its last, ``first`` those from issue to the first result, and ``end`` those until a
    result of the next command may follow.
    """
    fields = {name: shape for name, shape in pim_layout(config).members.items() if name != "data"}
    extent = maximum_extent(config)
    end = extent + result_latency(config) + config.pim.slots * (result_cycles(config) + 4)
    times = {
        "extent": bits_for(extent),
        "step": bits_for(config.memory.columns * config.memory.timing.nCCDL),
        "first": bits_for(end),
        "end": bits_for(end + config.memory.timing.nTURN),
    }
    return data.StructLayout({**fields, **times})
