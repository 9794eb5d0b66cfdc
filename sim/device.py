"""The contract between host and device: programs in, results out.

Everything above is written against :class:`Device` alone, so the same host drives any of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hw.program.program import Program

__all__ = ["Device", "DeviceError", "Result", "Snapshot"]

#: The contents of all memories of a device; only the device that made it reads it.
Snapshot = dict[str, np.ndarray]


class DeviceError(Exception):
    """The device has stopped with an error, and needs a reset.

    The message names queue, index and instruction.

    Attributes
    ----------
    cause
        ``illegal``, ``overflow``, ``address``, ``deadlock``, ``hung`` (nothing has started or
        retired for long) or ``stopped`` (by an earlier program).
    queue, index
        Which instruction; None where it is not a single one.
    """

    def __init__(
        self, message: str, cause: str, queue: int | None = None, index: int | None = None
    ) -> None:
        super().__init__(message, cause, queue, index)  # so that it may pass between processes
        self.message = message
        self.cause = cause
        self.queue = queue
        self.index = index

    def __str__(self) -> str:
        return self.message


@dataclass(slots=True)
class Result:
    """What a device made of a program.

    Attributes
    ----------
    outputs
        Bytes of the program's outputs, by name.
    starts, retires
        One array a queue: cycles, from the start of the program, in which each instruction
        started and retired.
    cycles
        Cycles of the program, until all queues had ended.
    counters
        What each of the device's counters has counted in that time.
    trace
        Records of its DRAM commands (:data:`sim.trace.command_trace.RECORD`), cycles counted from
        reset; None if the device has no commands.
    """

    outputs: dict[str, bytes]
    starts: list[np.ndarray]
    retires: list[np.ndarray]
    cycles: int
    counters: dict[str, int]
    trace: np.ndarray | None


class Device(Protocol):
    """A machine that executes programs."""

    def write(self, channel: int, address: int, content: bytes) -> None:
        """Write bytes of a memory channel from a channel address on."""

    def read(self, channel: int, address: int, nbytes: int) -> bytes:
        """Return bytes of a memory channel."""

    def run(self, program: Program, progress: Callable[[int], None] | None = None) -> Result:
        """Execute a program; ``progress`` is called with the cycles so far now and then.

        Raises
        ------
        DeviceError
            If the device stops with an error, or did so at an earlier program; then only
            :meth:`reset` helps.
        """

    def memories(self) -> dict[str, np.ndarray]:
        """Return contents as bytes: ``activation memory``, ``lane buffer c``, ``channel c``."""

    def snapshot(self) -> Snapshot:
        """Return the contents of all memories."""

    def restore(self, snapshot: Snapshot) -> None:
        """Give all memories the contents that they had."""

    def reset(self) -> None:
        """Return to the state at power-up, memories included."""
