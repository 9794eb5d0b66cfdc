"""A controller on a bench: requests and tiles go in, a behavioural DRAM die answers."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from hw.controller.controller import Controller
from hw.protocol.commands import Command
from hw.protocol.results import result_schedule
from sim.monitor.monitor import Monitor
from sim.monitor.premises import Premises
from sim.trace.command_trace import ACCEPT, KINDS, RECORD

TAG_BITS = 10


class Die:
    """Cells, and the times at which data crosses the bus; checks neither times nor states."""

    def __init__(self, config):
        self.config = config
        self.cells = {}  # (bank, row, column): bytes of a burst as an integer
        self.open = {}
        self.vectors = {}  # (half, offset): burst
        self.out = {}  # cycle: column
        self.into = {}  # cycle: (place, half of the burst)
        self.width = 8 * config.memory.column_bytes

    def _drive(self, cycle, value):
        assert cycle not in self.out, f"two drivers on the data bus in cycle {cycle}"
        self.out[cycle] = value

    def command(self, cycle, command, bus):
        timing = self.config.memory.timing
        bank = bus["bank"]
        if command is Command.ACT:
            self.open[bank] = bus["row"]
        elif command in (Command.RD, Command.RDA):
            burst = self.cells.get((bank, self.open[bank], bus["column"]), 0)
            for i in range(2):
                value = burst >> i * self.width & ((1 << self.width) - 1)
                self._drive(cycle + timing.nCL + i, value)
        elif command in (Command.WR, Command.WRA):
            for i in range(2):
                place = (bank, self.open[bank], bus["column"])
                self.into[cycle + timing.nCWL + i] = ((self.cells, place), i)
        elif command is Command.PIM_GWRITE_DATA:
            for i in range(2):
                place = (bus["half"], bus["offset"])
                self.into[cycle + timing.nCWL + i] = ((self.vectors, place), i)
        elif command is Command.PIM_GWRITE:
            moved = self.config.memory.bursts if self.config.pim.gwrite == "row" else 1
            for i in range(moved):
                place = (bank, self.open[bank], 2 * i if moved > 1 else bus["column"])
                entry = (bus["half"], bus["offset"] + 2 * i)
                self.vectors[entry] = self.cells.get(place, 0)
        elif command is Command.PIM_RDRESULT or (command is Command.PIM_GEMV and bus["read"]):
            # A result is its slot's number and the column of the result.
            beats = -(-4 * self.config.memory.banks_per_rank // self.config.memory.column_bytes)
            shape = (bus["slots"], bus["k"]) if command is Command.PIM_GEMV else (1, 1)
            for i, (start, _end) in enumerate(result_schedule(self.config, *shape)):
                for rank in range(self.config.memory.ranks):
                    for beat in range(beats):
                        offset = rank * (beats + timing.nTURN) + beat
                        value = (bus["slot"] + i) << 8 | rank * beats + beat
                        self._drive(cycle + start + offset, value)

    def receive(self, cycle, column):
        entry = self.into.pop(cycle, None)
        if entry:
            (memory, place), i = entry
            mask = ((1 << self.width) - 1) << i * self.width
            memory[place] = memory.get(place, 0) & ~mask | column << i * self.width


@dataclass
class Outcome:
    """What the bench saw; times are cycles of the C/A bus."""

    trace: np.ndarray = None
    answers: dict = field(default_factory=dict)  # tag: data
    written: list = field(default_factory=list)  # tags
    results: list = field(default_factory=list)
    vectors: dict = field(default_factory=dict)
    cells: dict = field(default_factory=dict)
    accepted: dict = field(default_factory=dict)  # tag: cycle
    served: dict = field(default_factory=dict)  # tag: cycle
    tiles: list = field(default_factory=list)  # cycles of PIM_PRECHARGE
    cycles: int = 0


FIELDS = ("bank", "row", "column", "column_step", "half", "offset", "offset_step")
FIELDS += ("slot", "slots", "k", "read")


@pytest.fixture
def drive(simulate):
    """Run a controller until all requests and PIM operations are done; return the outcome.

    ``requests`` are those that ``ordinary`` makes, or integers: cycles to wait. ``pim`` holds dicts
    of PIM operations, or integers. The monitor has to accept the trace.
    """

    def run(config, requests=(), pim=(), cycles=None, limit=20_000, monitor=True):
        dut = Controller(config, TAG_BITS)
        die = Die(config)
        outcome = Outcome()
        records = []

        async def bench(ctx):
            streams = [iter(requests), iter(pim)]
            ports = [dut.i_requests, dut.i_pim]
            waits, valid = [0, 0], [False, False]
            done = [False, False]
            quiet = 0
            for cycle in range(limit):
                for i, port in enumerate(ports):
                    while not valid[i] and not done[i] and waits[i] <= 0:
                        item = next(streams[i], None)
                        if item is None:
                            done[i] = True
                        elif isinstance(item, int):
                            waits[i] = item
                        else:
                            ctx.set(port.payload, item)
                            valid[i] = True
                    waits[i] -= 1
                    ctx.set(port.valid, valid[i])
                column = die.out.pop(cycle, None)
                ctx.set(dut.i_valid, column is not None)
                ctx.set(dut.i_data, column or 0)
                die.receive(cycle, ctx.get(dut.o_data))
                for i, port in enumerate(ports):
                    if valid[i] and ctx.get(port.ready):
                        valid[i] = False
                if ctx.get(dut.accept.valid):
                    accept = ctx.get(dut.accept)
                    entry = np.zeros(1, RECORD)
                    entry["cycle"], entry["command"] = cycle, ACCEPT
                    for name in ("kind", "bank", "row", "column", "tag"):
                        entry[name] = accept[name]
                    records.append(entry)
                    if KINDS[accept.kind] in ("read", "write", "forward"):
                        outcome.accepted[accept.tag] = cycle
                code = ctx.get(dut.command.command)
                if code is not Command.NOP:
                    bus = ctx.get(dut.command)
                    fields = {name: int(bus[name]) for name in FIELDS}
                    entry = np.zeros(1, RECORD)
                    entry["cycle"], entry["command"] = cycle, code.value
                    for name, value in fields.items():
                        entry[name] = value
                    records.append(entry)
                    die.command(cycle, code, fields)
                if ctx.get(dut.o_pim_done):
                    assert code is Command.PIM_PRECHARGE
                    outcome.tiles.append(cycle)
                if ctx.get(dut.o_reads.valid):
                    answer = ctx.get(dut.o_reads.payload)
                    if cycles is None:
                        assert answer.tag not in outcome.answers, f"tag {answer.tag} twice"
                    outcome.answers[answer.tag] = answer.data
                    outcome.served[answer.tag] = cycle
                if ctx.get(dut.o_writes.valid):
                    tag = ctx.get(dut.o_writes.payload.tag)
                    outcome.written.append(tag)
                    outcome.served[tag] = cycle
                if ctx.get(dut.o_results.valid):
                    outcome.results.append(ctx.get(dut.o_results.payload.data))
                idle = all(done) and not any(valid) and ctx.get(dut.o_idle) and not die.out
                quiet = quiet + 1 if idle else 0
                if cycle + 1 == cycles or (cycles is None and quiet > 3):
                    break
                await ctx.tick()
            else:
                pytest.fail(f"still busy after {limit} cycles")
            outcome.cycles = cycle + 1

        simulate(dut, bench, deadline=limit + 10)
        outcome.trace = np.concatenate(records) if records else np.zeros(0, RECORD)
        outcome.vectors, outcome.cells = die.vectors, die.cells
        if monitor:
            premises = Premises(to_end=cycles is None)
            violations = Monitor(config, premises).check(outcome.trace, end=outcome.cycles)
            assert not violations, "\n".join(str(v) for v in violations[:10])
        return outcome

    return run
