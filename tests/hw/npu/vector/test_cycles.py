import pytest

from hw.npu.vector.cycles import cycles
from hw.presets import TINY
from hw.program.instruction_set import Element, Function, Opcode


def duration(opcode, rows, n, function=0, m=0, config=TINY):
    return cycles(config, opcode, function=function, rows=rows, n=n, m=m)


def test_elementwise_takes_a_cycle_for_as_many_elements_as_lanes():
    assert duration(Opcode.ELEMENTWISE, 8, 64, Element.ADD) == 8 * 64 // 4 + 7


def test_gelu_takes_two_cycles_for_as_many_elements_as_lanes():
    twice = duration(Opcode.FUNCTION, 16, 64, Function.GELU_TANH)
    assert twice - duration(Opcode.FUNCTION, 8, 64, Function.GELU_TANH) == 2 * 8 * 64 // 4


@pytest.mark.parametrize("opcode", [Opcode.SOFTMAX, Opcode.NORM])
def test_three_sweeps_take_three_cycles_for_as_many_elements_as_lanes(opcode):
    assert duration(opcode, 16, 256) - 3 * 16 * 256 // 4 <= 24


@pytest.mark.parametrize("opcode", [Opcode.SOFTMAX, Opcode.NORM])
def test_waits_between_sweeps_are_hidden_behind_other_rows(opcode):
    overhead = [duration(opcode, rows, 64) - 3 * rows * 16 for rows in (1, 2, 4)]
    assert overhead == sorted(overhead, reverse=True)
    assert overhead[-1] <= 24


def test_tail_takes_a_cycle_a_token_rounded_up_to_the_partial_sums():
    times = [duration(Opcode.TAIL, 2, 16, m=m) for m in (0, 1, 4, 5, 8)]
    assert [time - times[0] for time in times] == [0, 0, 0, 32, 32]


def test_transpose_moves_a_block_in_its_height_plus_its_width():
    config = TINY.replace(lanes=8)
    once, twice = (duration(Opcode.TRANSPOSE, 8, n, config=config) for n in (8, 16))
    assert twice - once == 8 + 8
