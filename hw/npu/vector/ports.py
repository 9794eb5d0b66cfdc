"""Ports between the vector unit and the memories of the tile."""

from amaranth.lib import enum, wiring
from amaranth.lib.wiring import Out

from hw.program.instruction_set import Format

__all__ = [
    "ADDRESS_BITS",
    "CONTEXTS",
    "READ_LATENCY",
    "NumberFormat",
    "OperandSignature",
    "ResultSignature",
]

#: Width of a tile address.
ADDRESS_BITS = 28

#: Instructions of the vector unit that may be at work at once (chosen).
CONTEXTS = 4

#: Cycles from the address of a read to its data.
READ_LATENCY = 2


class NumberFormat(enum.Enum, shape=1):
    """How numbers are stored, as :class:`hw.program.instruction_set.Format` numbers it."""

    BF16 = Format.BF16.value
    BINARY32 = Format.BINARY32.value


class OperandSignature(wiring.Signature):
    """A read port, seen from the vector unit: one number a lane and cycle.

    Parameters
    ----------
    lanes : int
        Lanes of the unit.

    Members
    -------
    enable : ``Out(1)``
        Read. Without it the data :data:`READ_LATENCY` cycles later are not looked at.
    address : ``Out(ADDRESS_BITS)``
        Tile address. Bits below the width of the access, ``lanes`` numbers, are ignored.
    format : ``Out(NumberFormat)``
        What is read: 2 or 4 bytes a lane. Constant while an instruction runs.
    data : ``In(32 * lanes)``
        The numbers, that of lane 0 lowest, :data:`READ_LATENCY` cycles after the address; in
        bfloat16 they are in the lower half.
    """

    def __init__(self, lanes):
        super().__init__(
            {
                "enable": Out(1),
                "address": Out(ADDRESS_BITS),
                "format": Out(NumberFormat),
                "data": wiring.In(32 * lanes),
            }
        )


class ResultSignature(wiring.Signature):
    """The write port, seen from the vector unit.

    Parameters
    ----------
    lanes : int
        Lanes of the unit.

    Members
    -------
    enable : ``Out(lanes)``
        Which numbers are written: all of them, but for a TRANSPOSE of fewer rows than lanes, which
        writes an aligned run of as many numbers as a burst holds.
    address : ``Out(ADDRESS_BITS)``
        Tile address. Bits below the width of the access, ``lanes`` numbers, are ignored.
    format : ``Out(NumberFormat)``
        What is written: 2 or 4 bytes a lane. Constant while an instruction runs.
    data : ``Out(32 * lanes)``
        The numbers, that of lane 0 lowest; in bfloat16 they are in the lower half.
    """

    def __init__(self, lanes):
        super().__init__(
            {
                "enable": Out(lanes),
                "address": Out(ADDRESS_BITS),
                "format": Out(NumberFormat),
                "data": Out(32 * lanes),
            }
        )
