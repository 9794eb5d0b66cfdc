"""Rule 3 at its end: what a MAC unit multiplies is the row as it was when its tile was accepted."""

from amaranth.hdl import *

from hw.formal.proof import Proof
from hw.protocol.commands import Command, Request

__all__ = ["operand_rules"]

#: Cycles from the execution of a column product to the MAC unit's register of the column.
_TO_MAC_UNIT = 3


def _products(proof: Proof, column: Value) -> Value:
    """Return whether the product of a column, of each bank, executes in this cycle."""
    m, bus, config = proof.m, proof.bus, proof.config
    command, gap = bus.bus, config.memory.timing.nCCDL
    assert config.pim.slots == 1, "columns of one slot are followed"
    single, gemv = bus.is_any(Command.PIM_DOTPRODUCT), bus.is_any(Command.PIM_GEMV)
    started = Signal((config.memory.columns - 1) * gap + 1, name="products_of_command")
    for n in range(config.memory.columns):
        is_it = (command.column + n)[: len(command.column)] == column
        m.d.comb += started[n * gap].eq(is_it & (gemv & (n < command.k) | (single & (n == 0))))
    coming, now = Signal.like(started, name="products"), Signal.like(started, name="products_now")
    m.d.comb += now.eq(coming | started)
    m.d.sync += coming.eq(now >> 1)
    return now[0]


def operand_rules(proof: Proof) -> dict[str, Value]:
    """Return the condition that a column enters a MAC unit with other data than accepted before.

    Watched is a column at one address, any of the channel, of which one bit is followed, as data
    only pass through: a shadow word changes when a write is accepted, and the column must be what
    the shadow word was when the tile was accepted, with all writes before it and none after it. A
    column that was never written may be anything. The die, with its cells and row buffers, is that
    which is built (``with_die``); its MAC units are black boxes, whose inputs are looked at.
    """
    m, config, controller = proof.m, proof.config, proof.controller
    bus = proof.bus.bus
    bank = proof.any_constant(len(bus.bank), "watched_bank")
    row = proof.any_constant(len(bus.row), "watched_row")
    column = proof.any_constant(len(bus.column), "watched_column")

    # The flat memory.
    request, accept = controller.i_requests.payload, controller.accept
    enters = controller.i_requests.valid & controller.i_requests.ready
    here = (request.bank == bank) & (request.row == row) & (request.column[1:] == column[1:])
    shadow, written = Signal(), Signal()
    with m.If(enters & here & (request.kind == Request.WRITE)):
        bit = Mux(column[0], request.data[8 * config.memory.column_bytes], request.data[0])
        m.d.sync += [shadow.eq(bit), written.eq(1)]

    # The tile.
    expected, compares = Signal(), Signal()
    with m.If(accept.valid & (accept.kind == 2)):
        m.d.sync += [expected.eq(shadow), compares.eq(written & (accept.row == row))]

    # The column, on its way to the MAC unit.
    way = Cat(_products(proof, column) & compares, expected)
    for cycle in range(_TO_MAC_UNIT):
        later = Signal(2, name=f"operand_{cycle}")
        m.d.sync += later.eq(way)
        way = later
    units = (
        proof.part("die", f"bank_{number}", "peripheral", "mac_unit")
        for number in range(config.memory.banks)
    )
    bits = Array(unit.row.as_value()[0] for unit in units)
    return {
        "a MAC unit multiplies the row as its tile was accepted": way[0] & (bits[bank] != way[1])
    }
