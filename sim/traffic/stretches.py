"""Long random traffic: stretches of rounds on many geometries, in several processes."""

import functools
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field

from sim.channel.compiled_channel import CompiledChannel
from sim.traffic.geometries import GEOMETRIES
from sim.traffic.run import Totals, TrafficError, run_round

__all__ = ["Outcome", "Stretch", "run_stretch", "run_stretches", "stretches"]

#: Share of the commands that run on ``paper``, which simulates slowest (chosen).
_PAPER_SHARE = 0.05

#: Commands of a stretch, after which a line is printed (chosen).
_STRETCH = 50_000


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rounds of one geometry, one behind the other, until enough commands have been run.

    Attributes
    ----------
    geometry
        Its name.
    seed
        The same gives the same stretch; a round adds its number.
    commands
        How many to run at least.
    """

    geometry: str
    seed: tuple[int, ...]
    commands: int


@dataclass
class Outcome:
    """What one or several stretches did; a stretch ends with the first round that fails."""

    totals: Totals = field(default_factory=Totals)
    seconds: float = 0.0
    violations: int = 0
    mismatches: int = 0
    failures: list[str] = field(default_factory=list)

    def __iadd__(self, other: "Outcome") -> "Outcome":
        self.totals += other.totals
        for name in ("seconds", "violations", "mismatches", "failures"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self


def stretches(names: list[str], commands: int, seed: int) -> Iterator[Stretch]:
    """Yield the stretches that run so many commands over some geometries.

    >>> [s.commands for s in stretches(["paper", "tiny"], 100_000, 1)]
    [5000, 47500, 47500]
    """
    others = [name for name in names if name != "paper"]
    for name in names:
        goal = commands // len(names)
        if others and len(others) < len(names):
            goal = int(commands * _PAPER_SHARE)
            if name != "paper":
                goal = (commands - goal) // len(others)
        count = max(1, -(-goal // _STRETCH))
        index = list(GEOMETRIES).index(name)
        for number in range(count):
            yield Stretch(name, (seed, index, number), -(-goal // count))


@functools.lru_cache(maxsize=1)
def _channel(geometry: str) -> CompiledChannel:
    return CompiledChannel(GEOMETRIES[geometry])


def _build(geometry: str) -> tuple[str, float]:
    """Compile a channel if it was not yet; return its name and how many seconds that took."""
    start = time.monotonic()
    _channel(geometry)
    return geometry, time.monotonic() - start


def run_stretch(stretch: Stretch) -> tuple[Stretch, Outcome]:
    """Run a stretch."""
    outcome, number = Outcome(), 0
    channel = _channel(stretch.geometry)
    start = time.process_time()
    try:
        while outcome.totals.total < stretch.commands:
            outcome.totals += run_round(channel, (*stretch.seed, number))
            number += 1
    except TrafficError as error:
        outcome.failures.append(str(error))
        outcome.violations, outcome.mismatches = error.violations, error.mismatches
    outcome.seconds = time.process_time() - start
    return stretch, outcome


def _ignore_interrupts() -> None:
    """Leave Ctrl-C to the process that started this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def run_stretches(
    tasks: list[Stretch], workers: int, announce: Callable[[str], None]
) -> dict[str, Outcome]:
    """Run stretches in some processes; return what became of each geometry.

    Parameters
    ----------
    announce
        Called with a line of text for each channel and each stretch, and with those of a failure.
    """
    outcomes = {stretch.geometry: Outcome() for stretch in tasks}
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_ignore_interrupts
    )
    try:
        with pool:
            for name, seconds in pool.map(_build, outcomes):
                announce(f"{name}: channel ready after {seconds:.0f} s")
            futures = [pool.submit(run_stretch, stretch) for stretch in tasks]
            for done, future in enumerate(as_completed(futures), 1):
                stretch, outcome = future.result()
                outcomes[stretch.geometry] += outcome
                announce(
                    f"{done} of {len(tasks)}: {stretch.geometry}, seed {stretch.seed}: "
                    f"{outcome.totals.total:,} commands in {outcome.totals.cycles:,} cycles, "
                    f"{outcome.seconds:.0f} s"
                )
                for failure in outcome.failures:
                    announce(failure)
    except KeyboardInterrupt:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    return outcomes
