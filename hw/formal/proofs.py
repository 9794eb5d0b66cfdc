"""What is proven: rules, the geometries on which they are, and by which engine."""

from collections.abc import Callable
from dataclasses import dataclass

from amaranth.hdl import *

from hw.config import Config
from hw.controller.refresh import longest_tile
from hw.controller.response_bound import oldest_request_cycles
from hw.formal.coverage import coverage
from hw.formal.geometry import (
    BLOCKED,
    BRISK,
    ONE_RANK,
    SOON,
    TWO_GROUPS,
    TWO_RANKS,
    TWO_SLOTS,
    WHOLE_ROWS,
)
from hw.formal.lemmas import data_bus_lemmas, row_buffer_lemmas, timing_lemmas
from hw.formal.proof import Proof
from hw.formal.prover import Provable
from hw.formal.rules.answer import answer_rules
from hw.formal.rules.data_bus import data_bus_rules
from hw.formal.rules.operand import operand_rules
from hw.formal.rules.order import order_rules
from hw.formal.rules.queue import QueueProof
from hw.formal.rules.refresh import refresh_rules
from hw.formal.rules.response import response_rules, vector_response_rules
from hw.formal.rules.row_buffer import row_buffer_rules, row_state_rules
from hw.formal.rules.timing import timing_rules
from hw.formal.rules.vector_buffer import vector_buffer_rules

__all__ = ["COVERAGE", "LIMITS", "PROOFS", "Task"]


@dataclass(frozen=True, slots=True)
class Task:
    """A design whose properties are to be proven.

    Attributes
    ----------
    rule
        The rule that they belong to; 0 for what the others rest on.
    geometry
        Of the channel.
    make
        Makes the design of a geometry.
    cycles
        The design is unrolled to that depth.
    for_all_time
        A proof for all time is looked for first; unrolled is what is not proven then.
    """

    rule: int
    geometry: Config
    make: Callable[[Config], Provable]
    cycles: int = 80
    for_all_time: bool = True


#: Cycles in which the oldest read, write and tile are served at the geometry of rule 6. Chosen: no
#: search has broken them (52 of a read, 45 of a write, 55 of a tile are), and they are below what
#: :mod:`hw.controller.response_bound` grants, so that a search reaches further.
LIMITS = (60, 60, 65)

#: The same for the oldest PIM operation, if it is a vector burst.
VECTOR_LIMIT = 60


def _timing(config: Config) -> Proof:
    return Proof(config, lambda proof: timing_rules(proof.bus), lemmas=timing_lemmas)


def _timing_of_rows(config: Config) -> Proof:
    """Take the lines that a PIM_GWRITE of several bursts lengthens; the others are as before."""

    def rule(proof: Proof) -> dict[str, Value]:
        found = timing_rules(proof.bus)
        return {name: broken for name, broken in found.items() if "PIM_GWRITE to" in name}

    return Proof(config, rule)


def _rows(config: Config) -> Proof:
    rules = (row_buffer_rules, row_state_rules)
    found = (lambda proof, rule=rule: rule(proof.bus) for rule in rules)
    return Proof(config, *found, lemmas=row_buffer_lemmas)


def _vector_buffer(config: Config) -> Proof:
    return Proof(config, lambda proof: vector_buffer_rules(proof.bus))


def _data_bus(config: Config) -> Proof:
    return Proof(config, lambda proof: data_bus_rules(proof.bus), lemmas=data_bus_lemmas)


def _order(config: Config) -> Proof:
    return Proof(config, order_rules)


def _operands(config: Config) -> Proof:
    return Proof(config, operand_rules, with_die=True)


def _refresh(config: Config) -> Proof:
    return Proof(config, refresh_rules)


def _response(config: Config) -> Proof:
    assert oldest_request_cycles(config, longest_tile(config)) >= max(LIMITS), "the bound is less"
    return Proof(config, lambda proof: response_rules(proof, *LIMITS), tag_bits=2)


def _vector_response(config: Config) -> Proof:
    return Proof(config, lambda proof: vector_response_rules(proof, VECTOR_LIMIT))


def _answers(config: Config) -> Proof:
    return Proof(config, answer_rules)


def _coverage(config: Config) -> Proof:
    return Proof(config, coverage)


PROOFS = (
    Task(0, ONE_RANK, QueueProof),
    Task(1, ONE_RANK, _timing),
    Task(1, TWO_RANKS, _timing),
    Task(1, TWO_GROUPS, _timing),
    Task(1, BLOCKED, _timing),
    Task(1, WHOLE_ROWS, _timing_of_rows),
    Task(2, ONE_RANK, _rows),
    Task(2, BLOCKED, _rows),
    Task(3, BRISK, _order, 48, for_all_time=False),
    Task(3, BRISK, _operands, 48, for_all_time=False),
    Task(4, TWO_SLOTS, _vector_buffer),
    Task(4, WHOLE_ROWS, _vector_buffer),
    Task(5, ONE_RANK, _refresh, 100, for_all_time=False),
    Task(
        5,
        ONE_RANK.replace(name="one rank, two postponed", postpone=2),
        _refresh,
        144,
        for_all_time=False,
    ),
    Task(6, BRISK, _response, 90, for_all_time=False),
    Task(6, BRISK, _vector_response, 90, for_all_time=False),
    Task(7, ONE_RANK, _answers, 48),
    Task(8, SOON, _data_bus),
    Task(8, ONE_RANK.replace(name="one rank, two partial sums", partial_sums=2), _data_bus),
)

#: For each geometry, how deep a search must be to see a refresh and a whole tile.
COVERAGE = tuple(
    Task(task.rule, task.geometry, _coverage, 60, for_all_time=False)
    for task in {task.geometry: task for task in PROOFS if task.rule}.values()
)
