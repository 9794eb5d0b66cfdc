"""Faults put into the elaborated design, each of which breaks a property that must notice it.

The hardware has no switch for them: while a design is made, one line of a table or one method is
replaced (:func:`unittest.mock.patch`), and what is elaborated is otherwise the same source.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from unittest.mock import patch

from amaranth.hdl import *

from hw.config import Config
from hw.controller import guards, row_state
from hw.controller.arbiter import Arbiter
from hw.controller.data_path import DataPath
from hw.controller.direction import Turn
from hw.controller.pim import queue as pim_queue
from hw.controller.pim.gwrite_from_row import VectorRow
from hw.controller.pim.result_windows import ResultWindows
from hw.controller.refresh import Refresh
from hw.controller.requests import request_queue
from hw.controller.requests.request_queue import RequestQueue
from hw.die.row_buffer import RowBuffer
from hw.formal.proofs import PROOFS, Task
from hw.protocol.commands import Command
from hw.protocol.constraints import Constraint, Scope, constraints
from hw.protocol.results import result_latency

__all__ = ["MUTANTS", "Mutant"]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A fault.

    Attributes
    ----------
    name
        What is wrong.
    fault
        Puts it into all that is elaborated inside the context.
    rule
        The rule whose proof must fail.
    guarded
        How the name of the property that must be broken begins.
    cycles
        Depth within which it is.
    number
        Which of the proofs of its rule must fail.
    """

    name: str
    fault: Callable[[], AbstractContextManager[object]]
    rule: int
    guarded: str
    cycles: int = 40
    number: int = 0

    @property
    def task(self) -> Task:
        """The proof that must fail."""
        return [task for task in PROOFS if task.rule == self.rule][self.number]


def _guards_follow(change: Callable[[Constraint], Constraint | None]):
    """Give the guards, and nothing else, another table."""

    def changed(config: Config) -> list[Constraint]:
        lines = [change(line) for line in constraints(config)]
        return [line for line in lines if line is not None]

    return lambda: patch.object(guards, "constraints", changed)


def _is_line(line: Constraint, scope: Scope, first: Command, later: Command) -> bool:
    return line.scope is scope and first in line.first and later in line.later


def _shorter(scope: Scope, first: Command, later: Command):
    """Let the guards wait a cycle less between two commands."""

    def change(line: Constraint) -> Constraint:
        if line.window > 1 or not _is_line(line, scope, first, later):
            return line
        return line._replace(gap=lambda timing: line.gap(timing) - 1)

    return _guards_follow(change)


def _ignored(cls: type, member: str, value: int | None = None):
    """Let a component use a constant for an input, or drive nothing with an output (None)."""

    @contextmanager
    def fault() -> Iterator[None]:
        elaborate = cls.elaborate

        def faulty(self, platform):
            kept = getattr(self, member)
            other = Signal.like(kept) if value is None else Const(value, kept.shape())
            setattr(self, member, other)
            made = elaborate(self, platform)
            setattr(self, member, kept)
            return made

        with patch.object(cls, "elaborate", faulty):
            yield

    return fault


def _writes_first(self: Turn, platform: object) -> Module:
    """Take the place of the choice of the direction."""
    m = Module()
    m.d.sync += self.writing.eq(self.writes.any_free)
    return m


