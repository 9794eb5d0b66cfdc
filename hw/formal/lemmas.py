"""Lemmas: what the controller keeps besides the rules, said so that induction need not find it.

A rule follows the bus and shares no state with the controller. So whoever proves it has to discover
what the controller's registers have to do with the commands of the last cycles. A lemma says it. It
is proven together with its property, never assumed: what is for all time is that neither is ever
broken. One that is wrong proves nothing; its property is then searched for alone.

Each function returns conditions that must never hold, by the properties that they help.
"""

from amaranth.hdl import *

from hw.controller.guards import FORESEEN, ISSUED
from hw.controller.row_state import rows_conflict
from hw.formal.proof import Proof
from hw.formal.rules.data_bus import ONE_DRIVER, TURN_AROUND
from hw.formal.rules.row_buffer import NEVER_IN_BOTH
from hw.formal.rules.timing import property_of
from hw.protocol.commands import Command
from hw.protocol.constraints import TARGETS, Constraint, Scope, constraints

__all__ = ["data_bus_lemmas", "row_buffer_lemmas", "timing_lemmas"]


def row_buffer_lemmas(proof: Proof) -> dict[str, Value]:
    """Return what keeps rows from both row buffers: a tile that may start meets nobody."""
    tiles = proof.part("controller", "tiles")
    return {NEVER_IN_BOTH: (tiles.started & ~tiles.tile.valid) | _meets(proof)}


def timing_lemmas(proof: Proof) -> dict[str, Value]:
    """Return what keeps gaps between two commands: guards, and for a tile's rows its start."""
    found = {}
    meets = _meets(proof)
    for number, line in enumerate(constraints(proof.config)):
        name = f"lemma_{number}"
        if line.window > 1 or line.after_last or line.scope is Scope.OTHER_RANK:
            continue
        if line.scope is not Scope.ROW:
            found[property_of(line)] = _early(proof, line, name)
        elif line.later == {Command.PIM_ACTIVATION}:
            found[property_of(line)] = meets | _rests_less(proof, line, name)
    return found


def data_bus_lemmas(proof: Proof) -> dict[str, Value]:
    """Return what keeps bursts from results: the windows that are reserved for these are theirs.

    What the controller names in a cycle is on the bus in the next.
    """
    windows, timing = proof.part("controller", "windows"), proof.config.memory.timing
    due = [cycles | pattern for cycles, pattern in proof.bus.results]

    def meets(latency: int, driver: int | None) -> Value:
        """Return that a burst named in this cycle is too close to a result."""
        start, end, turn = 1 + latency, 1 + latency + timing.nBL, timing.nTURN
        others = (cycles[start - turn : end + turn] for i, cycles in enumerate(due) if i != driver)
        own = [] if driver is None else [due[driver][start:end]]
        return Cat(*others, *own).any()

    broken = [
        windows.now != Cat(cycles[0] for cycles in due).any(),
        windows.write_clear & meets(timing.nCWL, None),
        *(clear & meets(timing.nCL, rank) for rank, clear in enumerate(windows.read_clear)),
        *((cycles >> (windows.until_free + 1)).any() for cycles in due),
    ]
    return dict.fromkeys((ONE_DRIVER, TURN_AROUND), Cat(broken).any())


def _meets(proof: Proof) -> Value:
    """Return that a tile which may start, or has, meets an open row or an earlier request.

    Or that a request asks for a row that conflicts with a tile's although no earlier one is left.
    """
    config = proof.config
    tiles, rows = proof.part("controller", "tiles"), proof.part("controller", "rows")
    runs = tiles.may_start | tiles.started
    broken = [runs & rows.tile_close.any()]
    for name in ("reads", "writes"):
        queue = proof.part("controller", name)
        asks = queue.activation.valid & tiles.tile.valid
        conflict = rows_conflict(config, queue.activation.row, tiles.tile.row)
        broken += [runs & queue.before_tile, asks & conflict & ~queue.before_tile]
    return Cat(broken).any()


def _early(proof: Proof, line: Constraint, name: str) -> Value:
    """Return that the guards allow a command of the line before its time."""
    bus, guards = proof.bus, proof.part("controller", "guards")
    gap, size = line.gap(proof.config.memory.timing), bus.size(line.scope)
    broken = []
    for instance in range(proof.config.memory.banks // size):
        first = bus.names(line.first, line.scope, instance)
        since = _Since(proof, first, gap, f"{name}_{instance}")
        for later in (command for command in ISSUED if command in line.later):
            target = bus.size(TARGETS[later])
            start = instance * size // target
            for place in range(start, start + max(1, size // target)):
                if later in FORESEEN:
                    broken.append(guards.soon[later.name][place] & since.less_than(gap - 2))
                broken.append(guards.ready[later.name][place] & since.less_than(gap - 1))
    return Cat(broken).any()


def _rests_less(proof: Proof, line: Constraint, name: str) -> Value:
    """Return that a tile counts a row as rested, may start on it, or has, before the line's time.

    Whether a row has rested is what the guards say of an ACT, which waits as long.
    """
    bus, config = proof.bus, proof.config
    guards, tiles = proof.part("controller", "guards"), proof.part("controller", "tiles")
    gap = line.gap(config.memory.timing)
    broken = []
    for bank in range(config.memory.banks):
        closes = bus.names(line.first, Scope.BANK, bank)
        for row in range(config.memory.rows):
            event = closes & (bus.mem_row[bank] == row)
            since = _Since(proof, event, gap, f"{name}_{bank}_{row}")
            here = tiles.tile.row == row
            broken += [
                guards.soon.ACT[bank] & since.less_than(gap - 2),
                here & tiles.may_start & since.less_than(gap - 1),
                here & tiles.started & since.less_than(gap),
            ]
    return Cat(broken).any()


class _Since:
    """Cycles since an event on the bus, 0 in its own; followed for less than ``limit``."""

    def __init__(self, proof: Proof, event: Value, limit: int, name: str):
        now = Signal(name=f"{name}_now")
        proof.m.d.comb += now.eq(event)
        self._past = Cat(now, proof.bus.history(now, limit - 1, name))

    def less_than(self, cycles: int) -> Value:
        return self._past[:cycles].any() if cycles > 0 else Const(0)
