"""Finding the instruction at which a device and the reference part.

Every beginning of a program's total order, closed by END, is a program too. So the first
instruction whose result differs is found by bisection: run a beginning on both, from the state
before the program, and compare what the reference has written with what the device holds.
"""

from dataclasses import replace

import numpy as np

from hw.program.instruction_set import Opcode
from hw.program.program import Program
from sim.device import Device, Snapshot
from sim.reference import Reference

__all__ = ["MismatchError", "beginning", "explain_mismatch"]


class MismatchError(Exception):
    """A result of the device differs from the reference; the message says which and how."""


def beginning(program: Program, stop: int) -> Program:
    """Return the program's instructions before ``stop`` in the total order, and ENDs."""
    streams = []
    for stream in program.streams:
        kept = stream[(stream["order"] < stop) & (stream["opcode"] != Opcode.END)]
        end = stream[-1:].copy()
        for name in ("wait", "wait_channels", "signal", "signal_channels"):
            end[name] = 0
        streams.append(np.concatenate([kept, end]))
    return replace(program, streams=streams, outputs={})


def explain_mismatch(
    device: Device,
    snapshot: Snapshot,
    before: Reference,
    program: Program,
    found: dict[str, bytes],
    expected: dict[str, bytes],
) -> MismatchError:
    """Return an error that names the first instruction whose result differs, and both values.

    Parameters
    ----------
    device, snapshot
        The device, and its memories before the program.
    before
        The reference before the program.
    found, expected
        Outputs of the device and of the reference.
    """
    last = max(int(stream["order"][-1]) for stream in program.streams)
    low, high = 0, last  # equal after the first `low` instructions
    difference = None
    while low < high:
        middle = (low + high) // 2
        seen = _difference(device, snapshot, before, program, middle + 1)
        if seen is None:
            low = middle + 1
        else:
            high, difference = middle, seen
    if difference is None:
        name = next(name for name in expected if expected[name] != found.get(name))
        return MismatchError(
            f"the device differs from the reference in the {name}, but only when the whole program "
            "runs: an order between queues is missing"
        )
    for queue, index, record in program.in_order():
        if record["order"] == low:
            return MismatchError(
                f"the device differs from the reference after {program.describe(queue, index)}: "
                f"{difference}"
            )
    raise AssertionError("the total order has no such instruction")


def _difference(
    device: Device, snapshot: Snapshot, before: Reference, program: Program, stop: int
) -> str | None:
    """Run a beginning on both; return the first byte that the reference wrote and that differs."""
    reference = before.copy()
    reference.run(program, stop)
    device.reset()
    device.restore(snapshot)
    device.run(beginning(program, stop))
    there = device.memories()
    old, new = before.memories(), reference.memories()
    for name, expected in new.items():
        wrong = np.flatnonzero((expected != there[name]) & (expected != old[name]))
        if len(wrong):
            place = int(wrong[0])
            word = slice(place & ~3, (place & ~3) + 4)
            return (
                f"{name} at {place:#x} holds {there[name][word].tobytes()[::-1].hex()}, "
                f"not {expected[word].tobytes()[::-1].hex()}"
            )
    return None
