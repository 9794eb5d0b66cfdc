"""How far the device's arithmetic is from float64, decoder block by decoder block.

``python -m scheduler.report.layer_error`` prints a table for the models that ship. The residual
stream is taken from the NumPy reference, which the RTL equals bit for bit, so this needs no
simulation of it.
"""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple, cast

import numpy as np
from rich.console import Console
from rich.table import Table

from hw.config import Config
from hw.presets import TINY
from hw.program.instruction_set import Opcode, Queue
from hw.program.program import Program
from scheduler.compiler.iteration_program import Schedule, SubBatch
from scheduler.compiler.outputs import logits_name
from scheduler.host import Host
from scheduler.models.float64 import Float64Transformer, KVCache
from scheduler.models.weights import Weights, load_prompts, load_weights
from scheduler.serving.request import Request
from sim.device import Device
from sim.reference import Reference

__all__ = ["LayerError", "layer_errors"]


class LayerError(NamedTuple):
    """Differences from float64 at one place of a model, over all tokens of a text.

    Attributes
    ----------
    place
        ``block 0`` …: the residual stream after that block; or ``logits``.
    size
        Root of the mean square of the numbers themselves, in float64.
    error, largest
        Root of the mean square of the differences, and the largest.
    """

    place: str
    size: float
    error: float
    largest: float


class _Nowhere:
    """Takes the place of a device: programs run on the reference alone."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference

    def write(self, channel: int, address: int, content: bytes) -> None:
        """Pass it on."""
        self.reference.write(channel, address, content)


def layer_errors(config: Config, weights: Weights, text: bytes) -> list[LayerError]:
    """Compare the residual stream after every block, and the logits, with float64.

    Both take the same tokens; the device decodes them one by one, with its own KV cache.

    Parameters
    ----------
    config
        The device: array and vector unit fix the order of sums.
    weights
        The model.
    text
        Tokens, at most as many as the model's context.

    Raises
    ------
    ValueError
        If the model or the text does not fit the device.
    """
    reference = Reference(config)
    device = cast(Device, _Nowhere(reference))
    host = Host(config, device, weights, Schedule.HEADS, check=False)
    host.submit(Request(0, tuple(text), limit=1))
    yardstick, cache, logits_cache = Float64Transformer(weights), KVCache(weights), KVCache(weights)
    pairs: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for token in text:
        iteration = host.scheduler.next_iteration()
        assert iteration is not None  # one token of the prompt each
        program = host.planner.compile(iteration, partial(SubBatch.of, host.weights))
        states = yardstick.hidden([token], cache)[1:]
        for block, (found, expected) in enumerate(
            zip(_residuals(reference, program), states, strict=True)
        ):
            pairs.setdefault(f"block {block}", []).append((found, expected[0]))
        outputs = reference.run(program)
        found = np.frombuffer(outputs[logits_name(0)], "<f4")
        pairs.setdefault("logits", []).append((found, yardstick.logits([token], logits_cache)[0]))
        host.scheduler.complete({0: 0})
    return [_compare(place, taken) for place, taken in pairs.items()]


def _residuals(before: Reference, program: Program) -> Iterator[np.ndarray]:
    """Yield the residual stream after every block: what the first norm after it reads."""
    stream = program.streams[Queue.EPILOGUE]
    norms = stream[stream["opcode"] == Opcode.NORM]
    for norm in norms[2::2]:  # a block has two; the last norm is the head's
        reference = before.copy()
        reference.run(program, int(norm["order"]))
        start = int(norm["a"])
        yield reference.activations[start : start + 4 * int(norm["n"])].view("<f4").copy()


def _compare(place: str, pairs: list[tuple[np.ndarray, np.ndarray]]) -> LayerError:
    found, expected = (np.stack(arrays) for arrays in zip(*pairs, strict=True))
    difference = found - expected
    return LayerError(
        place=place,
        size=float(np.sqrt(np.mean(expected**2))),
        error=float(np.sqrt(np.mean(difference**2))),
        largest=float(np.abs(difference).max()),
    )


def main() -> None:
    """Print the errors of the models that ship, over their longest prompts."""
    table = Table(title=f"Device ({TINY.name}) against float64")
    table.add_column("model")
    table.add_column("after")
    for name in ("size (RMS)", "error (RMS)", "largest", "error / size"):
        table.add_column(name, justify="right")
    for model in ("tiny-gpt", "tiny-llama"):
        text = max(load_prompts(model), key=len)
        for row in layer_errors(TINY, load_weights(model), text):
            numbers = (row.size, row.error, row.largest)
            table.add_row(
                model,
                row.place,
                *(f"{number:.4f}" for number in numbers),
                f"{row.error / row.size:.2%}",
            )
    Console().print(table)


if __name__ == "__main__":
    main()
