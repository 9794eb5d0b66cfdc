"""Programs compute what a transformer computes, in any order that their tokens allow."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from hw.arith import bf16
from hw.presets import TINY
from hw.program.instruction_set import Opcode, Queue
from hw.program.program import Program, encode, queue_kind
from hw.program.tokens import named_queues
from scheduler.compiler.checks.hazards import check_hazards
from scheduler.compiler.checks.legality import TokenReplay, check_legal
from scheduler.compiler.iteration_program import Schedule
from scheduler.compiler.outputs import logits_name
from scheduler.models.float64 import Float64Transformer, KVCache
from scheduler.models.shape import Activation, ModelShape, NormKind, Positions
from scheduler.models.weights import Weights, parameter_shapes

TEXTS = [b"What is a river? A river", b"The bird finds no worm, b", b"Rain falls on the ro"]


def logits_of(outputs, request):
    return np.frombuffer(outputs[logits_name(request)], "<f4")


WIDE = TINY.replace(array_rows=8, array_columns=8)
MANY = TINY.replace(channels=4, bank_groups=2)


@pytest.mark.parametrize(
    ("model", "config", "schedule"),
    [
        *(pytest.param("tiny-gpt", TINY, schedule) for schedule in Schedule),
        pytest.param("tiny-gpt", WIDE, Schedule.HEADS, id="tiny-gpt-8 × 8 array"),
        pytest.param("tiny-gpt", MANY, Schedule.HEADS, id="tiny-gpt-4 channels × 8 banks"),
        *(pytest.param("tiny-llama", TINY, s) for s in Schedule if s is not Schedule.SERIAL),
        pytest.param("tiny-llama", WIDE, Schedule.SERIAL_PLUS, id="tiny-llama-8 × 8 array"),
        pytest.param("tiny-llama", MANY, Schedule.SERIAL_PLUS, id="tiny-llama-4 channels × 8"),
    ],
)
def test_program_computes_the_transformer(batch, model, config, schedule):
    requests = batch([32] * len(TEXTS), config, model)
    reference = requests.reference()
    yardstick = Float64Transformer(requests.weights)
    caches = [KVCache(requests.weights) for _ in TEXTS]
    for position in range(19):
        tokens = [text[position] for text in TEXTS]
        program = requests.compile(tokens, [position] * len(TEXTS), schedule)
        check_legal(program)
        outputs = reference.run(program)
        for request, token in enumerate(tokens):
            expected = yardstick.logits([token], caches[request])[-1]
            found = logits_of(outputs, request)
            assert np.abs(found - expected).max() < 0.3
            assert expected[found.argmax()] > expected.max() - 0.3


@pytest.mark.parametrize(
    ("norm", "activation", "positions"),
    [
        (NormKind.LAYER, Activation.GELU_ERF, Positions.ROTARY),
        (NormKind.RMS, Activation.SWIGLU, Positions.LEARNED),
    ],
)
def test_kinds_combine(batch, norm, activation, positions):
    shape = ModelShape(
        layers=1,
        d_model=32,
        heads=4,
        kv_heads=2,
        d_head=16,
        d_ffn=64,
        vocabulary=64,
        context=16,
        norm=norm,
        activation=activation,
        positions=positions,
    )
    rng = np.random.default_rng(5)
    arrays = {
        name: bf16.round(rng.normal(size=size).astype(np.float32) * size[0] ** -0.5)
        for name, size in parameter_shapes(shape).items()
    }
    requests = batch([16] * 2, weights=Weights.from_arrays(shape, arrays))
    reference = requests.reference()
    yardstick = Float64Transformer(requests.weights)
    caches = [KVCache(requests.weights) for _ in range(2)]
    for position in range(12):
        tokens = rng.integers(0, 64, 2).tolist()
        program = requests.compile(tokens, [position] * 2, Schedule.SERIAL_PLUS)
        check_legal(program)
        check_hazards(TINY, program)
        outputs = reference.run(program)
        for request, token in enumerate(tokens):
            expected = yardstick.logits([token], caches[request])[-1]
            error = np.abs(logits_of(outputs, request) - expected).max()
            assert error < 0.03 * np.abs(expected).max()


def test_schedules_agree_bit_for_bit(batch):
    # SERIAL_PLUS adds up the projection in another order
    seen = []
    for schedule in (Schedule.SERIAL, Schedule.HEADS, Schedule.INTERLEAVED):
        requests = batch([32] * 4)
        reference = requests.reference()
        logits = []
        for position in range(10):
            tokens = [50 + position, 60 + position, 70 + position, 80 + position]
            outputs = reference.run(requests.compile(tokens, [position] * 4, schedule))
            logits += [outputs[logits_name(request)] for request in range(4)]
        seen.append(logits)
    assert seen[0] == seen[1] == seen[2]


def run_in_random_order(reference, program: Program, rng) -> dict[str, bytes]:
    """Execute a program in any order in which no queue overtakes itself or its tokens."""
    tokens = defaultdict(int)
    heads = [0] * len(program.streams)
    order = [stream.copy() for stream in program.streams]

    place = 0
    open_queues = list(range(len(program.streams)))
    while open_queues:
        ready = []
        for queue in open_queues:
            record = program.streams[queue][heads[queue]]
            if all(tokens[p, queue] for p in named_queues(record, "wait")):
                ready.append(queue)
        assert ready, "deadlock"
        queue = ready[rng.integers(len(ready))]
        for _ in range(int(rng.integers(1, 40))):  # stay with a queue for a while: extremes matter
            record = program.streams[queue][heads[queue]]
            if not all(tokens[p, queue] for p in named_queues(record, "wait")):
                break
            for producer in named_queues(record, "wait"):
                tokens[producer, queue] -= 1
            for consumer in named_queues(record, "signal"):
                tokens[queue, consumer] += 1
            order[queue]["order"][heads[queue]] = place
            place += 1
            heads[queue] += 1
            if heads[queue] == len(program.streams[queue]):
                open_queues.remove(queue)
                break
    assert not any(tokens.values())
    return reference.run(replace(program, streams=order))


@pytest.mark.parametrize(
    ("model", "schedule"),
    [
        ("tiny-gpt", Schedule.SERIAL),
        ("tiny-gpt", Schedule.HEADS),
        ("tiny-gpt", Schedule.INTERLEAVED),
        ("tiny-llama", Schedule.SERIAL_PLUS),
    ],
)
def test_tokens_alone_order_the_queues(batch, model, schedule):
    rng = np.random.default_rng(1)
    requests = batch([32] * 4, model=model)
    in_order, shuffled = requests.reference(), requests.reference()
    for position in range(18):
        tokens = rng.integers(0, 256, 4).tolist()
        program = requests.compile(tokens, [position] * 4, schedule)
        expected = in_order.run(program)
        if position in (7, 8, 15, 17):
            assert run_in_random_order(shuffled, program, rng) == expected
        else:
            shuffled.run(program)


def test_an_opened_row_serves_all_query_heads_that_share_it(batch):
    requests = batch([32] * 2, model="tiny-llama")
    position = 16
    program = requests.compile([1, 2], [position] * 2, Schedule.HEADS)
    rows = program.row_lists[0].tolist()
    stream = program.streams[Queue.PIM]
    logits = stream[stream["read"] == 1]
    attends = stream[stream["read"] == 2]
    # keys: both KV heads lie in a row, two slots each; values: two query heads use a KV head
    assert logits[["gemvs", "slots"]].tolist() == [(2, 2)] * 2
    assert attends[["gemvs", "slots"]].tolist() == [(2, 4)] * 4
    for layer, record in enumerate(logits):
        tiles = rows[record["list"] : record["list"] + record["tiles"]]
        assert tiles == requests.pages[0][0][layer, 0, : position // TINY.memory.banks + 1].tolist()


def waited_for(program, queue, index):
    """Return the last instruction of every queue that an instruction must wait for."""
    replay = TokenReplay(program)
    stop = program.streams[queue]["order"][index]
    for other, place, record in program.in_order():
        replay.take(other, place)
        replay.send(other, place)
        if record["order"] == stop:
            return replay.clocks[queue]


def places(program, queue, opcode, name, layer=0):
    """Return where a queue has instructions of a kind that are for an operator of a layer."""
    stream = program.streams[queue]
    labels = [program.labels[i] for i in stream["label"]]
    wanted = [label.name == name and label.layer == layer for label in labels]
    return np.flatnonzero((stream["opcode"] == opcode) & wanted)


@pytest.mark.parametrize("schedule", [Schedule.HEADS, Schedule.SERIAL_PLUS])
def test_serial_plus_overlaps_attention_with_qkv_and_projection(batch, schedule):
    requests = batch([32] * 4, model="tiny-llama")
    program = requests.compile([1, 2, 3, 4], [16] * 4, schedule)
    logit = places(program, Queue.PIM, Opcode.GEMV, "logit")[0]
    drains = places(program, Queue.MATRIX, Opcode.DRAIN, "QKV")
    second_group = drains[3 * requests.shape.d_head // TINY.npu.tile_columns]  # after K and two Q
    projection = places(program, Queue.MATRIX, Opcode.GEMM, "projection")[0]
    tail = places(program, Queue.ATTENTION, Opcode.TAIL, "tail")[-1]
    plus = schedule is Schedule.SERIAL_PLUS
    # logits of the first head group need not wait for q and k of the second …
    assert (waited_for(program, Queue.PIM, logit)[Queue.MATRIX] < second_group) == plus
    # … nor the projection of the first group for attention of the last
    assert (waited_for(program, Queue.MATRIX, projection)[Queue.ATTENTION] < tail) == plus


def test_a_tail_is_loaded_from_its_pages_wherever_they_lie(batch):
    requests = batch([32])
    program = requests.compile([1], [15], Schedule.HEADS)  # 7 tokens of 128 bytes, 4 a page
    stream, tail_rows = program.streams[Queue.TAIL], requests.pages[0][2]
    paged = stream[stream["opcode"] == Opcode.LOAD_PAGES]
    rest = stream[np.flatnonzero(stream["opcode"] == Opcode.LOAD_PAGES) + 1]
    assert len(paged) == requests.shape.layers
    first = [program.row_lists[0][entry] for entry in paged["list"]]
    assert (paged["pages"] == 1).all()
    np.testing.assert_array_equal(first, tail_rows[:, 0])
    page_bytes = TINY.memory.banks * TINY.memory.row_bytes
    np.testing.assert_array_equal(rest["address"], tail_rows[:, 1] * page_bytes)
    np.testing.assert_array_equal(rest["bursts"] * TINY.memory.burst_bytes, 7 * 128 - page_bytes)


def test_weights_are_loaded_as_far_ahead_as_the_ring_allows(batch):
    # in every schedule, across operators and blocks: LOAD waits for nobody but the ring's reader
    for schedule in Schedule:
        requests = batch([32] * 4, model="tiny-llama")
        program = requests.compile([1, 2, 3, 4], [16] * 4, schedule)
        loads = program.streams[Queue.LOAD][:-1]
        assert set(loads["wait"].tolist()) == {0, 1 << Queue.MATRIX}
        assert not loads["wait_channels"].any()
        taken = np.cumsum(loads["bursts"]) * TINY.memory.burst_bytes * TINY.memory.channels
        unhindered = int(np.flatnonzero(loads["wait"])[0])
        assert taken[unhindered - 1] == TINY.npu.weight_ring_bytes


def test_programs_fit_their_encoding_and_survive_a_file(batch, tmp_path):
    requests = batch([32] * 3)
    program = requests.compile([1, 2, 3], [0, 0, 0], Schedule.INTERLEAVED)
    program.save(tmp_path / "program.npz")
    again = Program.load(tmp_path / "program.npz")
    assert again.inputs == program.inputs
    assert again.outputs == program.outputs
    assert again.labels == program.labels
    for queue, (one, other) in enumerate(zip(program.streams, again.streams, strict=True)):
        assert (one == other).all()
        assert len(encode(queue_kind(queue), other)) == len(one)


def test_buffers_that_do_not_fit_are_named(batch):
    requests = batch([32] * 4, TINY.replace(activation_bytes=4096))
    with pytest.raises(ValueError, match=r"^activation_bytes must hold at least .*, not 4096$"):
        requests.compile([1, 2, 3, 4], [0] * 4, Schedule.HEADS)
