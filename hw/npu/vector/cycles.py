"""How long the vector unit works on an instruction."""

from hw.config import TileConfig
from hw.npu.vector.issue.issuer import GROUP_ROWS
from hw.npu.vector.issue.schedule import PAIRED, SWEEPS, Route, Schedule, route_of
from hw.npu.vector.ports import READ_LATENCY
from hw.program.instruction_set import Opcode

__all__ = ["cycles", "issue_cycles"]


def cycles(config: TileConfig, opcode: Opcode, *, function: int, rows: int, n: int, m: int) -> int:
    """Return how long the vector unit works on an instruction.

    With s slots a row (n / lanes, rounded up; to a multiple of the partial sums in NORM, SOFTMAX
    and REDUCE SUM), constants l and g of the operation, and, for ``rows``, those of the unit that
    has the most (``rows`` / ``vector_units``, rounded up; in TRANSPOSE blocks of ``run`` rows are
    what the units take in turn):

    - ELEMENTWISE, FUNCTION, ARGMAX, REDUCE: rows · s + l; GATE, GELU, SILU, SIGMOID, which need two
      elementary functions an element: 2 · rows · s + l;
    - ROTARY: rows · m · s + l;
    - NORM, SOFTMAX: 3 · rows · s + l (RMS: 2 · rows · s + l), and for each group of up to 16 rows,
      where the waits between sweeps are not hidden behind the other rows,
      max(0, g - (group - 1) · s) each;
    - TAIL: rows · n / lanes · m + l, with m rounded up to a multiple of the partial sums;
    - TRANSPOSE: run + lanes for each block of ``run`` rows and ``lanes`` elements, + l.

    Parameters
    ----------
    config
        The configuration.
    opcode, function, rows, n, m
        Fields of the instruction.

    Returns
    -------
    Cycles from that in which the unit takes the instruction to that of its last write, in which
    ``done`` is high.

    >>> from hw.presets import TINY
    >>> cycles(TINY, Opcode.ELEMENTWISE, function=1, rows=4, n=64, m=0)
    71
    """
    schedule = Schedule.of(config)
    route = route_of(opcode, function)
    issue = issue_cycles(config, opcode, function=function, rows=rows, n=n, m=m)
    if issue == 0:
        return 1
    slots = schedule.slots(route, n, m)
    if route is Route.TRANSPOSE:
        return issue + READ_LATENCY
    last = issue
    if route in SWEEPS:
        last -= slots - -(-n // schedule.lanes) + schedule.group_gap(route)
    elif route in (Route.SUM, Route.TAIL):
        last -= schedule.partial_sums - 1
    elif route in PAIRED:
        last -= 1
    return last + schedule.write(route)


def issue_cycles(
    config: TileConfig, opcode: Opcode, *, function: int, rows: int, n: int, m: int
) -> int:
    """Return for how many cycles an instruction holds the vector unit if others overlap with it.

    So many cycles after it was taken the unit takes another one of the same work, if fewer than
    :data:`hw.npu.vector.ports.CONTEXTS` are at work; else when one is done. It is what
    :func:`cycles` says without l, in NORM LAYER as many cycles more as a lane has partial sums.

    Parameters are those of :func:`cycles`; 0 if there is nothing to do.

    >>> from hw.presets import TINY
    >>> issue_cycles(TINY, Opcode.ELEMENTWISE, function=1, rows=4, n=64, m=0)
    64
    """
    schedule = Schedule.of(config)
    route = route_of(opcode, function)
    blocks = -(-n // schedule.lanes)
    if route is Route.TRANSPOSE:
        rows //= schedule.run
    rows = -(-rows // schedule.units)
    if route is Route.ROTARY:
        rows *= m
    slots = schedule.slots(route, n, m)
    if rows == 0 or blocks == 0:
        return 0
    if route is Route.TRANSPOSE:
        return rows * blocks * (slots + schedule.lanes)
    if route is Route.TAIL:
        return rows * blocks * slots
    if route in SWEEPS:
        issue = 0
        while rows:
            group = min(rows, GROUP_ROWS)
            rows -= group
            for sweep in range(3 - SWEEPS[route], 2):
                issue += max(group * slots, slots + schedule.gap(route, sweep))
            issue += group * slots
            issue += schedule.group_gap(route)
        return issue
    return rows * slots * (2 if route in PAIRED else 1)
