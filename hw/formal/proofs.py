"""What is proven: rules, the geometries on which they are, and by which engine."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from hw.config import Config
from hw.formal.answer_rules import answer_rules
from hw.formal.data_bus_rules import data_bus_rules
from hw.formal.geometry import BLOCKED, ONE_RANK, TWO_GROUPS, TWO_RANKS, TWO_SLOTS
from hw.formal.order_rules import order_rules
from hw.formal.proof import Proof
from hw.formal.prover import Provable
from hw.formal.queue_rules import QueueProof
from hw.formal.refresh_rules import refresh_rules
from hw.formal.row_buffer_rules import row_buffer_rules, row_state_rules
from hw.formal.timing_rules import timing_rules
from hw.formal.vector_buffer_rules import vector_buffer_rules

__all__ = ["PROOFS", "Task"]


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
        None: proofs for all time are wanted. Else: the design is unrolled to that depth.
    """

    rule: int
    geometry: Config
    make: Callable[[Config], Provable]
    cycles: int | None = None


def _timing(config: Config) -> Proof:
    return Proof(config, lambda proof: timing_rules(proof.bus))


def _rows(config: Config) -> Proof:
    rules = (row_buffer_rules, row_state_rules)
    return Proof(config, *(lambda proof, rule=rule: rule(proof.bus) for rule in rules))


def _vector_buffer(config: Config) -> Proof:
    return Proof(config, lambda proof: vector_buffer_rules(proof.bus))


def _data_bus(config: Config) -> Proof:
    return Proof(config, lambda proof: data_bus_rules(proof.bus))


def _order(config: Config) -> Proof:
    return Proof(config, order_rules)


def _refresh(config: Config) -> Proof:
    return Proof(config, refresh_rules)


def _answers(config: Config) -> Proof:
    return Proof(config, answer_rules)


PROOFS = (
    Task(0, ONE_RANK, QueueProof),
    Task(1, ONE_RANK, _timing),
    Task(1, TWO_RANKS, _timing),
    Task(1, TWO_GROUPS, _timing),
    Task(1, BLOCKED, _timing),
    Task(2, ONE_RANK, _rows),
    Task(2, BLOCKED, _rows),
    Task(3, ONE_RANK, _order, 32),
    Task(4, TWO_SLOTS, _vector_buffer),
    Task(5, ONE_RANK, _refresh, 100),
    Task(5, replace(ONE_RANK, name="one rank, two postponed", postpone=2), _refresh, 144),
    Task(7, ONE_RANK, _answers, 32),
    Task(8, ONE_RANK, _data_bus),
)