MUTANTS = (
    Mutant(
        "the queue says that results come a cycle too early",
        lambda: patch.object(pim_queue, "result_latency", lambda c: result_latency(c) - 1),
        rule=0,
        guarded="the queue keeps the order of PIM operations: bit 0 of first",
    ),
    Mutant(
        "guard of nRAS one cycle short",
        _shorter(Scope.BANK, Command.ACT, Command.PRE),
        1,
        "timing: ACT to PRE",
    ),
    Mutant(
        "guard of write to read one cycle short",
        _shorter(Scope.BANK_GROUP, Command.WR, Command.RD),
        1,
        "timing: WR/WRA to RD/RDA/PIM_GWRITE, bank group",
    ),
    Mutant(
        "four-activate window forgotten",
        _guards_follow(lambda line: None if line.window > 1 else line),
        1,
        "timing: ACT/PIM_ACTIVATION to ACT/PIM_ACTIVATION, rank: nFAW",
    ),
    Mutant(
        "PIM_ACTIVATION counted as one opening",
        lambda: patch.object(guards, "OPENINGS", {Command.ACT: 1, Command.PIM_ACTIVATION: 1}),
        1,
        "timing: ACT/PIM_ACTIVATION to ACT/PIM_ACTIVATION, rank: nFAW",
    ),
    Mutant(
        "the next command of a rank does not wait for refresh",
        _guards_follow(lambda line: None if Command.REF in line.first else line),
        1,
        "timing: REF to",
    ),
    Mutant(
        "a row opened in both row buffers",
        lambda: patch.object(row_state, "rows_conflict", lambda config, a, b: Const(0)),
        2,
        "no row is open",
    ),
    Mutant(
        "refresh inside a tile",
        _ignored(Refresh, "tile_runs", 0),
        2,
        "REF finds",
        cycles=100,
    ),
    Mutant(
        "vector burst written over a half in use",
        _ignored(Arbiter, "half_free", 1),
        4,
        "no column lands",
    ),
    Mutant(
        "a row written over a half in use",
        _ignored(VectorRow, "half_free", 1),
        4,
        "no column lands",
        number=1,
    ),
    Mutant(
        "result sent into the window of another",
        _ignored(Arbiter, "gemv_clear", 1),
        8,
        "one driver",
        number=1,
    ),
    Mutant(
        "a tile does not wait for earlier requests",
        _ignored(RequestQueue, "before_tile"),
        3,
        "a tile opens a row after",
    ),
    Mutant(
        "later requests do not wait for a tile",
        lambda: patch.object(request_queue, "rows_conflict", lambda config, a, b: Const(0)),
        3,
        "no later request",
    ),
    Mutant(
        "a GWRITE reads whatever row is open",
        _ignored(VectorRow, "hit", 1),
        3,
        "a GWRITE reads the row",
    ),
    Mutant(
        "a GWRITE does not wait for earlier writes",
        _ignored(RequestQueue, "before_vector"),
        3,
        "a GWRITE reads a row after",
    ),
    Mutant(
        "writes to its row are accepted before a GWRITE has read",
        _ignored(VectorRow, "bars"),
        3,
        "no later write",
    ),
    Mutant(
        "a MAC unit multiplies a row without an earlier write",
        _ignored(RequestQueue, "before_tile"),
        3,
        "a MAC unit multiplies",
        number=1,
    ),
    Mutant(
        "columns of a tile are read in the wrong place",
        _ignored(RowBuffer, "read_column", 0),
        3,
        "a MAC unit multiplies",
        number=1,
    ),
    Mutant(
        "refresh is never asked for",
        _ignored(Refresh, "ref"),
        5,
        "no REF is late",
        cycles=100,
    ),
    Mutant(
        "nothing is forwarded, and writes do not wait for reads (stale reads)",
        _ignored(RequestQueue, "same"),
        7,
        "a read gives",
    ),
    Mutant(
        "whatever write is in the first slot is forwarded",
        _ignored(RequestQueue, "newest_slot"),
        7,
        "a read gives",
    ),
    Mutant(
        "the tag of another place of the run is answered",
        _ignored(DataPath, "slot", 0),
        7,
        "no read is answered",
    ),
    Mutant(
        "answers are taken for results of PIM",
        _ignored(DataPath, "result", 1),
        7,
        "every read that is served",
    ),
    Mutant(
        "results reserve no place on the data bus",
        _ignored(ResultWindows, "issue", 0),
        8,
        "one driver",
    ),
    Mutant(
        "vector bursts yield as long as a request is aged",
        _ignored(Turn, "vector_waits", 0),
        6,
        "a vector burst",
        cycles=80,
        number=1,
    ),
    Mutant(
        "writes do not leave the bus to the read of a vector burst",
        _ignored(Arbiter, "vector_bars", 0),
        6,
        "a vector burst",
        cycles=80,
        number=1,
    ),
    Mutant(
        "no request is ever aged",
        _ignored(RequestQueue, "aged"),
        6,
        "a read that is the oldest",
        cycles=90,
    ),
    Mutant(
        "writes are served as long as there are any",
        lambda: patch.object(Turn, "elaborate", _writes_first),
        6,
        "a read that is the oldest",
        cycles=90,
    ),
    Mutant(
        "results yield as long as a request is aged",
        _ignored(Turn, "take_aged", 0),
        6,
        "a tile that is the oldest",
        cycles=90,
    ),
)
