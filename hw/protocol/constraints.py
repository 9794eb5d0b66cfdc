"""The timing constraints of a channel as data: which command waits for which, and how long."""

from collections.abc import Callable
from enum import IntEnum
from typing import ClassVar, NamedTuple, cast

from hw.config import DieConfig
from hw.protocol.commands import Command
from hw.protocol.timing import Timing

__all__ = ["CONSTRAINTS", "OPENINGS", "TARGETS", "Constraint", "Scope", "constraints"]


class Scope(IntEnum):
    """How near to each other two commands must be for a constraint to hold between them.

    A command that works on several banks is near to all of them.
    """

    ROW = 0  #: the same row of a bank; where ``subarrays`` is set, the same subarray
    BANK = 1
    BANK_GROUP = 2
    RANK = 3
    CHANNEL = 4
    OTHER_RANK = 5  #: another rank of the channel


class Constraint(NamedTuple):
    """The least gap, in cycles, between a command and the ``window``-th later one in scope.

    ``after_last`` counts from the last column of the first command, which is later than its issue
    for PIM_GEMV and for a PIM_GWRITE of several bursts. ``row_buffers`` says in which devices the
    constraint holds.
    """

    scope: Scope
    first: frozenset[Command]
    later: frozenset[Command]
    gap: Callable[[Timing], int]
    window: int = 1
    after_last: bool = False
    row_buffers: tuple[int, ...] = (1, 2)

    @property
    def formula(self) -> str:
        """The gap in parameters of the timing.

        >>> CONSTRAINTS[0].formula, CONSTRAINTS[0].gap(Timing())
        ('nRCD', 14)
        """
        return str(self.gap(cast(Timing, _Parameters())))


class _Parameters:
    """Takes the place of a timing whose values are the names of its parameters."""

    _DERIVED: ClassVar[dict[str, str]] = {
        "row_cycle": "nRC",
        "write_delay": "nRCDWR",
        "product_delay": "nRCDMAC",
        "read_to_write": "nRTW",
    }

    def __getattr__(self, name: str) -> "_Term":
        return _Term(self._DERIVED.get(name, name))


class _Term:
    """Sums and differences of parameters, in words."""

    def __init__(self, text: str):
        self._text = text

    def __add__(self, other: "_Term") -> "_Term":
        return _Term(f"{self} + {other}")

    def __sub__(self, other: "_Term") -> "_Term":
        return _Term(f"{self} - {other}")

    def __str__(self) -> str:
        return self._text


#: What a command works on: one bank, the four of a bank group, all of a rank, all of the channel.
TARGETS = {
    Command.ACT: Scope.BANK,
    Command.PRE: Scope.BANK,
    Command.PREA: Scope.RANK,
    Command.RD: Scope.BANK,
    Command.RDA: Scope.BANK,
    Command.WR: Scope.BANK,
    Command.WRA: Scope.BANK,
    Command.REF: Scope.RANK,
    Command.PIM_GWRITE: Scope.BANK,
    Command.PIM_GWRITE_DATA: Scope.CHANNEL,
    Command.PIM_ACTIVATION: Scope.BANK_GROUP,
    Command.PIM_DOTPRODUCT: Scope.CHANNEL,
    Command.PIM_RDRESULT: Scope.CHANNEL,
    Command.PIM_GEMV: Scope.CHANNEL,
    Command.PIM_PRECHARGE: Scope.CHANNEL,
}

#: How often a command counts in a window: PIM_ACTIVATION opens four banks.
OPENINGS = {Command.ACT: 1, Command.PIM_ACTIVATION: 4}

