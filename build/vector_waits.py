"""What the waits of the vector units cost whole programs: cycles by cause, and what all cost.

python build/vector_waits.py [--model MODEL] [--variant SCHEDULE] [--prompts N]

Decodes prompts that ship on the RTL of ``tiny``. From the cycles in which instructions start and
retire it takes, for each of the vector units, how long it waits although its tokens are there, its
predecessor in the queue has started, and the lanes are through with the elements of the instruction
before. Then it replays the tokens without such waits: all else takes as long as it did, each
instruction starts as long after the one before it in its queue, if it was that which it waited for.
"""

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hw.config import Config
from hw.npu.vector.cycles import cycles, issue_cycles
from hw.npu.vector.issue.schedule import SWEEPS, Schedule, route_of
from hw.npu.vector.ports import CONTEXTS
from hw.presets import TINY
from hw.program.instruction_set import Opcode, Queue
from hw.program.program import Program
from hw.program.tokens import named_queues
from scheduler.commands.models import choose_model
from scheduler.commands.variants import VARIANTS
from scheduler.compiler.checks.footprint import accesses
from scheduler.host import Host
from scheduler.models.weights import load_prompts
from scheduler.serving.request import Request
from sim.devices.compiled_device import RtlDevice
from sim.timeline import Timed

#: Why an instruction waits: it reads what one before it writes; rows of the same work wait for
#: their sums; or the units work on something else.
CAUSES = ("operands", "sums of rows", "other work")

#: What is replayed: the machine as it is (a check of the method), instructions of the same work
#: whose rows fill each other's waits, and such of any work.
REPLAYS = ("as it is", "sums of rows", "other work too")

_VECTOR = (Queue.EPILOGUE, Queue.ATTENTION)
_WORK = ("opcode", "function", "a_format", "b_format", "o_format", "x", "y")


@dataclass(slots=True)
class Step:
    """An instruction of a program that has run.

    Attributes
    ----------
    queue, index
        Its place.
    start, retire
        Cycles.
    tokens
        Instructions whose tokens it takes.
    record
        Its fields, of one for the vector units; else none.
    elements, issue, done
        Of one for the vector units: cycles after its start in which the lanes are through with its
        elements, if no row waits; in which the next one of the same work may start; of the last
        write.
    written, read
        Of such: what it writes and reads, as pairs of a memory and two bytes in it.
    """

    queue: int
    index: int
    start: int
    retire: int
    tokens: list[tuple[int, int]]
    record: dict[str, int] | None = None
    elements: int = 0
    issue: int = 0
    done: int = 0
    written: frozenset[tuple[str, int]] = frozenset()
    read: frozenset[tuple[str, int]] = frozenset()

    def same_work(self, other: "Step") -> bool:
        """Whether the units let this one follow another before that is done."""
        a, b = self.record or {}, other.record or {}
        same = all(a[name] == b[name] for name in _WORK)
        return same and self.queue == other.queue and a["opcode"] != Opcode.TRANSPOSE


def steps_of(config: Config, program: Program, result: Timed) -> list[Step]:
    """Return the instructions of a program in the order in which they started."""
    sent: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    taken: Counter[tuple[int, int]] = Counter()
    steps = []
    for queue, index, record in program.in_order():
        tokens = []
        for producer in named_queues(record, "wait"):
            tokens.append((producer, sent[producer, queue][taken[producer, queue]]))
            taken[producer, queue] += 1
        for consumer in named_queues(record, "signal"):
            sent[queue, consumer].append(index)
        start, retire = (int(times[queue][index]) for times in (result.starts, result.retires))
        step = Step(queue, index, start, retire, tokens)
        if queue in _VECTOR and record["opcode"] != Opcode.END:
            _add_vector(config, program, step, record)
        steps.append(step)
    return sorted(steps, key=lambda step: step.start)  # stable: in one cycle, in the total order


