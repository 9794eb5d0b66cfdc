"""Variants of hardware and schedule, run side by side on the same requests."""

import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.context import SpawnProcess
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty

import numpy as np

from hw.config import Config
from hw.device import check_buildable
from hw.program.program import Program
from scheduler.commands.errors import UsageError, os_error_text
from scheduler.commands.files import write_file
from scheduler.commands.models import ModelChoice
from scheduler.compiler.iteration_program import Schedule
from scheduler.host import Host, HostIteration
from scheduler.models.float64 import Float64Transformer, KVCache
from scheduler.models.shape import ModelShape
from scheduler.models.weights import Weights
from scheduler.planner import limits
from scheduler.serving.request import Request
from sim.device import DeviceError, Result
from sim.devices.compiled_device import RtlDevice
from sim.devices.first_difference import MismatchError
from sim.engine.compiler import CompileError, CompilerNotFoundError
from sim.monitor.monitor import Monitor
from sim.monitor.premises import Premises
from sim.trace.trace_file import write_csv

__all__ = [
    "DEFAULT_SCHEDULES",
    "VARIANTS",
    "Job",
    "Outcome",
    "Progress",
    "Snapshot",
    "Variant",
    "check_fits",
    "run_variants",
]


@dataclass(frozen=True, slots=True)
class Variant:
    """A name, and the two parameters that make it."""

    name: str
    row_buffers: int
    schedule: Schedule


#: The token that ends an answer.
FULL_STOP = ord(".")

#: From the naive combination of NPU and PIM to NeuPIMs.
VARIANTS = (
    Variant("1 row buffer, serial", 1, Schedule.SERIAL),
    Variant("2 row buffers, heads", 2, Schedule.HEADS),
    Variant("2 row buffers, serial_plus", 2, Schedule.SERIAL_PLUS),
    Variant("2 row buffers, interleaved", 2, Schedule.INTERLEAVED),
)

