"""How deep a search must be to say anything: the least cycles with a refresh and a whole tile."""

from amaranth.hdl import *

from hw.formal.proof import Proof
from hw.protocol.commands import Command

__all__ = ["COVERED", "coverage"]

#: What must be possible within the depth of a search.
COVERED = "a refresh of all ranks and a whole tile with a product"


def coverage(proof: Proof) -> dict[str, Value]:
    """Return the condition that a refresh of all ranks and a whole tile have been, in any order.

    It is no fault, but what a search must find: its shortest trace tells which depths cover both.
    """
    m, bus, config = proof.m, proof.bus, proof.config
    refreshed = Signal(config.memory.ranks)
    with m.If(bus.is_any(Command.REF)):
        m.d.sync += refreshed.eq(refreshed | 1 << bus.bus.bank // config.memory.banks_per_rank)
    multiplied, done = Signal(), Signal()
    products = bus.is_any(Command.PIM_GEMV, Command.PIM_DOTPRODUCT)
    ends = bus.is_any(Command.PIM_PRECHARGE)
    m.d.sync += [
        multiplied.eq((multiplied | products) & ~ends),
        done.eq(done | (ends & multiplied)),
    ]
    return {COVERED: done & refreshed.all()}
