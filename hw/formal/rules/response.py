"""Rule 6 as properties: what is the oldest of all is served within a bound."""

from amaranth.hdl import *
from amaranth.lib import enum

from hw.controller.requests.burst_run import run_length
from hw.formal.environment import VECTOR_BURSTS
from hw.formal.proof import Proof
from hw.formal.rules.refresh import assume_announced_tiles
from hw.protocol.commands import Command, Request

__all__ = ["response_rules", "vector_response_rules"]


class _Tag(enum.Enum, shape=2):
    """Tags of requests, by their place in the order of acceptance."""

    EARLIER = 0  #: before what is watched
    WATCHED = 1
    LATER = 2


def response_rules(
    proof: Proof, read_limit: int, write_limit: int, tile_limit: int
) -> dict[str, Value]:
    """Return conditions that a request, or a tile, takes too long once it is the oldest of all.

    Watched is one request or one tile, any, accepted at any time. Tags, which no decision depends
    on, say which requests were accepted before and which after it; so it is known when those before
    have left, and from then on its cycles are counted until its RD, WR or PIM_PRECHARGE. What
    waits for no other and is served within the limit cannot starve: no more are before it than the
    queues hold, and a tile.

    Tiles are assumed to last no longer than announced (:func:`assume_announced_tiles`). Between
    them is any number of vector bursts.

    Parameters
    ----------
    read_limit, write_limit, tile_limit
        Cycles in which the oldest must be served, if it is a read, a write or a tile.
    """
    assume_announced_tiles(proof)
    m, bus, config, controller = proof.m, proof.bus, proof.config, proof.controller
    request, accept = controller.i_requests.payload, controller.accept
    enters = accept.valid & (accept.kind <= 1)  # not one that is answered without RD
    tile_enters = accept.valid & (accept.kind == 2)
    tile_ends = bus.is_any(Command.PIM_PRECHARGE)
    served = bus.is_any(Command.RD, Command.RDA, Command.WR, Command.WRA)
    tag = proof.part("controller", "data_path").o_tag  # of the RD or WR on the bus

    # What is watched.
    tile_watched = proof.any_constant(1, "tile_watched")
    watched, seen = Signal(), Signal()
    chosen = Mux(tile_watched, tile_enters & proof.any_value(1), enters)
    m.d.comb += watched.eq(~seen & chosen & (tile_watched | (request.tag == _Tag.WATCHED)))
    m.d.sync += seen.eq(seen | watched)
    earlier = (request.tag == _Tag.EARLIER) | (~tile_watched & (request.tag == _Tag.WATCHED))
    proof.assume(~enters | Mux(seen, request.tag == _Tag.LATER, earlier))

    # What is before it: as many requests, and a tile.
    most = (config.controller.read_queue + config.controller.write_queue) * run_length(config) + 1
    before, tile_before = Signal(range(most + 1)), Signal()
    m.d.sync += [
        before.eq(before + (enters & ~seen & ~watched) - (served & (tag == _Tag.EARLIER))),
        tile_before.eq((tile_before | (tile_enters & ~seen & ~watched)) & ~tile_ends),
    ]

    # How long it has been the oldest.
    waits, is_write = Signal(), Signal()
    done = Mux(tile_watched, tile_ends & ~tile_before, served & (tag == _Tag.WATCHED))
    m.d.sync += waits.eq((waits | watched) & ~done)
    with m.If(watched):
        m.d.sync += is_write.eq(request.kind == Request.WRITE)
    oldest = waits & (before == 0) & ~tile_before
    limit = Mux(tile_watched, tile_limit, Mux(is_write, write_limit, read_limit))
    waited = Signal(range(max(read_limit, write_limit, tile_limit) + 1))
    with m.If(oldest & (waited != limit)):
        m.d.sync += waited.eq(waited + 1)
    late = oldest & (waited == limit)
    kinds = {"read": (~is_write, read_limit), "write": (is_write, write_limit)}
    return {
        **{
            f"a {kind} that is the oldest of all is served within {most} cycles": late
            & ~tile_watched
            & is_it
            for kind, (is_it, most) in kinds.items()
        },
        f"a tile that is the oldest of all ends within {tile_limit} cycles": late & tile_watched,
    }


def vector_response_rules(proof: Proof, limit: int) -> dict[str, Value]:
    """Return the condition that a vector burst takes too long once it is the oldest operation.

    One from a row is only watched once the earlier writes to that row, which are served like
    all others, are done. Vector bursts, from the data bus and from rows, come between tiles, and
    one of them in each tile.

    Parameters
    ----------
    limit
        Cycles in which it must be served.
    """
    assume_announced_tiles(proof, vector_bursts=1)
    m, queue = proof.m, proof.part("controller", "pim")
    waits = queue.valid & Cat(queue.head.operation == kind for kind in VECTOR_BURSTS).any()
    waited = Signal(range(limit + 1))
    with m.If(~waits | queue.pop | proof.part("controller", "vector_row").waits):
        m.d.sync += waited.eq(0)
    with m.Elif(waited != limit):
        m.d.sync += waited.eq(waited + 1)
    return {
        f"a vector burst that is the oldest operation is served within {limit} cycles": waits
        & (waited == limit)
    }
