"""Rule 5 as properties: refresh is late or early by no more than may be."""

from amaranth.hdl import *

from hw.controller.refresh import longest_tile
from hw.formal.environment import VECTOR_BURSTS
from hw.formal.proof import Proof
from hw.protocol.commands import Command, PimOperation
from hw.protocol.constraints import Scope

__all__ = ["assume_announced_tiles", "refresh_rules"]


def assume_announced_tiles(proof: Proof, vector_bursts: int = 0) -> None:
    """Assume that tiles last no longer than announced.

    A tile has one GEMV, or together as many single products and results as a GEMV has columns, and
    so many vector bursts; headers announce no less than the longest tile, and the operations of a
    tile that has started are there when the controller looks for them.
    """
    m, config = proof.m, proof.config
    queue, tiles = proof.part("controller", "pim"), proof.part("controller", "tiles")

    def oldest_is(*kinds: PimOperation) -> Value:
        return queue.valid & Cat(queue.head.operation == kind for kind in kinds).any()

    most = config.pim.slots * config.memory.columns
    gemv = oldest_is(PimOperation.GEMV)
    work = oldest_is(PimOperation.GEMV, PimOperation.DOTPRODUCT, PimOperation.RDRESULT)
    inside = tiles.started
    burst = inside & oldest_is(*VECTOR_BURSTS)
    done = Signal(range(most + 1))  # columns, products and results of the tile
    bursts = Signal(range(vector_bursts + 2))
    with m.If(queue.pop & oldest_is(PimOperation.PRECHARGE)):
        m.d.sync += [done.eq(0), bursts.eq(0)]
    with m.Elif(queue.pop & work):
        m.d.sync += done.eq(Mux(gemv, most, done + 1))
    with m.Elif(queue.pop & burst):
        m.d.sync += bursts.eq(bursts + 1)
    proof.assume(~inside | queue.valid)
    proof.assume(~burst | (bursts != vector_bursts))
    proof.assume(~work | (done != most))
    proof.assume(~gemv | (done == 0))
    header = oldest_is(PimOperation.HEADER)
    proof.assume(~header | (queue.head.length >= longest_tile(config)))


def refresh_rules(proof: Proof) -> dict[str, Value]:
    """Return conditions that a rank is refreshed too late or too early.

    Tiles are assumed to last no longer than announced (:func:`assume_announced_tiles`).

    The n-th refresh is due n × nREFI cycles after reset.
    """
    assume_announced_tiles(proof)
    bus, config, m = proof.bus, proof.config, proof.m
    interval, limit = config.memory.timing.nREFI, config.controller.postpone
    since = Signal(range(interval))
    due = since == interval - 1
    m.d.sync += since.eq(Mux(due, 0, since + 1))
    late, early = [], []
    for rank in range(config.memory.ranks):
        owed = Signal(range(-limit - 2, limit + 3), name=f"owed_{rank}")
        m.d.sync += owed.eq(owed + due - bus.names({Command.REF}, Scope.RANK, rank))
        late.append(owed > limit)
        early.append(owed < -limit)
    return {
        f"no REF is late by more than {limit} × nREFI": Cat(late).any(),
        f"no more than {limit} REF are pulled in": Cat(early).any(),
    }
