"""Bytes that two instructions share are ordered by tokens; where they are not, it is found."""

import numpy as np
import pytest

from hw.presets import TINY
from hw.program.assembly import assemble
from hw.program.instruction_set import Opcode, Queue
from hw.program.program import queue_name
from scheduler.compiler.checks.hazards import check_hazards
from scheduler.compiler.checks.legality import check_legal
from scheduler.compiler.iteration_program import Schedule

PIM0 = Queue.PIM


@pytest.mark.parametrize(
    ("model", "schedule"),
    [
        ("tiny-gpt", Schedule.HEADS),
        ("tiny-gpt", Schedule.INTERLEAVED),
        ("tiny-llama", Schedule.SERIAL),
        ("tiny-llama", Schedule.SERIAL_PLUS),
    ],
)
def test_programs_of_the_compiler_have_no_hazards(batch, model, schedule):
    requests = batch([32] * 6, model=model)
    # a complete page of values, and a token that completes one
    program = requests.compile([1, 2, 3, 4, 5, 6], [15, 15, 16, 17, 23, 31], schedule)
    check_legal(program)
    check_hazards(TINY, program)


def without_token(program, producer, consumer, number):
    """Remove a token from a program, where it is sent and where it is taken."""
    for queue, way, other in ((producer, "signal", consumer), (consumer, "wait", producer)):
        stream = program.streams[queue]
        name, bit = (way, other) if other < PIM0 else (f"{way}_channels", other - PIM0)
        index = np.flatnonzero(stream[name] >> bit & 1)[number]
        stream[name][index] &= ~np.uint32(1 << bit)
    return program


@pytest.mark.parametrize(
    ("producer", "consumer", "number", "memory"),
    [
        (Queue.LOAD, Queue.MATRIX, 0, "weight ring"),  # weights used before they are there
        (Queue.MATRIX, Queue.LOAD, 0, "weight ring"),  # and overwritten while they are used
        (Queue.EPILOGUE, Queue.MATRIX, 0, "activation memory"),  # norm, then GEMM
        (Queue.MATRIX, Queue.EPILOGUE, 0, "activation memory"),  # GEMM, then its epilogue
        (Queue.EPILOGUE, Queue.STORE, 0, "lane buffer 0"),  # the new key
        (Queue.STORE, PIM0, 0, "channel 0"),  # the new key, then the tile with it
        (PIM0, Queue.ATTENTION, 0, "lane buffer 0"),  # logits, then softmax
        (Queue.ATTENTION, PIM0, 0, "lane buffer 0"),  # weights, then attend
        (Queue.ATTENTION, Queue.MATRIX, 0, "activation memory"),  # attention, then projection
    ],
)
def test_a_token_too_few_is_found(batch, producer, consumer, number, memory):
    requests = batch([32] * 2)
    program = requests.compile([1, 2], [17, 17], Schedule.HEADS)
    without_token(program, producer, consumer, number)
    with pytest.raises(
        ValueError,
        match=rf"^instructions that share bytes of the {memory} must be ordered by tokens, but at "
        rf"0x[0-9a-f]+ these are not: .*{queue_name(producer).split('[')[0]}.*$",
    ):
        check_hazards(TINY, program)


def test_a_buffer_given_twice_is_found(batch):
    # the result of one request's attention where the other's is
    requests = batch([32] * 4)
    program = requests.compile([1, 2, 3, 4], [17] * 4, Schedule.HEADS)
    stream = program.streams[PIM0]
    gemvs = np.flatnonzero((stream["opcode"] == Opcode.GEMV) & (stream["read"] == 1))
    stream["lane_address"][gemvs[1]] = stream["lane_address"][gemvs[0]]
    with pytest.raises(ValueError, match=r"^instructions that share bytes of the lane buffer 0 "):
        check_hazards(TINY, program)


def test_tails_of_a_batch_overlap_and_may_write_the_same_bytes(batch):
    requests = batch([32] * 2, model="tiny-llama")
    program = requests.compile([1, 2], [17, 17], Schedule.HEADS)
    stream = program.streams[Queue.ATTENTION]
    tails = np.flatnonzero(stream["opcode"] == Opcode.TAIL)
    follow = tails[1:][np.diff(tails) == 1]
    assert len(follow)
    assert stream["overlap"][follow].all()
    stream["o"][follow[0]] = stream["o"][follow[0] - 1]
    check_hazards(TINY, program)


def test_overlap_with_an_instruction_that_writes_what_is_read_is_found(batch):
    requests = batch([32] * 2)
    program = requests.compile([1, 2], [17, 17], Schedule.HEADS)
    stream = program.streams[Queue.EPILOGUE]
    assert stream["overlap"].any()
    assert not stream["overlap"].all()
    stream["overlap"] = 1
    with pytest.raises(ValueError, match=r"^instructions that share bytes of the .* epilogue"):
        check_hazards(TINY, program)


def test_loads_into_the_same_bytes_need_a_token_of_their_own_queue():
    fields = "bursts=2 rows=1 lanes=1 lane_address=0"
    ends = "\n".join(f"{queue_name(queue)} END" for queue in range(PIM0 + 1))
    text = f".channels 1\ntail LOAD {{}} {fields}\ntail LOAD {{}} address=0x400 {fields}\n{ends}"
    config = TINY.replace(channels=1)
    check_hazards(config, assemble(text.format("signal:tail", "wait:tail")))
    with pytest.raises(
        ValueError,
        match=r"^instructions that share bytes of the lane buffer 0 must be ordered by tokens, but "
        r"at 0x0 these are not: tail\[0\] LOAD .* \(writes\), tail\[1\] LOAD .* \(writes\)$",
    ):
        check_hazards(config, assemble(text.format("", "")))


def test_a_page_that_is_stored_to_is_loaded_behind_a_token():
    pages = "LOAD_PAGES address=32 bursts=2 rows=1 lanes=1 lane_address=0x400 pages=2 list=1"
    ends = "\n".join(f"{queue_name(queue)} END" for queue in range(PIM0 + 1))
    page_bytes = TINY.memory.banks * TINY.memory.row_bytes
    store = f"store STORE address={7 * page_bytes + 48} bursts=1 rows=1 lanes=1"
    text = f".channels 1\n.rows 0 7 9 7\n{store} {{}}\ntail {pages} {{}}\n{ends}"
    config = TINY.replace(channels=1)
    check_hazards(config, assemble(text.format("signal:tail", "wait:store")))
    with pytest.raises(
        ValueError,
        match=r"^instructions that share bytes of the channel 0 must be ordered by tokens, but at "
        r"0xe30 these are not: store\[0\] STORE .* \(writes\), tail\[0\] LOAD_PAGES .* "
        r"\(reads\)$",
    ):
        check_hazards(config, assemble(text.format("", "")))
