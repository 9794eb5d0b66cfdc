"""The planner: from requests to programs, one an iteration; it knows no device and no weights.

In each iteration the scheduler decides who takes part, and the compiler turns that into one
program. :class:`scheduler.host.Host` is the loop around it, with a device.
"""

from collections.abc import Callable

import numpy as np

from hw.config import Config
from hw.program.pim_operands import check_pim_operands
from hw.program.program import Program
from scheduler.compiler.attention.buffers import Decode
from scheduler.compiler.attention.kv_geometry import KvGeometry
from scheduler.compiler.checks.legality import check_legal
from scheduler.compiler.dense.placement import ModelPlacement, place_model
from scheduler.compiler.iteration_program import (
    Schedule,
    SubBatch,
    compile_iteration,
    io_bytes,
    iteration_limits,
)
from scheduler.models.shape import ModelShape, Positions
from scheduler.serving.iteration import Iteration, IterationScheduler, Step
from scheduler.serving.kv_pages import KvPages
from scheduler.serving.request import Request

__all__ = ["Embed", "Planner", "limits"]

#: Returns what the tokens of some steps bring with them: a sub-batch, from its decodes and tokens.
Embed = Callable[[tuple[Decode, ...], list[int]], SubBatch]


class Planner:
    """Plans the iterations of one model on one device, from its shape alone.

    Parameters
    ----------
    config, shape
        The machine, and the model.
    schedule
        What overlaps within an iteration. INTERLEAVED splits a batch where both halves are as tall
        as the array.
    max_resident
        Requests that take part in one iteration, at most.

    Attributes
    ----------
    placement
        Where the model lies in the memory channels.
    scheduler
        Who takes part when.

    Raises
    ------
    ValueError
        If the model does not fit the device.
    """

    def __init__(
        self, config: Config, shape: ModelShape, schedule: Schedule, *, max_resident: int = 8
    ) -> None:
        self.config = config
        self.shape = shape
        self.schedule = schedule
        self.placement: ModelPlacement = place_model(
            config, shape, io_bytes(config, shape, max_resident)
        )
        self.scheduler = IterationScheduler(
            KvPages(config, shape, self.placement.first_kv_row),
            max_resident=max_resident,
            interleaved=schedule is Schedule.INTERLEAVED,
            interleave_from=min(max_resident, 2 * config.npu.array_rows),
        )

    def compile(self, iteration: Iteration, embed: Embed) -> Program:
        """Return the program of an iteration, checked; ValueError if the device cannot hold it."""
        sub_batches = []
        for steps in iteration.sub_batches:
            decodes = tuple(_decode(row, step) for row, step in enumerate(steps))
            sub_batches.append(embed(decodes, [step.token for step in steps]))
        program = compile_iteration(self.config, self.placement, sub_batches, self.schedule)
        check_legal(program)
        check_pim_operands(self.config, program)
        return program


def _decode(row: int, step: Step) -> Decode:
    return Decode(
        request=step.request,
        channel=step.rows.channel,
        row=row,
        position=step.position,
        k_rows=step.rows.k_rows,
        v_rows=step.rows.v_rows,
        tail_rows=step.rows.tail_rows,
    )


def limits(
    config: Config,
    shape: ModelShape,
    schedule: Schedule,
    contexts: list[int],
    *,
    max_resident: int = 8,
) -> list[str]:
    """Return every limit of the machine that a model and requests of some contexts break.

    No weights are needed. Where the model itself does not fit, requests are not looked at.
    """
    found: list[str] = []
    for check in (
        lambda: KvGeometry.of(config, shape),
        lambda: place_model(config, shape, io_bytes(config, shape, max_resident)),
    ):
        try:
            check()
        except ValueError as error:
            found.append(str(error))
    if found:
        return found
    planner = Planner(config, shape, schedule, max_resident=max_resident)
    for number, context in enumerate(contexts):
        try:
            planner.scheduler.submit(Request(number, (0,) * context, 1))
        except ValueError as error:
            found.append(str(error))
            return found
    iteration = planner.scheduler.next_iteration()
    if iteration is None:
        return found
    lengths = dict(enumerate(contexts))
    sub_batches = [
        _blank(
            shape,
            tuple(
                _decode(row, Step(s.request, 0, lengths[s.request] - 1, s.rows))
                for row, s in enumerate(steps)
            ),
        )
        for steps in iteration.sub_batches
    ]
    found = iteration_limits(config, planner.placement, sub_batches, schedule)
    if not found:  # what only the program itself tells
        try:
            compile_iteration(config, planner.placement, sub_batches, schedule)
        except ValueError as error:
            found.append(str(error))
    return found


def _blank(shape: ModelShape, decodes: tuple[Decode, ...]) -> SubBatch:
    """Return a sub-batch whose tokens bring zeros."""
    rows = len(decodes)
    tokens = np.zeros((rows, shape.d_model), np.uint16)
    if shape.positions is Positions.LEARNED:
        return SubBatch(decodes, tokens, np.zeros((rows, shape.d_model), np.uint16))
    return SubBatch(decodes, tokens, np.zeros((rows, shape.d_head), np.float32))
