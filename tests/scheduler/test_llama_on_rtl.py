"""The Llama-style model on the RTL, in every schedule and on devices of other sizes."""

import numpy as np
import pytest

from hw.presets import TINY
from scheduler.compiler.iteration_program import Schedule
from scheduler.host import Host
from scheduler.models.float64 import Float64Transformer
from scheduler.models.weights import load_weights
from scheduler.serving.request import Request
from sim.devices.compiled_device import RtlDevice
from sim.monitor.monitor import Monitor
from sim.monitor.premises import Premises

PROMPTS = [
    *(b"The lark", b"The wren", b"In memory", b"Every river"),
    *(b"Hello,", b"The controller", b"In the hills", b"The sea is the end"),
]
ANSWER_TOKENS = 12


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        pytest.param(TINY, id="tiny"),
        pytest.param(TINY.replace(row_buffers=1), id="one row buffer"),
        pytest.param(TINY.replace(array_rows=8, array_columns=8), id="8 × 8 array"),
        pytest.param(TINY.replace(channels=4, bank_groups=2), id="4 channels × 8 banks"),
    ],
)
def test_every_schedule_gives_the_answers_of_float64(config):
    weights = load_weights("tiny-llama")
    yardstick = Float64Transformer(weights)
    expected = [yardstick.generate(prompt, limit=ANSWER_TOKENS) for prompt in PROMPTS]
    device = RtlDevice(config)
    for schedule in Schedule:
        device.reset()
        host = Host(config, device, weights, schedule)  # compares every result with the reference
        requests = [Request(i, tuple(p), ANSWER_TOKENS) for i, p in enumerate(PROMPTS)]
        for request in requests:
            host.submit(request)
        steps = list(host.run())
        halves = max(len(step.iteration.sub_batches) for step in steps)
        assert halves == (2 if schedule is Schedule.INTERLEAVED else 1)
        trace = np.concatenate([step.result.trace for step in steps])
        assert not Monitor(config, Premises(to_end=False)).check(trace, end=trace["cycle"].max())
        assert [request.answer for request in requests] == expected
