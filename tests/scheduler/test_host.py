"""The host loop over a device that is the reference itself, and over one that errs."""

import numpy as np
import pytest

from hw.presets import TINY
from hw.program.instruction_set import Opcode
from scheduler.compiler.iteration_program import Schedule
from scheduler.host import Host
from scheduler.models.float64 import Float64Transformer
from scheduler.models.weights import load_weights
from scheduler.serving.request import Request
from sim.device import Result
from sim.devices.first_difference import MismatchError
from sim.reference import Reference


class ReferenceDevice:
    """A device without time, for tests; ``err`` may spoil its memories after an instruction."""

    def __init__(self, config, err=None):
        self.config = config
        self.err = err
        self.reference = Reference(config)

    def write(self, channel, address, content):
        self.reference.write(channel, address, content)

    def run(self, program, progress=None):
        spoilt_at = self.err(program) if self.err else None
        if spoilt_at is None:
            outputs = self.reference.run(program)
        else:
            outputs = self.run_spoilt(program, spoilt_at)
        empty = [np.zeros(len(stream), np.uint64) for stream in program.streams]
        return Result(
            outputs=outputs, starts=empty, retires=empty, cycles=1, counters={}, trace=None
        )

    def run_spoilt(self, program, order):
        stop = max(int(stream["order"][-1]) for stream in program.streams) + 1
        self.reference.run(program, min(order + 1, stop))
        for queue, _index, record in program.in_order():
            if record["order"] == order:
                self.reference.activations[int(record["o"])] ^= 1
            elif record["order"] > order:
                names = record.dtype.names
                fields = dict(zip(names, record.tolist(), strict=True))
                self.reference._execute(queue, fields)
        blocks = program.outputs.items()
        return {n: self.read(b.channel, b.address, b.nbytes) for n, b in blocks}

    def read(self, channel, address, nbytes):
        return self.reference.dram[channel][address : address + nbytes].tobytes()

    def snapshot(self):
        return self.reference.copy()

    def restore(self, snapshot):
        self.reference = snapshot.copy()

    def reset(self):
        self.reference = Reference(self.config)

    def memories(self):
        return self.reference.memories()


@pytest.mark.parametrize(
    ("model", "schedule"),
    [*(("tiny-gpt", schedule) for schedule in Schedule), ("tiny-llama", Schedule.SERIAL_PLUS)],
)
def test_requests_enter_and_leave_and_get_their_answers(model, schedule):
    weights = load_weights(model)
    prompts = [b"What is a river?", b"Hello!", b"I write", b"The row opens,", b"Every river"]
    host = Host(TINY, ReferenceDevice(TINY), weights, schedule, max_resident=3, check=False)
    requests = [Request(i, tuple(prompt), 6) for i, prompt in enumerate(prompts)]
    for request in requests:
        host.submit(request)
    steps = list(host.run())
    assert max(len(step.iteration.steps) for step in steps) == 3
    assert steps[0].iteration.entered == (0, 1, 2)
    assert any(step.iteration.entered for step in steps[1:])
    assert {request.number for step in steps for request in step.finished} == set(range(5))
    yardstick = Float64Transformer(weights)
    for request, prompt in zip(requests, prompts, strict=True):
        assert bytes(request.answer) == bytes(yardstick.generate(prompt, limit=6))


def test_a_wrong_result_is_traced_to_its_instruction():
    def third_norm(program):
        stream = program.streams[4]
        norms = stream[stream["opcode"] == Opcode.NORM]
        last = max(int(s["order"][-1]) for s in program.streams)
        return int(norms["order"][2]) if len(norms) > 2 and last else None

    device = ReferenceDevice(TINY, err=third_norm)
    host = Host(TINY, device, load_weights(), Schedule.HEADS)
    host.submit(Request(0, (65, 66), 2))
    with pytest.raises(
        MismatchError,
        match=r"^the device differs from the reference after epilogue\[\d+\] NORM .* holds .* not ",
    ):
        list(host.run())
