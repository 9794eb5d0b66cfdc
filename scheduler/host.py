"""The host: the loop from requests to tokens, over any device.

The planner turns requests into programs (:mod:`scheduler.planner`), the device runs them, and its
choices go back to the scheduler.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from hw.config import Config
from hw.program.program import Program
from scheduler.compiler.dense.placement import model_images
from scheduler.compiler.iteration_program import Schedule, SubBatch
from scheduler.compiler.outputs import logits_name, tokens_name
from scheduler.models.weights import Weights
from scheduler.planner import Planner
from scheduler.serving.iteration import Iteration, IterationScheduler
from scheduler.serving.request import Request
from sim.device import Device, Result
from sim.devices.first_difference import explain_mismatch
from sim.reference import Reference

__all__ = ["Host", "HostIteration"]


@dataclass(frozen=True, slots=True)
class HostIteration:
    """What one iteration was and gave.

    Attributes
    ----------
    iteration, program, result
        The decisions, what they were compiled to, and what the device made of it.
    logits
        Binary32 logits of every request that took part.
    finished
        Requests that have their answer now.
    """

    iteration: Iteration
    program: Program
    result: Result
    logits: dict[int, np.ndarray]
    finished: tuple[Request, ...]


class Host:
    """Decodes requests on a device.

    Parameters
    ----------
    config, device
        The machine.
    weights
        The model; it is written to the device.
    schedule
        What overlaps within an iteration. INTERLEAVED splits a batch where both halves are as tall
        as the array.
    max_resident
        Requests that take part in one iteration, at most.
    check
        Whether every result is compared, bit for bit, with the NumPy reference.

    Raises
    ------
    ValueError
        If the model does not fit the device.
    """

    def __init__(
        self,
        config: Config,
        device: Device,
        weights: Weights,
        schedule: Schedule,
        *,
        max_resident: int = 8,
        check: bool = True,
    ) -> None:
        self.config = config
        self.device = device
        self.weights = weights
        self.planner = Planner(config, weights.shape, schedule, max_resident=max_resident)
        self.reference = Reference(config) if check else None
        for channel, address, content in model_images(config, self.planner.placement, weights):
            device.write(channel, address, content)
            if self.reference:
                self.reference.write(channel, address, content)

    @property
    def scheduler(self) -> IterationScheduler:
        """Who takes part when."""
        return self.planner.scheduler

    def submit(self, request: Request) -> None:
        """Let a request wait for admission; ValueError if it can never be served."""
        self.scheduler.submit(request)

    def run(self) -> Iterator[HostIteration]:
        """Run iterations until every request has its answer.

        Raises
        ------
        sim.devices.first_difference.MismatchError
            If a result differs from the reference.
        sim.device.DeviceError
            If the device stops with an error.
        """
        while (iteration := self.scheduler.next_iteration()) is not None:
            program = self.planner.compile(iteration, partial(SubBatch.of, self.weights))
            result = self._execute(program)
            logits = {step.request: self._logits(result, step.request) for step in iteration.steps}
            finished = self.scheduler.complete(self._chosen(iteration, result))
            yield HostIteration(iteration, program, result, logits, tuple(finished))

    def _execute(self, program: Program) -> Result:
        if self.reference is None:
            return self.device.run(program)
        before, memories = self.reference.copy(), self.device.snapshot()
        result = self.device.run(program)
        expected = self.reference.run(program)
        if expected != result.outputs:
            raise explain_mismatch(self.device, memories, before, program, result.outputs, expected)
        return result

    def _logits(self, result: Result, request: int) -> np.ndarray:
        """Return the logits of a request, without those that fill the last weight tile."""
        everything = np.frombuffer(result.outputs[logits_name(request)], "<f4")
        return everything[: self.weights.shape.vocabulary]

    def _chosen(self, iteration: Iteration, result: Result) -> dict[int, int]:
        chosen: dict[int, int] = {}
        for index, steps in enumerate(iteration.sub_batches):
            words = np.frombuffer(result.outputs[tokens_name(index)], "<u4")
            tokens = words.reshape(-1, self.config.npu.lanes)[:, 0].tolist()
            chosen |= {step.request: token for step, token in zip(steps, tokens, strict=False)}
        return chosen
