"""The device: an NPU tile, its links, and every memory channel with its controller."""

from amaranth.hdl import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config
from hw.controller.controller import accept_layout
from hw.controller.pim.result_windows import check_result_latency
from hw.controller.refresh import longest_tile
from hw.counters import Counters, counters_layout
from hw.die.cell_array import word_columns
from hw.die.column_path import check_timing
from hw.die.mac_unit import check_partial_sums
from hw.interconnect import Link
from hw.memory_channel import MemoryChannel
from hw.npu.dma.engine import tag_layout
from hw.npu.instruction_queue import token_queues
from hw.npu.memories.row_list import list_layout
from hw.npu.sequencer import error_layout, queue_kinds
from hw.npu.tile import Tile, check_ranks
from hw.npu.vector.unit import check_vector_sums
from hw.program.instruction_set import bit_layout
from hw.protocol.address_map import check_row_order
from hw.protocol.commands import Request, bus_layout

__all__ = ["Device", "check_buildable", "list_write_layout", "trace_layout"]


def list_write_layout(config: Config) -> data.StructLayout:
    """Shape of a write of a row list: of which channel, which entry, what row."""
    entry = list_layout(config)
    return data.StructLayout(
        {
            "valid": 1,
            "channel": range(config.memory.channels),
            "index": entry["index"].shape,
            "row": entry["row"].shape,
        }
    )


def trace_layout(config: Config) -> data.StructLayout:
    """Shape of a channel's trace: the command of this cycle, and what its controller accepts."""
    accept = accept_layout(config, tag_layout(config).size)
    return data.StructLayout({"command": bus_layout(config), "accept": accept})


def check_buildable(config: Config) -> None:
    """Check what the units demand of a configuration, so that it is refused before elaboration.

    Raises
    ------
    ValueError
        If a unit cannot be built, in the words of that unit.
    """
    for check in (
        *(longest_tile, word_columns, check_timing, check_partial_sums, check_result_latency),
        *(check_vector_sums, check_row_order, check_ranks),
    ):
        check(config)


class Device(wiring.Component):
    """A whole device; the host writes programs into its queues.

    A program is written by pushing every queue's instructions, each queue at its own pace, after
    the rows of its GEMVs have been written to the row lists. It is over when :attr:`o_done` is
    high, which falls when the first instruction of the next program is taken. After an error only a
    reset helps.

    Between the completion of an instruction and the arrival at a controller of a request that it
    triggers lie at least ``2 × link_cycles + 3`` cycles.

    Members
    -------
    queue_{q} : ``In(stream.Signature(unsigned(width)))``
        Instructions of queue ``q``: packed as :func:`hw.program.instruction_set.bit_layout` says.
    list_write : ``In(list_write_layout(config))``
        Write of a row list, one entry a cycle.
    start, retire : ``Out(queues)``
        Pulses: an instruction of the queue starts, retires.
    o_done : ``Out(1)``
        The program is over.
    o_error : ``Out(error_layout(config))``
        The first error since reset.
    trace_{c} : ``Out(trace_layout(config))``
        What happens in channel c in this cycle.
    counters : ``Out(counters_layout())``
        Performance counters.

    Raises
    ------
    ValueError
        As :func:`check_buildable` says.
    """

    def __init__(self, config: Config):
        check_buildable(config)
        self._config = config
        trace = trace_layout(config)
        super().__init__(
            {
                **{
                    f"queue_{q}": In(stream.Signature(unsigned(bit_layout(kind)[1])))
                    for q, kind in enumerate(queue_kinds(config))
                },
                "list_write": In(list_write_layout(config)),
                "start": Out(token_queues(config)),
                "retire": Out(token_queues(config)),
                "o_done": Out(1),
                "o_error": Out(error_layout(config)),
                **{f"trace_{c}": Out(trace) for c in range(config.memory.channels)},
                "counters": Out(counters_layout()),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        tag_bits = tag_layout(config).size
        m.submodules.tile = tile = Tile(config.tile)
        m.submodules.counters = counters = Counters(config)
        for q in range(token_queues(config)):
            name = f"queue_{q}"
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(tile, name))
        m.d.comb += [
            self.start.eq(tile.start),
            self.retire.eq(tile.retire),
            self.o_done.eq(tile.done),
            self.o_error.eq(tile.error),
            self.counters.eq(counters.o),
            counters.matrix_row.eq(tile.matrix_row),
            counters.vector_busy.eq(tile.vector_busy),
        ]

        for c in range(config.memory.channels):
            m.submodules[f"link_{c}"] = link = Link(config, tag_bits)
            m.submodules[f"channel_{c}"] = channel = MemoryChannel(config.channel, tag_bits)

            # Tile and link.
            near = getattr(tile, f"channel_{c}")
            wiring.connect(m, near.requests, link.i_requests)
            wiring.connect(m, near.pim, link.i_pim)
            for name in ("reads", "writes", "results"):
                wiring.connect(m, getattr(link, f"o_{name}"), getattr(near, name))
            m.d.comb += [
                link.i_data.eq(near.data),
                near.pim_done.eq(link.o_pim_done),
                near.settled.eq(link.o_settled),
            ]
            listed = getattr(tile, f"list_write_{c}")
            m.d.comb += [
                listed.enable.eq(self.list_write.valid & (self.list_write.channel == c)),
                listed.index.eq(self.list_write.index),
                listed.row.eq(self.list_write.row),
            ]

            # Link and channel.
            wiring.connect(m, link.o_requests, channel.i_requests)
            wiring.connect(m, link.o_pim, channel.i_pim)
            for name in ("reads", "results"):
                wiring.connect(m, getattr(channel, f"o_{name}"), getattr(link, f"i_{name}"))
            accept = channel.accept
            m.d.comb += [
                link.i_writes.valid.eq(accept.valid & (accept.kind == Request.WRITE)),
                link.i_writes.payload.tag.eq(accept.tag),
                link.i_written.eq(channel.o_writes.valid),
                link.i_pim_done.eq(channel.o_pim_done),
            ]

            trace = getattr(self, f"trace_{c}")
            m.d.comb += [
                trace.command.eq(channel.command),
                trace.accept.eq(channel.accept),
                getattr(counters, f"command_{c}").eq(channel.command),
                getattr(counters, f"drives_{c}").eq(channel.drives),
            ]

        return m
