"""Rates of one memory channel under a stream of requests and PIM operations, from its log."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw.config import Config
from hw.protocol.commands import Command
from hw.protocol.results import result_cycles
from hw.protocol.tile_length import tile_cycles
from sim.channel.compiled_channel import ChannelLog, CompiledChannel
from sim.channel.workload import TileShape, tiles
from sim.monitor.monitor import Monitor
from sim.monitor.premises import Premises
from sim.trace.command_trace import ACCEPT

__all__ = ["INTERVALS", "Bench", "Rates", "many_requests", "many_tiles"]

#: Cycles at the beginning of a run that no rate counts: queues fill (chosen).
_WARM_UP = 1000

#: Refresh intervals of a run, so that one refresh more or less does not show (chosen).
INTERVALS = 12


def many_requests(config: Config) -> int:
    """Return more requests than a run can serve."""
    return INTERVALS * config.memory.timing.nREFI // config.memory.timing.nBL


def many_tiles(config: Config, shape: TileShape, together: int = 0) -> NDArray[np.void]:
    """Return more tiles than a run can hold, so many a header (0: all of them)."""
    count = INTERVALS * config.memory.timing.nREFI // tile_cycles(config, shape.columns)
    return tiles(config, count + 1, shape, together=together)


@dataclass(frozen=True, slots=True)
class Rates:
    """What a channel did, without its first cycles.

    Refreshes that are due but postponed beyond the end count as time, too: what a run gains by them
    the next one would lose.

    Attributes
    ----------
    config
        Of the channel.
    reads, writes
        Share of the cycles in which the data bus carries their data.
    commands
        Share of the cycles in which the C/A bus carries a command.
    tile
        Cycles from the end of a tile to the end of the next, on average.
    results
        Results a tile.
    refresh, owed
        Share of the cycles that the ranks spent in refresh (tRFC after each REF), and refreshes of
        a rank that were due at the end and had not issued.
    lateness
        Cycles by which the latest REF was later than due; negative if each was pulled in.
    speed
        Simulated cycles a second of processor time.
    """

    config: Config
    reads: float
    writes: float
    commands: float
    tile: float
    results: float
    refresh: float
    owed: float
    lateness: int
    speed: float

    @property
    def left_for_reads(self) -> float:
        """Share of the data bus that refresh and results leave, turn-arounds with them."""
        timing = self.config.memory.timing
        left = 1 - timing.nRFC / timing.nREFI
        if self.results:
            left -= self.results * (result_cycles(self.config) + timing.nTURN) / self.tile
        return left


class Bench:
    """Compiled channels by configuration, each built when it is first wanted.

    Parameters
    ----------
    announce
        Called with a line of text before a compilation.
    intervals
        Refresh intervals of a run.

    Attributes
    ----------
    lateness
        Cycles by which the latest REF of all runs so far was later than due; negative if each was
        pulled in.
    """

    def __init__(
        self, announce: Callable[[str], None] | None = None, intervals: int = INTERVALS
    ) -> None:
        self._announce = announce
        self._intervals = intervals
        self._channel: CompiledChannel | None = None
        self._tiles: dict[tuple[Config, TileShape], Rates] = {}
        self.lateness = -(1 << 31)

    def channel(self, config: Config) -> CompiledChannel:
        """Return the channel of a configuration, just reset."""
        if self._channel is None or self._channel.config != config:
            self._channel = CompiledChannel(config, self._announce)
        self._channel.reset()
        return self._channel

    def tiles_alone(self, config: Config, shape: TileShape) -> Rates:
        """Measure tiles one behind the other, once for each shape."""
        if (config, shape) not in self._tiles:
            self._tiles[config, shape] = self.measure(config, pim=many_tiles(config, shape))
        return self._tiles[config, shape]

    def measure(
        self,
        config: Config,
        requests: NDArray[np.void] | None = None,
        pim: NDArray[np.void] | None = None,
    ) -> Rates:
        """Run a channel for some refresh intervals, and have the monitor check it.

        Raises
        ------
        RuntimeError
            If a rule is broken, or requests and PIM operations end before the run.
        """
        channel = self.channel(config)
        start = time.process_time()
        log = channel.run(requests, pim, cycles=self._intervals * config.memory.timing.nREFI)
        seconds = time.process_time() - start
        for name, times in (("requests", log.entered), ("PIM operations", log.pim_entered)):
            if len(times) and times[-1] >= 0:
                raise RuntimeError(f"{name} must last for {log.cycles} cycles, not {times[-1]}")
        self._check(config, log, to_end=False)
        rates = _rates(config, log, log.cycles / seconds)
        self.lateness = max(self.lateness, rates.lateness)
        return rates

    def work(self, config: Config, requests: NDArray[np.void], pim: NDArray[np.void]) -> int:
        """Return the cycles that a channel takes for some work, checked by the monitor.

        Raises
        ------
        RuntimeError
            If a rule is broken.
        """
        log = self.channel(config).run(requests, pim)
        self._check(config, log, to_end=True)
        return log.cycles

    def _check(self, config: Config, log: ChannelLog, *, to_end: bool) -> None:
        violations = Monitor(config, Premises(to_end=to_end)).check(log.trace, end=log.cycles)
        if violations:
            raise RuntimeError(f"{len(violations)} violations; the first: {violations[0]}")


def _rates(config: Config, log: ChannelLog, speed: float) -> Rates:
    """Return the rates of a log."""
    timing = config.memory.timing
    trace = log.trace[log.trace["command"] < ACCEPT]
    counted = trace[trace["cycle"] >= _WARM_UP]
    issued = trace["cycle"][trace["command"] == Command.REF.value].astype(np.int64)

    def owed(cycle: int) -> float:
        return cycle // timing.nREFI - int((issued < cycle).sum()) / config.memory.ranks

    def between(start: int, end: int) -> float:
        """Return cycles, those of refreshes that were put off meanwhile included."""
        return end - start + (owed(end) - owed(start)) * timing.nRFC

    cycles = between(_WARM_UP, log.cycles)

    def times(*commands: Command) -> NDArray[np.int64]:
        chosen = np.isin(counted["command"], [command.value for command in commands])
        return counted["cycle"][chosen].astype(np.int64)

    ends = times(Command.PIM_PRECHARGE)
    results = (log.result_times >= _WARM_UP).sum() / config.result_bursts
    lateness = []
    for rank in range(config.memory.ranks):
        mine = (trace["command"] == Command.REF.value) & (
            trace["bank"] // config.memory.banks_per_rank == rank
        )
        due = timing.nREFI * (1 + np.arange(mine.sum()))
        lateness.append(int((trace["cycle"][mine].astype(np.int64) - due).max()))
    return Rates(
        config=config,
        reads=len(times(Command.RD, Command.RDA)) * timing.nBL / cycles,
        writes=len(times(Command.WR, Command.WRA)) * timing.nBL / cycles,
        commands=len(counted) / cycles,
        tile=between(int(ends[0]), int(ends[-1])) / (len(ends) - 1) if len(ends) > 1 else math.nan,
        results=results / len(ends) if len(ends) else 0.0,
        refresh=len(issued) / config.memory.ranks * timing.nRFC / log.cycles,
        owed=owed(log.cycles),
        lateness=max(lateness),
        speed=speed,
    )
