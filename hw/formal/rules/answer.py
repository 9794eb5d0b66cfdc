"""Rule 7 as properties: each request is answered once, and reads give what a flat memory would."""

from amaranth.hdl import *

from hw.formal.proof import Proof
from hw.formal.rules.data_bus import rank_drives
from hw.protocol.commands import Command, Request

__all__ = ["answer_rules"]


def _watch(m: Module, asked: Value, answered: Value, name: str) -> Signal:
    """Return whether the watched request was accepted and has not been answered."""
    waiting = Signal(name=f"{name}_waits")
    m.d.sync += waiting.eq((waiting | asked) & ~answered)
    return waiting


def _model_of_die(proof: Proof, at_place: Value, cell: Value, stored: Value) -> None:
    """Assume of the data bus what a die with one burst, at the place of a command, would give."""
    m, bus, controller, timing = proof.m, proof.bus, proof.controller, proof.config.memory.timing
    writes = bus.history(
        bus.is_any(Command.WR, Command.WRA) & at_place, timing.nCWL + 1, "writes_here"
    )
    for half in range(2):
        with m.If(writes[timing.nCWL - 1 + half]):
            m.d.sync += [cell[half].eq(controller.o_data[0]), cell[2 + half].eq(1)]
    reads = bus.history(
        bus.is_any(Command.RD, Command.RDA) & at_place, timing.nCL + 1, "reads_here"
    )
    sampled = stored
    for cycle in range(timing.nCL - 1):
        later = Signal(2, name=f"read_{cycle}")
        m.d.sync += later.eq(sampled)
        sampled = later
    for half in range(2):
        comes = reads[timing.nCL - 1 + half]
        proof.assume(~comes | (controller.i_data[0] == sampled[half]))
    proof.assume(controller.i_valid == Cat(rank_drives(bus)).any())


def answer_rules(proof: Proof) -> dict[str, Value]:
    """Return conditions that a request is answered twice, unasked, or with other data.

    Watched are the burst at one address, any of the channel, and the requests with tag 1, of which
    there is one of each kind at a time. Of each column one bit is followed, as data only pass
    through: a shadow word changes when a write is accepted, and a read must give what it was when
    the read was accepted. The die is a model of one burst: a write is taken from the data bus nCWL
    cycles after WR, a read is what the burst is one cycle after RD, nCL cycles after it; at other
    addresses anything. It drives the bus when the commands say (:mod:`hw.formal.rules.data_bus`).

    That an answer comes is said from RD, WR and PIM_PRECHARGE on; that these come, by rule 6.
    """
    m, config, bus, controller = proof.m, proof.config, proof.bus, proof.controller
    command, width = bus.bus, 8 * config.memory.column_bytes
    place = {
        name: proof.any_constant(len(command[name]), f"watched_{name}") for name in ("bank", "row")
    }
    column = proof.any_constant(len(command.column), "watched_column")
    initial = proof.any_constant(2, "initial")

    def word(name: str) -> tuple[Value, Signal]:
        """Return a register that starts with the initial word, and what it holds."""
        written, value = Signal(2, name=f"{name}_written"), Signal(2, name=name)
        held = Signal(2, name=f"{name}_held")
        m.d.comb += held.eq((value & written) | (initial & ~written))
        return Cat(value, written), held

    # The flat memory.
    request = controller.i_requests.payload
    accepted = controller.i_requests.valid & controller.i_requests.ready
    here = (request.bank == place["bank"]) & (request.row == place["row"])
    here &= request.column[1:] == column[1:]
    is_write = request.kind == Request.WRITE
    shadow, flat = word("shadow")
    with m.If(accepted & is_write & here):
        m.d.sync += shadow.eq(Cat(request.data[0], request.data[width], C(3, 2)))

    at_place = (command.bank == place["bank"]) & (Array(bus.mem_row)[place["bank"]] == place["row"])
    at_place &= command.column[1:] == column[1:]
    _model_of_die(proof, at_place, *word("cell"))

    # The answers.
    watched = accepted & request.tag[0]
    read_answer = controller.o_reads.valid & controller.o_reads.payload.tag[0]
    write_answer = controller.o_writes.valid & controller.o_writes.payload.tag[0]
    read_waits = _watch(m, watched & ~is_write, read_answer, "read")
    write_waits = _watch(m, watched & is_write, write_answer, "write")
    proof.assume(~(watched & Mux(is_write, write_waits, read_waits)))
    expected, compares = Signal(2), Signal()
    with m.If(watched & ~is_write):
        m.d.sync += [expected.eq(flat), compares.eq(here)]
    answer = controller.o_reads.payload.data
    wrong = Cat(answer[0], answer[width]) != expected

    # What is served is answered; that it is served is rule 6.
    tag = proof.part("controller", "data_path").o_tag[0]
    latency = config.memory.timing.nCL + config.memory.timing.nBL
    reads = bus.history(bus.is_any(Command.RD, Command.RDA) & tag, latency, "reads_watched")
    writes = bus.is_any(Command.WR, Command.WRA) & tag
    forwarded = bus.history(watched & (controller.accept.kind == 4), 3, "forwarded")
    ends = bus.is_any(Command.PIM_PRECHARGE)
    return {
        "every read that is served is answered": reads[-1] & ~read_answer,
        "every read that is forwarded is answered": forwarded[-1] & read_waits & ~read_answer,
        "every write that is served is answered": writes & ~write_answer,
        "every tile that ends is reported": ends & ~controller.o_pim_done,
        "no read is answered twice or unasked": read_answer & ~read_waits,
        "no write is answered twice or unasked": write_answer & ~write_waits,
        "a read gives what a flat memory would": read_answer & compares & wrong,
    }
