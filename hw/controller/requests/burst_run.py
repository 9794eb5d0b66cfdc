"""Runs: bursts of one row, one behind the other, that requests to a controller are merged into."""

from amaranth.hdl import *
from amaranth.lib import data

from hw.config import ChannelConfig
from hw.protocol.commands import bus_layout

__all__ = ["candidate_layout", "queue_layout", "run_layout", "run_length"]


def run_length(config: ChannelConfig) -> int:
    """Return the most bursts of a run."""
    return min(16, config.memory.bursts)


def _place(config: ChannelConfig):
    """Shape of a burst's place in its run."""
    return range(max(2, run_length(config)))


def run_layout(config: ChannelConfig, slots: int, others: int) -> data.StructLayout:
    """Shape of a run in a request queue.

    ``column`` and ``place`` are those of its next burst, ``left`` counts the bursts from there on.
    ``wait`` has a bit for each of the ``others`` slots of the queue of the other kind.
    """
    bus = bus_layout(config)
    return data.StructLayout(
        {
            "bank": bus["bank"].shape,
            "row": bus["row"].shape,
            "column": bus["column"].shape,
            "place": _place(config),
            "left": range(run_length(config) + 1),
            "slot": range(slots),
            "wait": others,
            "hit": 1,
            "held": 1,
            "resting": 1,
        }
    )


def candidate_layout(config: ChannelConfig) -> data.StructLayout:
    """Shape of a queue's candidate for a command: what the command needs, and whose it is.

    ``oldest`` says that the run is the first of its queue; ``last`` that it ends with the burst and
    that no other run of its queue wants the row; ``end`` that the burst is the last of the row.
    """
    bus = bus_layout(config)
    return data.StructLayout(
        {
            "valid": 1,
            "oldest": 1,
            "bank": bus["bank"].shape,
            "row": bus["row"].shape,
            "column": bus["column"].shape,
            "slot": range(max(config.controller.read_queue, config.controller.write_queue)),
            "place": _place(config),
            "last": 1,
            "end": 1,
        }
    )


def queue_layout(config: ChannelConfig) -> data.StructLayout:
    """Shape of what a request queue tells the arbiter (see its members of the same names)."""
    candidate = candidate_layout(config)
    return data.StructLayout(
        {
            "activation": candidate,
            "precharge": candidate,
            "burst": candidate,
            "count": range(max(config.controller.read_queue, config.controller.write_queue) + 1),
            "any_free": 1,
            "aged": 1,
            "needs_row": 1,
            "before_tile": 1,
            "before_vector": 1,
            "wanted": config.memory.banks,
            "unwelcome": config.memory.banks,
        }
    )
