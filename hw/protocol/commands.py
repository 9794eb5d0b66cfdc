"""The command set: what crosses a channel's command/address (C/A) bus, one command a cycle."""

from amaranth.hdl import *
from amaranth.lib import data, enum

from hw.config import DieConfig

__all__ = ["Command", "PimOperation", "Request", "bus_layout", "pim_layout", "request_layout"]


class Command(enum.Enum, shape=4):
    """Commands of a channel; those named PIM_ work on the PIM row buffers and the MAC units."""

    NOP = 0
    ACT = 1
    PRE = 2
    PREA = 3
    RD = 4
    RDA = 5
    WR = 6
    WRA = 7
    REF = 8
    PIM_GWRITE = 9  #: a burst of the bank's open MEM row, or all of it, into the vector buffer
    PIM_GWRITE_DATA = 10  #: the same from the data bus (PIM_GWRITE with ``data`` in the traces)
    PIM_ACTIVATION = 11
    PIM_DOTPRODUCT = 12
    PIM_RDRESULT = 13
    PIM_GEMV = 14
    PIM_PRECHARGE = 15


def _bits(count: int) -> int:
    """Bits of an index into ``count`` things, at least one."""
    return max(1, (count - 1).bit_length())


def bus_layout(config: DieConfig) -> data.StructLayout:
    """Shape of the C/A bus.

    ``bank`` counts the banks of the channel (rank, then bank group, then bank); PIM_ACTIVATION uses
    its upper bits, the bank group, and PREA and REF its uppermost, the rank. ``column`` and
    ``offset`` count columns: of the row, and of a half of the global vector buffer. RD, WR and
    PIM_GWRITE take the burst (two columns) that starts at the even ``column`` or ``offset``; from a
    row, PIM_GWRITE takes ``k`` bursts from there on (0 stands for one).
    """
    return data.StructLayout(
        {
            "command": Command,
            "bank": _bits(config.memory.banks),
            "row": _bits(config.memory.rows),
            "column": _bits(config.memory.columns),
            "column_step": _bits(config.memory.columns),
            "half": 1,
            "offset": _bits(config.vector_columns),
            "offset_step": _bits(config.vector_columns),
            "slot": _bits(config.pim.slots),
            "slots": _bits(config.pim.slots + 1),
            "k": _bits(config.memory.columns + 1),
            "read": 1,
        }
    )


class Request(enum.Enum, shape=1):
    """What an ordinary request asks of a controller."""

    READ = 0
    WRITE = 1


def request_layout(config: DieConfig, tag_bits: int) -> data.StructLayout:
    """Shape of an ordinary request: one burst. ``data`` matters for writes only."""
    return data.StructLayout(
        {
            "kind": Request,
            "bank": _bits(config.memory.banks),
            "row": _bits(config.memory.rows),
            "column": _bits(config.memory.columns),
            "tag": tag_bits,
            "data": config.memory.burst_bytes * 8,
        }
    )


class PimOperation(enum.Enum, shape=3):
    """What the tile asks of a controller's PIM queue, in order."""

    HEADER = 0  #: ``tiles`` follow, each of ``length`` cycles from its first activation to its end
    GWRITE = 1  #: ``data`` into half ``half`` of the vector buffer at ``offset``
    ACTIVATION = 2  #: open ``row`` in the PIM row buffers of bank group ``group``
    GEMV = 3
    PRECHARGE = 4  #: close the PIM row buffers: the tile ends
    #: a burst of a row, or all of it, into half ``half`` at ``offset``; between tiles only, as it
    #: waits for ordinary requests, which may wait for the end of the tile
    GWRITE_ROW = 5
    DOTPRODUCT = 6  #: one column into ``slot``
    RDRESULT = 7  #: the result of ``slot``


def pim_layout(config: DieConfig) -> data.StructLayout:
    """Shape of a PIM operation; its fields are those of the C/A bus.

    ``group`` belongs to ACTIVATION, ``bank`` to GWRITE_ROW, ``tiles`` and ``length`` to HEADER.
    """
    bus = bus_layout(config)
    shared = ["row", "column", "column_step", "half", "offset", "offset_step"]
    shared += ["slot", "slots", "k", "read"]
    return data.StructLayout(
        {
            "operation": PimOperation,
            "group": _bits(config.memory.groups),
            "bank": bus["bank"].shape,
            **{name: bus[name].shape for name in shared},
            "tiles": 16,
            "length": 16,
            "data": config.memory.burst_bytes * 8,
        }
    )