ACT = frozenset({Command.ACT})
CLOSE = frozenset({Command.PRE, Command.PREA})
READ = frozenset({Command.RD, Command.RDA})
WRITE = frozenset({Command.WR, Command.WRA})
RDA, WRA = frozenset({Command.RDA}), frozenset({Command.WRA})
GWRITE, GWRITE_DATA = frozenset({Command.PIM_GWRITE}), frozenset({Command.PIM_GWRITE_DATA})
FROM_ROW = READ | GWRITE
COLUMN = FROM_ROW | WRITE
TO_DIE = WRITE | GWRITE_DATA
REF = frozenset({Command.REF})
PIM_OPEN = frozenset({Command.PIM_ACTIVATION})
PIM_CLOSE = frozenset({Command.PIM_PRECHARGE})
PRODUCT = frozenset({Command.PIM_GEMV, Command.PIM_DOTPRODUCT})
SLOT = PRODUCT | {Command.PIM_RDRESULT}
OPEN = ACT | PIM_OPEN


def _write_end(t: Timing) -> int:
    """Return the cycles from WR to the end of its data."""
    return t.nCWL + t.nBL


def _closing(
    scope: Scope, later: frozenset[Command], row_buffers: tuple[int, ...] = (1, 2)
) -> tuple[Constraint, ...]:
    """Return what any command that closes a MEM row asks of a command that needs it closed."""
    gaps: tuple[tuple[frozenset[Command], Callable[[Timing], int]], ...] = (
        (CLOSE, lambda t: t.nRP),
        (RDA, lambda t: t.nRTPL + t.nRP),
        (WRA, lambda t: _write_end(t) + t.nWR + t.nRP),
    )
    return tuple(
        Constraint(scope, first, later, gap, row_buffers=row_buffers) for first, gap in gaps
    )


