import importlib.util
import sys
from pathlib import Path

import pytest

from hw.program.instruction_set import Opcode, Queue

SCRIPT = Path(__file__).parents[2] / "build" / "vector_waits.py"
FIELDS = ("opcode", "function", "a_format", "b_format", "o_format", "x", "y")


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("vector_waits", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["vector_waits"] = module
    spec.loader.exec_module(module)
    return module


def vector(script, index, start, opcode=Opcode.SOFTMAX, tokens=(), read=(), written=()):
    """Make one of 12 cycles of elements and 40 of waits, done 60 cycles after its start."""
    return script.Step(
        Queue.ATTENTION,
        index,
        start,
        start + 61,
        list(tokens),
        record=dict.fromkeys(FIELDS, 0) | {"opcode": opcode},
        elements=12,
        issue=52,
        done=60,
        read=frozenset(read),
        written=frozenset(written),
    )


def test_rows_of_the_same_work_wait_for_sums(script):
    steps = [vector(script, 0, 0), vector(script, 1, 52)]
    assert script.waits(steps) == {"sums of rows": 40}
    assert script.replayed(steps, "as it is") == 52 + 61 + 1
    assert script.replayed(steps, "sums of rows") == 12 + 61 + 1


def test_other_work_waits_for_the_last_write(script):
    steps = [vector(script, 0, 0), vector(script, 1, 61, Opcode.ELEMENTWISE)]
    assert script.waits(steps) == {"other work": 49}
    assert script.replayed(steps, "sums of rows") == 61 + 61 + 1
    assert script.replayed(steps, "other work too") == 12 + 61 + 1


def test_what_reads_a_result_waits_for_it(script):
    place = ("lane buffer 0", 7)
    steps = [vector(script, 0, 0, written=[place]), vector(script, 1, 61, read=[place])]
    assert script.waits(steps) == {"operands": 49}
    assert script.replayed(steps, "other work too") == 61 + 61 + 1


def test_what_waits_for_a_token_loses_nothing(script):
    load = script.Step(Queue.TAIL, 0, 0, 99, [])
    steps = [load, vector(script, 0, 1), vector(script, 1, 100, tokens=[(Queue.TAIL, 0)])]
    assert not script.waits(steps).total()
    assert script.replayed(steps, "other work too") == 100 + 61 + 1


def test_a_queue_that_waits_for_a_token_follows_it(script):
    store = script.Step(Queue.STORE, 0, 114, 120, [(Queue.ATTENTION, 1)])
    steps = [vector(script, 0, 0), vector(script, 1, 52), store]
    assert script.replayed(steps, "as it is") == 121
    assert script.replayed(steps, "sums of rows") == 121 - 40