#: What is run where nobody chooses.
DEFAULT_SCHEDULES = (Schedule.SERIAL, Schedule.HEADS, Schedule.INTERLEAVED)


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker needs to run a variant."""

    variant: Variant
    config: Config
    model: ModelChoice
    prompts: tuple[bytes, ...]
    answers: tuple[int, ...]
    commands: Path | None


@dataclass(frozen=True, slots=True)
class Progress:
    """News from a worker: what it does, or how far it has come."""

    name: str
    doing: str
    tokens: int = 0
    iterations: int = 0
    cycles: int = 0
    finished: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Snapshot:
    """One iteration, for pictures: its program and the cycles of its instructions."""

    number: int
    program: Program
    result: Result


@dataclass(slots=True)
class Outcome:
    """What a variant gave.

    Attributes
    ----------
    answers
        Bytes of each request's answer, in the order of the prompts.
    cycles, counters, tokens, iterations
        Sums over all iterations; tokens are those the device has taken, of prompts and answers.
    commands
        DRAM commands that the protocol monitor has checked.
    float64_error
        Largest difference of a logit from a plain float64 transformer.
    seconds
        Wall-clock time of simulation, reference and monitor.
    snapshot
        The iteration with the most requests and tokens.
    commands_file
        Where all DRAM commands were written, if they were.
    """

    variant: Variant
    config: Config
    answers: list[bytes] = field(default_factory=list)
    cycles: int = 0
    counters: dict[str, int] = field(default_factory=dict)
    tokens: int = 0
    iterations: int = 0
    commands: int = 0
    float64_error: float = 0.0
    seconds: float = 0.0
    snapshot: Snapshot | None = None
    commands_file: Path | None = None


def check_fits(
    variant: Variant,
    config: Config,
    shape: ModelShape,
    prompts: Sequence[bytes],
    answers: Sequence[int],
) -> None:
    """Raise ValueError if the machine cannot be built, or the model or a request does not fit.

    The first requests must fit with the longest contexts that they can have. It is known from
    sizes alone: no weights are made, and every limit is named.
    """
    config = config.replace(row_buffers=variant.row_buffers)
    check_buildable(config)
    contexts = [request.longest_context for request in _requests(prompts, answers)]
    if found := limits(config, shape, variant.schedule, contexts):
        raise ValueError("; ".join(found))


def _requests(prompts: Sequence[bytes], answers: Sequence[int]) -> list[Request]:
    return [
        Request(number, tuple(prompt), limit, stop=FULL_STOP)
        for number, (prompt, limit) in enumerate(zip(prompts, answers, strict=True))
    ]


def run_variants(jobs: Sequence[Job], report: Callable[[Progress], None]) -> list[Outcome]:
    """Run all jobs side by side, each in a process of its own; return outcomes in their order.

    They share the cores there are, so that none is idle while there is work.

    Raises
    ------
    UsageError
        If a job cannot be run.
    MismatchError, DeviceError, RuntimeError
        If one fails.
    """
    context = multiprocessing.get_context("spawn")
    channel: Queue[tuple[int, object]] = context.Queue()
    running: dict[int, SpawnProcess] = {}
    outcomes: dict[int, Outcome] = {}
    try:
        for number, job in enumerate(jobs):
            running[number] = context.Process(target=_work, args=(number, job, channel))
            running[number].start()
        while len(outcomes) < len(jobs):
            for number, news in _receive(channel, running):
                if isinstance(news, Outcome):
                    outcomes[number] = news
                    running.pop(number).join()
                elif isinstance(news, Progress):
                    report(news)
                elif isinstance(news, Exception):
                    raise news
    finally:
        for process in running.values():
            _kill(process)
    return [outcomes[number] for number in range(len(jobs))]


def _receive(
    channel: "Queue[tuple[int, object]]", running: dict[int, SpawnProcess]
) -> Iterator[tuple[int, object]]:
    try:
        yield channel.get(timeout=0.2)
        return
    except Empty:
        pass
    for number, process in list(running.items()):
        if not process.is_alive():
            try:
                yield channel.get(timeout=1.0)
                return
            except Empty:
                code = process.exitcode
            yield number, RuntimeError(f"the process of a variant ended with status {code}")
            return


def _kill(process: SpawnProcess) -> None:
    """End a worker and all that it has started, a C++ compiler for instance."""
    if process.pid is not None and process.is_alive():
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            process.kill()
    process.join()


def _work(number: int, job: Job, channel: "Queue[tuple[int, object]]") -> None:
    """Run one job; send news, and at last an outcome or an exception."""
    os.setsid()
    try:
        channel.put((number, _run(job, lambda news: channel.put((number, news)))))
    except (UsageError, MismatchError, DeviceError) as error:
        channel.put((number, error))
    except ValueError as error:
        channel.put((number, UsageError(str(error))))
    except OSError as error:
        channel.put((number, UsageError(os_error_text(error))))
    except (CompilerNotFoundError, CompileError) as error:
        first, *rest = str(error).splitlines()
        why = f" {rest[-1].strip()}" if rest else ""
        source = "$CXX" if os.environ.get("CXX") else "PATH"
        text = f"the C++ compiler must work (it is from {source}): {first}{why}"
        channel.put((number, UsageError(text)))
    except Exception as error:
        traceback.print_exc()
        channel.put((number, RuntimeError(f"{job.variant.name}: {error}")))


def _run(job: Job, report: Callable[[Progress], None]) -> Outcome:
    variant = job.variant
    config = job.config.replace(row_buffers=variant.row_buffers)
    report(Progress(variant.name, "starting"))
    compiling = Progress(variant.name, "compiling the design, about two minutes, once")
    device = RtlDevice(config, announce=lambda _text: report(compiling))
    weights = job.model.weights()
    host = Host(config, device, weights, variant.schedule)
    requests = _requests(job.prompts, job.answers)
    for request in requests:
        host.submit(request)
    outcome = Outcome(variant, config)
    check = _Yardstick(weights, len(requests))
    records = _Records(config)
    best = (-1, -1)
    start = time.perf_counter()
    for step in host.run():
        _add(outcome, step)
        records.add(step.result.trace)
        outcome.float64_error = max(outcome.float64_error, check.error(step))
        size = (len(step.iteration.steps), sum(s.position for s in step.iteration.steps))
        if size > best:
            best = size
            outcome.snapshot = Snapshot(step.iteration.number, step.program, step.result)
        report(
            Progress(
                variant.name,
                "decoding",
                outcome.tokens,
                outcome.iterations,
                outcome.cycles,
                len(host.scheduler.finished),
                time.perf_counter() - start,
            )
        )
    outcome.commands = records.check()
    if job.commands:
        outcome.commands_file = write_file(job.commands, records.write)
    outcome.seconds = time.perf_counter() - start
    outcome.answers = [_text(request.answer) for request in requests]
    return outcome


def _text(tokens: Sequence[int]) -> bytes:
    """Return tokens as bytes; those that are none, of larger vocabularies, as numbers."""
    return b"".join(bytes([token]) if token < 256 else b"<%d>" % token for token in tokens)


def _add(outcome: Outcome, step: HostIteration) -> None:
    outcome.iterations += 1
    outcome.cycles += step.result.cycles
    outcome.tokens += len(step.iteration.steps)
    for name, value in step.result.counters.items():
        outcome.counters[name] = outcome.counters.get(name, 0) + value


class _Records:
    """The command trace of a run, checked whenever it has doubled and at the end."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.traces: list[np.ndarray] = []
        self.length = 0
        self.checked = 0

    def add(self, trace: np.ndarray | None) -> None:
        if trace is not None:
            self.traces.append(trace)
            self.length += len(trace)
            if self.length >= 2 * self.checked:
                self.check()

    def check(self) -> int:
        """Return the number of records; RuntimeError names the first violation."""
        if self.length > self.checked:
            self.traces = [np.concatenate(self.traces)]
            end = int(self.traces[0]["cycle"].max())
            violations = Monitor(self.config, Premises(to_end=False)).check(self.traces[0], end)
            if violations:
                raise RuntimeError(f"the protocol monitor found: {violations[0]}")
            self.checked = self.length
        return self.length

    def write(self, path: Path) -> None:
        """Write the trace as CSV."""
        write_csv(self.config, np.concatenate(self.traces), path)


class _Yardstick:
    """A float64 transformer that follows the tokens of the device."""

    def __init__(self, weights: Weights, requests: int) -> None:
        self.model = Float64Transformer(weights)
        self.caches = [KVCache(weights) for _ in range(requests)]

    def error(self, step: HostIteration) -> float:
        """Return the largest difference of a logit in this iteration."""
        worst = 0.0
        for s in step.iteration.steps:
            expected = self.model.logits([s.token], self.caches[s.request])[-1]
            worst = max(worst, float(np.abs(step.logits[s.request] - expected).max()))
        return worst