#: All constraints. The spacing of bursts on the data bus is among them, but not the windows that
#: results of PIM take; those are in :func:`hw.protocol.results.result_schedule`.
CONSTRAINTS: tuple[Constraint, ...] = (
    # The MEM row buffer of a bank. Its own precharge must not cut short what RDA finds written.
    Constraint(Scope.BANK, ACT, FROM_ROW, lambda t: t.nRCD),
    Constraint(Scope.BANK, ACT, WRITE, lambda t: t.write_delay),
    Constraint(Scope.BANK, ACT, CLOSE, lambda t: t.nRAS),
    Constraint(Scope.BANK, ACT, ACT, lambda t: t.row_cycle),
    Constraint(Scope.BANK, READ, CLOSE, lambda t: t.nRTPL),
    Constraint(Scope.BANK, GWRITE, CLOSE, lambda t: t.nRTPL, after_last=True),
    Constraint(Scope.BANK, WRITE, CLOSE, lambda t: _write_end(t) + t.nWR),
    Constraint(Scope.BANK, WRITE, RDA, lambda t: _write_end(t) + t.nWR - t.nRTPL),
    *_closing(Scope.BANK, ACT),
    # Openings of rows, in either row buffer, and precharges.
    Constraint(Scope.BANK_GROUP, OPEN, OPEN, lambda t: t.nRRDL),
    Constraint(Scope.RANK, OPEN, OPEN, lambda t: t.nRRDS),
    Constraint(Scope.RANK, OPEN, OPEN, lambda t: t.nFAW, window=4),
    Constraint(Scope.RANK, CLOSE, CLOSE, lambda t: t.nPPD),
    # Columns of MEM row buffers.
    Constraint(Scope.BANK_GROUP, READ | WRITE, COLUMN, lambda t: t.nCCDL),
    Constraint(Scope.BANK_GROUP, GWRITE, COLUMN, lambda t: t.nCCDL, after_last=True),
    Constraint(Scope.RANK, READ | WRITE, COLUMN, lambda t: t.nCCDS),
    Constraint(Scope.RANK, GWRITE, COLUMN, lambda t: t.nCCDS, after_last=True),
    Constraint(Scope.BANK_GROUP, WRITE, FROM_ROW, lambda t: _write_end(t) + t.nWTRL),
    Constraint(Scope.RANK, WRITE, FROM_ROW, lambda t: _write_end(t) + t.nWTRS),
    # The data bus, and the paths behind it in the die: one burst after the other, and a turn-around
    # between drivers of the bus. Each rank that sends is one, the controller is another: it drives
    # write data whatever their rank, so WR to WR of another rank needs none (nor in the simulator
    # of NeuPIMs, extern/NewtonSim/src/timing.cc: write_to_write_o).
    Constraint(Scope.CHANNEL, READ, FROM_ROW, lambda t: t.nBL),
    Constraint(Scope.OTHER_RANK, READ, READ, lambda t: t.nBL + t.nTURN),
    Constraint(Scope.CHANNEL, READ, TO_DIE, lambda t: t.read_to_write),
    Constraint(Scope.CHANNEL, TO_DIE, TO_DIE | GWRITE, lambda t: t.nBL),
    Constraint(Scope.CHANNEL, GWRITE, COLUMN | TO_DIE, lambda t: t.nBL, after_last=True),
    Constraint(Scope.CHANNEL, TO_DIE, READ, lambda t: _write_end(t) + t.nTURN - t.nCL),
    # Refresh takes the cells of a rank. The global vector buffer is none of them, so data may come
    # to it from the bus at any time (PIM_GWRITE_DATA), within nRFC, too.
    Constraint(Scope.RANK, OPEN, REF, lambda t: t.row_cycle),
    *_closing(Scope.RANK, REF),
    Constraint(Scope.CHANNEL, PIM_CLOSE, REF, lambda t: t.nRP),
    Constraint(Scope.RANK, REF, OPEN | REF, lambda t: t.nRFC),
    # The PIM row buffers, the MAC units and the global vector buffer.
    Constraint(Scope.CHANNEL, PIM_OPEN, PRODUCT, lambda t: t.product_delay),
    Constraint(Scope.CHANNEL, PIM_OPEN, PIM_CLOSE, lambda t: t.nRAS),
    Constraint(Scope.BANK_GROUP, PIM_OPEN, PIM_OPEN, lambda t: t.row_cycle),
    Constraint(Scope.CHANNEL, PIM_CLOSE, PIM_OPEN, lambda t: t.nRP),
    Constraint(Scope.CHANNEL, SLOT, SLOT, lambda t: t.nCCDL, after_last=True),
    Constraint(Scope.CHANNEL, PRODUCT, PIM_CLOSE, lambda t: t.nRTPL, after_last=True),
    Constraint(Scope.CHANNEL, GWRITE_DATA, PRODUCT, _write_end),
    Constraint(Scope.CHANNEL, GWRITE, PRODUCT, _write_end, after_last=True),
    Constraint(Scope.CHANNEL, GWRITE, PRODUCT, lambda t: t.nCL, after_last=True),
    # Between the two row buffers of a bank: with two, only a row that both want must rest between;
    # with one, PIM and ordinary accesses take the bank in turn.
    *_closing(Scope.ROW, PIM_OPEN, row_buffers=(2,)),
    Constraint(Scope.ROW, OPEN, OPEN, lambda t: t.row_cycle, row_buffers=(2,)),
    Constraint(Scope.ROW, PIM_CLOSE, ACT, lambda t: t.nRP, row_buffers=(2,)),
    *_closing(Scope.BANK, PIM_OPEN, row_buffers=(1,)),
    Constraint(Scope.BANK, OPEN, OPEN, lambda t: t.row_cycle, row_buffers=(1,)),
    Constraint(Scope.BANK, PIM_CLOSE, ACT, lambda t: t.nRP, row_buffers=(1,)),
)


def constraints(config: DieConfig, apart: int = 1) -> list[Constraint]:
    """Return the constraints that hold in a device, without those that any two cycles satisfy.

    Any two commands are ``apart`` by so many cycles: 0 where row and column commands have a bus
    each.
    """
    return [
        line
        for line in CONSTRAINTS
        if config.pim.row_buffers in line.row_buffers
        and line.gap(config.memory.timing) > (0 if line.after_last else apart)
        and not (line.scope is Scope.OTHER_RANK and config.memory.ranks == 1)
    ]
