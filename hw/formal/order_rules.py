"""Rule 3 as properties: ordinary requests and tiles take turns on a row as they were accepted."""

from amaranth.hdl import *

from hw.formal.proof import Proof
from hw.memory.commands import Command

__all__ = ["order_rules"]


def order_rules(proof: Proof) -> dict[str, Value]:
    """Return conditions that the order on one row, any row of any bank, is not that of acceptance.

    Counts, of the requests to the row that were accepted and have not been issued, those before the
    last tile on the row and those after it. Which column each wants does not matter.
    """
    m, bus = proof.m, proof.bus
    accept, command = proof.controller.accept, bus.bus
    bank = proof.any_constant(len(command.bank), "watched_bank")
    row = proof.any_constant(len(command.row), "watched_row")
    mem_row = Array(bus.mem_row)[bank]
    request = accept.valid & (accept.kind != 2) & (accept.bank == bank) & (accept.row == row)
    tile = accept.valid & (accept.kind == 2) & (accept.row == row)
    columns = (Command.RD, Command.RDA, Command.WR, Command.WRA)
    served = bus.is_any(*columns) & (command.bank == bank) & (mem_row == row)
    opens = (
        bus.is_any(Command.PIM_ACTIVATION) & (command.row == row) & (command.bank >> 2 == bank >> 2)
    )

    before, after = Signal(6), Signal(6)
    inside = Signal()  # a tile on the row was accepted and has not ended
    with m.If(tile):
        m.d.sync += inside.eq(1)
    with m.Elif(bus.is_any(Command.PIM_PRECHARGE)):
        m.d.sync += inside.eq(0)
    first = before != 0
    left = before - (served & first)
    rest = after - (served & ~first)
    with m.If(tile):
        m.d.sync += [before.eq(left + rest), after.eq(0)]
    with m.Else():
        m.d.sync += [before.eq(left), after.eq(rest + request)]
    return {
        "a tile opens a row after every earlier request to it": opens & (before != 0),
        "no later request is served before a tile on its row ends": served & inside & ~first,
    }
