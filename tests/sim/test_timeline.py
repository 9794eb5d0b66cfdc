import json
from types import SimpleNamespace

import numpy as np
import pytest

from hw.program.instruction_set import Opcode, Queue
from hw.program.program import Label, Program, queue_kind, stream_dtype
from sim.perfetto import trace_events, write_trace
from sim.timeline import make_timeline

CHANNELS = 2
LABELS = [Label("QKV", 0, 0), Label("logit", 1, 0, 3), Label("end")]


def make(instructions):
    """Return a program and its result from (queue, opcode, label, start, retire) in order."""
    streams, starts, retires = [], [], []
    for queue in range(Queue.PIM + CHANNELS):
        mine = [entry for entry in instructions if entry[0] == queue]
        mine.append((queue, Opcode.END, 2, 1000, 1001))
        stream = np.zeros(len(mine), stream_dtype(queue_kind(queue)))
        stream["opcode"] = [entry[1] for entry in mine]
        stream["label"] = [entry[2] for entry in mine]
        streams.append(stream)
        starts.append(np.array([entry[3] for entry in mine], np.int64))
        retires.append(np.array([entry[4] for entry in mine], np.int64))
    rows = [np.zeros(0, np.uint32)] * CHANNELS
    program = Program(streams=streams, row_lists=rows, labels=LABELS)
    return program, SimpleNamespace(starts=starts, retires=retires)


@pytest.fixture
def timeline():
    return make_timeline(
        *make(
            [
                (Queue.LOAD, Opcode.LOAD, 0, 0, 90),
                (Queue.LOAD, Opcode.LOAD, 0, 10, 150),
                (Queue.MATRIX, Opcode.WEIGHTS, 0, 160, 170),
                (Queue.MATRIX, Opcode.GEMM, 0, 170, 200),
                (Queue.PIM + 1, Opcode.VECTOR, 1, 210, 230),
                (Queue.PIM + 1, Opcode.GEMV, 1, 230, 400),
            ]
        )
    )


def test_rows_are_units_from_the_loads_to_the_last_channel(timeline):
    assert timeline.rows == [
        "DMA weights",
        "Array weights",
        "Systolic array",
        "PIM 1 vector",
        "PIM 1 GEMV",
    ]


def test_end_is_not_a_span(timeline):
    assert len(timeline.spans) == 6
    assert timeline.end == 400


def test_spans_keep_the_cycles_of_the_result(timeline):
    assert timeline.spans["start"].tolist() == [0, 10, 160, 170, 210, 230]
    assert timeline.spans["end"].tolist() == [90, 150, 170, 200, 230, 400]


def test_a_span_is_shown_from_where_the_one_before_it_ends(timeline):
    assert timeline.spans["shown_from"][:2].tolist() == [0, 90]


def test_a_span_that_retires_with_the_one_before_it_is_shown_empty():
    matrix = (Queue.MATRIX, Opcode.GEMM, 0)
    timeline = make_timeline(*make([(*matrix, 0, 50), (*matrix, 10, 50), (*matrix, 60, 70)]))
    assert timeline.spans["shown_from"].tolist() == [0, 50, 60]
    assert timeline.busy() == {"Systolic array": 60}


def test_spans_have_the_sub_batches_of_their_labels(timeline):
    assert timeline.sub_batches().tolist() == [0, 0, 0, 0, 1, 1]


def test_a_program_that_only_ends_has_no_rows():
    timeline = make_timeline(*make([]))
    assert timeline.rows == []
    assert timeline.end == 0
    assert trace_events(timeline) == []


def test_a_result_of_another_program_is_refused():
    program, result = make([(Queue.LOAD, Opcode.LOAD, 0, 0, 9)])
    result.retires[Queue.LOAD] = result.retires[Queue.LOAD][:-1]
    with pytest.raises(ValueError, match=r"^retires of queue load must have 2 entries, not 1$"):
        make_timeline(program, result)


def test_the_trace_counts_cycles_as_nanoseconds(timeline):
    spans = [event for event in trace_events(timeline) if event["ph"] == "X"]
    assert [event["ts"] for event in spans] == [0.0, 0.09, 0.16, 0.17, 0.21, 0.23]
    assert spans[-1]["dur"] == pytest.approx(0.17)
    assert spans[-1]["args"] == {
        "instruction": "pim[1][1]",
        "operation": "GEMV",
        "sub_batch": 1,
        "start_cycle": 230,
        "retire_cycle": 400,
        "layer": 0,
        "request": 3,
    }


def test_events_of_a_thread_of_the_trace_do_not_overlap(timeline):
    ends = {}
    for event in trace_events(timeline):
        if event["ph"] == "X":
            thread = (event["pid"], event["tid"])
            assert event["ts"] >= ends.get(thread, 0.0)
            ends[thread] = event["ts"] + event["dur"]


def test_the_trace_names_every_process_and_thread_once(timeline):
    events = trace_events(timeline)
    named = [(e["pid"], e["tid"]) for e in events if e["name"] == "thread_name"]
    used = {(e["pid"], e["tid"]) for e in events if e["ph"] == "X"}
    assert len(named) == len(set(named))
    assert set(named) == used
    processes = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
    assert sorted(processes.values()) == ["NPU tile", "channel 1"]


def test_the_trace_file_is_json(timeline, tmp_path):
    path = tmp_path / "trace.json"
    write_trace(timeline, path)
    trace = json.loads(path.read_text(encoding="utf-8"))
    assert trace["traceEvents"] == trace_events(timeline)
