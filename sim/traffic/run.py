"""Random traffic on one channel: rounds of random streams, each checked whole."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hw.protocol.commands import Command
from sim.channel.compiled_channel import ChannelLog, CompiledChannel
from sim.monitor.monitor import Monitor
from sim.trace.command_trace import ACCEPT
from sim.traffic.golden import FlatMemory, check_log
from sim.traffic.random_streams import (
    random_numbers,
    random_operations,
    random_requests,
    random_rows,
)

__all__ = ["Totals", "TrafficError", "check_round", "run_round"]

#: Requests of a round, and how many there are for each tile (chosen: both streams last as long).
REQUESTS = 8000
REQUESTS_PER_TILE = 12


class TrafficError(RuntimeError):
    """A channel broke a rule, or answered what it must not.

    Attributes
    ----------
    violations, mismatches
        How many rules were broken, and how many kinds of wrong answers there were.
    """

    def __init__(self, text: str, violations: int = 0, mismatches: int = 1) -> None:
        super().__init__(text)
        self.violations = violations
        self.mismatches = mismatches


@dataclass
class Totals:
    """What was run and checked.

    Attributes
    ----------
    commands
        Commands on the C/A bus by their code, ``int64[16]``.
    cycles, requests, results
        Simulated cycles, ordinary requests, and results of MAC units over all banks.
    """

    commands: NDArray[np.int64] = field(default_factory=lambda: np.zeros(ACCEPT, np.int64))
    cycles: int = 0
    requests: int = 0
    results: int = 0

    def __iadd__(self, other: "Totals") -> "Totals":
        self.commands = self.commands + other.commands
        for name in ("cycles", "requests", "results"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self

    @property
    def total(self) -> int:
        """Commands of all kinds."""
        return int(self.commands.sum())

    def count(self, *commands: Command) -> int:
        """Return how many commands of these kinds there were."""
        return int(self.commands[[command.value for command in commands]].sum())


def check_round(
    channel: CompiledChannel,
    requests: NDArray[np.void],
    pim: NDArray[np.void],
    rows: list[int],
    content: NDArray[np.uint8],
) -> tuple[ChannelLog, Totals]:
    """Run streams on a channel to their end, and check everything that can be seen of it.

    Parameters
    ----------
    rows, content
        The rows that the streams use, and what all banks hold there at the beginning,
        ``uint8[rows, banks, row_bytes]``.

    Raises
    ------
    TrafficError
        With what is wrong, in a line each.
    """
    config = channel.config
    channel.reset()
    cells = [channel.cells(bank) for bank in range(config.memory.banks)]
    for bank in range(config.memory.banks):
        cells[bank][rows] = content[:, bank]
    memory = FlatMemory(config, rows, content)
    log = channel.run(requests, pim)
    violations = Monitor(config).check(log.trace, end=log.cycles)
    wrong = check_log(config, memory, requests, pim, log)
    after = np.stack([bank[rows] for bank in cells], axis=1)
    if not np.array_equal(after, memory.content):
        place, bank, byte = np.argwhere(after != memory.content)[0].tolist()
        wrong.append(f"the cells differ from byte {byte} of row {rows[place]} of bank {bank} on")
    if violations or wrong:
        lines = [*(str(violation) for violation in violations[:3]), *wrong]
        raise TrafficError("\n".join(lines), len(violations), len(wrong))
    codes = log.trace["command"]
    return log, Totals(
        commands=np.bincount(codes[codes < ACCEPT], minlength=ACCEPT),
        cycles=log.cycles,
        requests=len(requests),
        results=len(log.results) // config.result_bursts,
    )


def run_round(channel: CompiledChannel, seed: tuple[int, ...], requests: int = REQUESTS) -> Totals:
    """Run one round of random traffic, the same for the same seed.

    Raises
    ------
    TrafficError
        With the seed, and what is wrong.
    """
    config, rng = channel.config, np.random.default_rng(seed)
    rows = random_rows(config, rng, int(rng.integers(2, 9)))
    shape = (len(rows), config.memory.banks, config.memory.row_bytes)
    content = random_numbers(rng, int(np.prod(shape))).reshape(shape)
    ordinary = random_requests(config, rng, requests, rows)
    pim = random_operations(config, rng, max(1, requests // REQUESTS_PER_TILE), rows)
    where = f"{config.name}, seed {seed}"
    try:
        return check_round(channel, ordinary, pim, rows, content)[1]
    except TrafficError as error:
        raise TrafficError(f"{where}:\n{error}", error.violations, error.mismatches) from error
    except RuntimeError as error:  # it hangs, or does not answer once
        raise TrafficError(f"{where}:\n{error}") from error
