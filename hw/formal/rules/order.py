"""Rule 3 as properties: on a row, requests, tiles and GWRITEs take turns as they were accepted."""

from amaranth.hdl import *

from hw.controller.requests.burst_run import run_length
from hw.formal.proof import Proof
from hw.protocol.commands import Command

__all__ = ["order_rules"]


def order_rules(proof: Proof) -> dict[str, Value]:
    """Return conditions that the order on one row, any row of any bank, is not that of acceptance.

    Counts, of the requests to the row that were accepted and have not been issued, those before the
    last tile on the row and those after it, and of the writes those before the GWRITE of the row
    that was accepted and has not read it. Which column each wants does not matter.
    """
    m, bus = proof.m, proof.bus
    accept, command = proof.controller.accept, bus.bus
    bank = proof.any_constant(len(command.bank), "watched_bank")
    row = proof.any_constant(len(command.row), "watched_row")
    mem_row = Array(bus.mem_row)[bank]
    here = (accept.bank == bank) & (accept.row == row)
    request = accept.valid & (accept.kind <= 1) & here  # not one that is answered without RD
    tile = accept.valid & (accept.kind == 2) & (accept.row == row)
    columns = (Command.RD, Command.RDA, Command.WR, Command.WRA)
    served = bus.is_any(*columns) & (command.bank == bank) & (mem_row == row)
    opens = (
        bus.is_any(Command.PIM_ACTIVATION) & (command.row == row) & (command.bank >> 2 == bank >> 2)
    )

    # What the queues hold, and one whose command is about to be on the bus.
    most = (proof.config.controller.read_queue + proof.config.controller.write_queue) * run_length(
        proof.config
    ) + 1
    before, after = Signal(range(most + 1)), Signal(range(most + 1))
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

    # A GWRITE of the row, which only writes must not overtake or be overtaken by.
    reads_row = accept.valid & (accept.kind == 3) & here
    on_row = (command.bank == bank) & (mem_row == row)
    written = bus.is_any(Command.WR, Command.WRA) & on_row
    read = bus.is_any(Command.PIM_GWRITE) & on_row
    elsewhere = bus.is_any(Command.PIM_GWRITE) & ~on_row
    writes = Signal(range(most + 1))
    owed = Signal(range(most + 1))  # of these, those before the GWRITE
    reading = Signal()  # a GWRITE was accepted and has not read
    m.d.sync += [
        writes.eq(writes + (request & (accept.kind == 1)) - written),
        reading.eq((reading | reads_row) & ~read),
        owed.eq(Mux(reads_row, writes, owed) - (written & (reads_row | (owed != 0)))),
    ]
    return {
        "a tile opens a row after every earlier request to it": opens & (before != 0),
        "no later request is served before a tile on its row ends": served & inside & ~first,
        "a GWRITE reads the row for which it was accepted": elsewhere & reading,
        "a GWRITE reads a row after every earlier write to it": read & reading & (owed != 0),
        "no later write to its row is served before a GWRITE": written & reading & (owed == 0),
    }
