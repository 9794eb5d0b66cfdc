"""Every way in which tokens can be wrong is found, by name."""

import numpy as np
import pytest

from hw.program.instruction_set import Opcode, Queue
from hw.program.program import Program, queue_kind, stream_dtype
from scheduler.compiler.checks.legality import MAXIMUM_TOKENS, check_legal
from scheduler.compiler.iteration_program import Schedule

EPILOGUE, ATTENTION = Queue.EPILOGUE, Queue.ATTENTION


@pytest.fixture
def program(batch):
    return batch([32] * 4).compile([1, 2, 3, 4], [0] * 4, Schedule.HEADS)


def tiny_program(*instructions):
    """Return a program of COPYs: queue, queue it waits for or None, queue it signals or None."""
    streams = []
    for queue in range(Queue.PIM + 1):
        own = [(order, w, s) for order, (q, w, s) in enumerate(instructions) if q == queue]
        stream = np.zeros(len(own) + 1, stream_dtype(queue_kind(queue)))
        for record, (order, waits, signals) in zip(stream, own, strict=False):
            record["opcode"] = Opcode.ELEMENTWISE
            record["order"] = order
            record["wait"] = 0 if waits is None else 1 << waits
            record["signal"] = 0 if signals is None else 1 << signals
        stream["opcode"][-1] = Opcode.END
        stream["order"][-1] = len(instructions) + queue
        streams.append(stream)
    return Program(streams=streams, row_lists=[np.zeros(0, np.uint32)])


def test_programs_of_the_compiler_are_legal(program):
    check_legal(program)


def test_a_missing_wait_is_found(program):
    stream = program.streams[EPILOGUE]
    index = int(np.flatnonzero(stream["wait"])[3])
    stream["wait"][index] &= stream["wait"][index] - 1
    with pytest.raises(ValueError, match=r"^every token must be taken, but none takes that of .*$"):
        check_legal(program)


def test_a_missing_signal_is_found(program):
    stream = program.streams[Queue.MATRIX]
    index = int(np.flatnonzero(stream["signal"])[-1])
    stream["signal"][index] = 0
    with pytest.raises(ValueError, match=r"^a token must be sent before it is taken .*$"):
        check_legal(program)


@pytest.mark.parametrize("first", [EPILOGUE, ATTENTION])
def test_a_cycle_of_waits_is_found_whatever_the_order(first):
    other = Queue(EPILOGUE + ATTENTION - first)
    program = tiny_program((first, other, other), (other, first, first))
    with pytest.raises(
        ValueError,
        match=rf"^a token must be sent before it is taken in the total order, but token 0 of "
        rf"{other.name.lower()} is not when taken by {first.name.lower()}\[0\] ELEMENTWISE .*$",
    ):
        check_legal(program)


def test_a_counter_may_be_full_but_not_overflow():
    def program(signals):
        sent = [(EPILOGUE, None, ATTENTION)] * signals
        return tiny_program(*sent, *[(ATTENTION, EPILOGUE, None)] * signals)

    check_legal(program(MAXIMUM_TOKENS))
    with pytest.raises(
        ValueError,
        match=r"^at most 255 tokens may be on their way to attention, not 256 after "
        r"epilogue\[255\] ELEMENTWISE .*$",
    ):
        check_legal(program(MAXIMUM_TOKENS + 1))


def test_a_counter_does_not_overflow_where_the_sender_waits_for_the_taker():
    round_trip = [
        (EPILOGUE, None, ATTENTION),
        (ATTENTION, EPILOGUE, EPILOGUE),
        (EPILOGUE, ATTENTION, None),
    ]
    check_legal(tiny_program(*round_trip * 300))


def test_a_queue_out_of_the_total_order_is_found(program):
    stream = program.streams[EPILOGUE]
    stream["order"][[4, 5]] = stream["order"][[5, 4]]
    with pytest.raises(ValueError, match=r"^queue epilogue must be in the total order$"):
        check_legal(program)


def test_a_stream_without_its_end_is_found(program):
    program.streams[Queue.TAIL] = program.streams[Queue.TAIL][:-1]
    with pytest.raises(ValueError, match=r"^queue tail must end with its only END$"):
        check_legal(program)


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        (
            (Opcode.WEIGHTS, Opcode.DRAIN, Opcode.WEIGHTS, Opcode.GEMM, Opcode.GEMM),
            r"^WEIGHTS and GEMM must take turns, but do not before matrix\[2\] .*$",
        ),
        (
            (Opcode.WEIGHTS, Opcode.GEMM, Opcode.GEMM),
            r"^WEIGHTS and GEMM must take turns, but do not before matrix\[2\] .*$",
        ),
        (
            (Opcode.WEIGHTS, Opcode.GEMM, Opcode.WEIGHTS),
            r"^every weight tile must be used by a GEMM, but none uses that of matrix\[2\] .*$",
        ),
    ],
)
def test_weights_without_their_gemm_are_found(operations, message):
    program = tiny_program(*[(Queue.MATRIX, None, None)] * len(operations))
    program.streams[Queue.MATRIX]["opcode"][:-1] = operations
    with pytest.raises(ValueError, match=message):
        check_legal(program)
