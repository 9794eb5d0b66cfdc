"""The host: the loop from requests to tokens, over any device.

In each iteration the scheduler decides who takes part, the compiler turns that into one program,
the device runs it, and its choices go back to the scheduler.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hw.config import Config
from hw.program.pim_operands import check_pim_operands
from hw.program.program import Program
from scheduler.compiler.attention.buffers import Decode
from scheduler.compiler.checks.legality import check_legal
from scheduler.compiler.dense.placement import place_model
from scheduler.compiler.iteration_program import (
    Schedule,
    SubBatch,
    compile_iteration,
    io_bytes,
)
from scheduler.compiler.outputs import logits_name, tokens_name
from scheduler.models.weights import Weights
from scheduler.serving.iteration import Iteration, IterationScheduler, Step
from scheduler.serving.kv_pages import KvPages
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
        shape = weights.shape
        self.config = config
        self.device = device
        self.weights = weights
        self.schedule = schedule
        io = io_bytes(config, shape, max_resident)
        self.model = place_model(config, weights, io)
        self.scheduler = IterationScheduler(
            KvPages(config, shape, self.model.first_kv_row),
            max_resident=max_resident,
            interleaved=schedule is Schedule.INTERLEAVED,
            interleave_from=min(max_resident, 2 * config.npu.array_rows),
        )
        self.reference = Reference(config) if check else None
        for channel, address, content in self.model.images:
            device.write(channel, address, content)
            if self.reference:
                self.reference.write(channel, address, content)

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
            program = self.compile(iteration)
            check_legal(program)
            check_pim_operands(self.config, program)
            result = self._execute(program)
            logits = {
                step.request: np.frombuffer(result.outputs[logits_name(step.request)], "<f4")
                for step in iteration.steps
            }
            finished = self.scheduler.complete(self._chosen(iteration, result))
            yield HostIteration(iteration, program, result, logits, tuple(finished))

    def compile(self, iteration: Iteration) -> Program:
        """Return the program of an iteration; ValueError if the device cannot hold it."""
        sub_batches = [self._sub_batch(steps) for steps in iteration.sub_batches]
        return compile_iteration(self.config, self.model, sub_batches, self.schedule)

    def _sub_batch(self, steps: tuple[Step, ...]) -> SubBatch:
        decodes = tuple(
            Decode(
                request=step.request,
                channel=step.rows.channel,
                row=row,
                position=step.position,
                k_rows=step.rows.k_rows,
                v_rows=step.rows.v_rows,
                tail_rows=step.rows.tail_rows,
            )
            for row, step in enumerate(steps)
        )
        return SubBatch.of(self.weights, decodes, [step.token for step in steps])

    def _execute(self, program: Program) -> Result:
        if self.reference is None:
            return self.device.run(program)
        before, memories = self.reference.copy(), self.device.snapshot()
        result = self.device.run(program)
        expected = self.reference.run(program)
        if expected != result.outputs:
            raise explain_mismatch(self.device, memories, before, program, result.outputs, expected)
        return result

    def _chosen(self, iteration: Iteration, result: Result) -> dict[int, int]:
        chosen: dict[int, int] = {}
        for index, steps in enumerate(iteration.sub_batches):
            words = np.frombuffer(result.outputs[tokens_name(index)], "<u4")
            tokens = words.reshape(-1, self.config.npu.lanes)[:, 0].tolist()
            chosen |= {step.request: token for step, token in zip(steps, tokens, strict=False)}
        return chosen