def _add_vector(config: Config, program: Program, step: Step, record: np.void) -> None:
    """Note what a step needs of the vector units."""
    step.record = {name: int(record[name]) for name in record.dtype.names or ()}
    opcode = Opcode(step.record["opcode"])
    shape = {name: step.record[name] for name in ("function", "rows", "n", "m")}
    schedule, route = Schedule.of(config), route_of(opcode, shape["function"])
    step.issue = step.elements = issue_cycles(config, opcode, **shape)
    step.done = cycles(config, opcode, **shape)
    if route in SWEEPS:
        rows = -(-shape["rows"] // schedule.units)
        step.elements = SWEEPS[route] * rows * schedule.slots(route, shape["n"], shape["m"])
    places: dict[bool, set[tuple[str, int]]] = {False: set(), True: set()}
    for access in accesses(config, program, step.queue, step.record):
        places[access.write] |= {(access.memory, p) for p in access.granules(2).tolist()}
    step.read, step.written = frozenset(places[False]), frozenset(places[True])


def waits(steps: list[Step]) -> Counter[str]:
    """Return the cycles that vector instructions wait, by cause."""
    found: Counter[str] = Counter()
    place = {(step.queue, step.index): step for step in steps}
    last: list[Step] = []  # vector instructions that have started, the latest last
    for step in steps:
        if step.record is None:
            continue
        if last:
            before = place.get((step.queue, step.index - 1))
            offered = max(
                0 if before is None else before.start + 1,
                *(place[token].retire + 1 for token in step.tokens),
                last[-1].start + last[-1].elements,
            )
            wait = max(0, step.start - offered)
            reads = any(step.read & other.written and other.retire >= offered for other in last)
            if reads:
                found["operands"] += wait
            elif step.same_work(last[-1]):
                found["sums of rows"] += wait
            else:
                found["other work"] += wait
        last = [*last[1 - CONTEXTS :], step]
    return found


def replayed(steps: list[Step], name: str) -> int:
    """Return the cycles of a program, replayed; ``name`` is one of :data:`REPLAYS`."""
    place = {(step.queue, step.index): step for step in steps}
    start: dict[tuple[int, int], int] = {}
    retire: dict[tuple[int, int], int] = {}
    last: list[Step] = []
    for step in steps:
        key, before = (step.queue, step.index), (step.queue, step.index - 1)
        at = max(
            max((retire[token] + 1 for token in step.tokens), default=0),
            start.get(before, -1) + 1,
        )
        lasts = step.retire - step.start
        if step.record is not None:
            if last:
                at = max(at, start[last[-1].queue, last[-1].index] + _held(last, step, name))
            elif not step.tokens:
                at = max(at, step.start)  # the host had not sent it yet
            lasts = step.done + 1
            last = [*last[1 - CONTEXTS :], step]
        else:
            previous = place[before].start if before in place else -1
            waited_for = max((place[token].retire + 1 for token in step.tokens), default=0)
            if step.start > max(waited_for, previous + 1):
                at = max(at, start.get(before, 0) + step.start - max(previous, 0))
        start[key] = at
        retire[key] = max(at + lasts, retire.get(before, -1) + 1)
    return max(retire.values()) + 1


def _held(last: list[Step], step: Step, name: str) -> int:
    """Return for how many cycles from its start the latest instruction keeps a step waiting."""
    latest = last[-1]
    reads = any(step.read & other.written for other in last)
    if step.same_work(latest) and not reads:
        return latest.issue if name == "as it is" else latest.elements
    if name == "other work too" and not reads:
        return latest.elements
    return latest.done + 1


def main() -> None:
    """Run, and print a table."""
    parser = argparse.ArgumentParser(prog="python build/vector_waits.py", description=__doc__)
    parser.add_argument("--model", default="tiny-gpt")
    parser.add_argument("--variant", default="heads", choices=[str(v.schedule) for v in VARIANTS])
    parser.add_argument("--prompts", type=int, default=12)
    options = parser.parse_args()
    total, found = 0, Counter[str]()
    programs = Counter[str]()
    for program, result, config in _run(options.model, options.variant, options.prompts):
        steps = steps_of(config, program, result)
        total += result.cycles
        found += waits(steps)
        for name in REPLAYS:
            programs[name] += replayed(steps, name)
    print(f"{total:,} cycles")
    for cause in CAUSES:
        print(f"waits for {cause}: {found[cause]:,} ({found[cause] / total:.2%})")
    for name in REPLAYS:
        change = programs[name] / programs["as it is"] - 1
        print(f"replayed, {name}: {programs[name]:,} ({change:+.2%})")


def _run(model: str, schedule: str, prompts: int) -> Iterator[tuple[Program, Timed, Config]]:
    """Decode prompts; yield every program and what came of it."""
    variant = next(v for v in VARIANTS if str(v.schedule) == schedule)
    config = TINY.replace(row_buffers=variant.row_buffers)
    choice = choose_model(model)
    host = Host(config, RtlDevice(config, print), choice.weights(), variant.schedule)
    for number, prompt in enumerate(load_prompts(choice.name)[:prompts]):
        limit = min(64, choice.shape.context + 1 - len(prompt))
        host.submit(Request(number, tuple(prompt), limit, stop=ord(".")))
    for step in host.run():
        yield step.program, step.result, config


if __name__ == "__main__":
    main()
