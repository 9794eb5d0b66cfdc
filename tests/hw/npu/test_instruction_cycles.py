"""The formulas of the instruction set's table, against the RTL."""

import numpy as np
import pytest

from hw.npu.instruction_cycles import instruction_cycles
from hw.presets import TINY
from hw.program.assembly import assemble
from hw.program.instruction_set import INSTRUCTIONS, Opcode, Queue, queue_kind, queue_name
from sim.devices.amaranth_device import SimulatedDevice

UNIT = "a=0x100 a_stride=0x80 o=0x1000 o_stride=0x80"

#: Instructions of which each starts when the one before has retired.
CASES = (
    *("matrix WEIGHTS ring=0", "matrix GEMM rows=3 stride=8"),
    *("matrix WEIGHTS ring=0x20", "matrix GEMM rows=8 stride=8", "matrix DRAIN rows=5 stride=16"),
    *("link ALLREDUCE", "link ALLREDUCE cycles=7", "link ALLREDUCE cycles=1"),
    *("pim[0] VECTOR bursts=1 rows=1", "pim[1] VECTOR bursts=3 rows=2 offset_row=6"),
    f"epilogue ELEMENTWISE function=GATE rows=2 n=8 {UNIT}",
    f"epilogue ELEMENTWISE rows=3 n=8 {UNIT}",
    f"epilogue FUNCTION function=GELU_ERF rows=1 n=12 {UNIT}",
    f"epilogue FUNCTION rows=0 n=12 {UNIT}",
    f"epilogue NORM rows=2 n=16 b=0x200 c=0x200 {UNIT}",
    f"epilogue NORM function=RMS rows=3 n=16 b=0x200 {UNIT}",
    f"epilogue ROTARY rows=2 n=8 m=2 b=0x200 b_stride=16 {UNIT}",
    f"epilogue REDUCE rows=2 n=7 {UNIT}",
    f"epilogue TRANSPOSE rows=8 n=8 {UNIT}",
    f"epilogue ARGMAX rows=1 n=9 {UNIT}",
    f"attention SOFTMAX rows=2 n=11 {UNIT}",
    f"attention TAIL rows=2 n=8 m=3 b=0x200 b_stride=8 c=0x300 c_stride=32 {UNIT}",
)


def test_instructions_take_the_cycles_of_their_formulas():
    lines = [".channels 2"]
    for number, case in enumerate(CASES):
        queue = case.split()[0]
        before = CASES[number - 1].split()[0]
        after = CASES[number + 1].split()[0] if number + 1 < len(CASES) else None
        wait = f"wait:{before}" if number else ""
        lines.append(f"{case} {wait} {f'signal:{after}' if after else ''}")
    lines += [f"{queue_name(queue)} END" for queue in range(Queue.PIM + TINY.memory.channels)]
    text = "\n".join(lines)
    # PIM queues share no tokens: the link queue stands between them.
    text = text.replace("wait:pim[0] ", "wait:link ").replace(
        "pim[0] VECTOR bursts=1 rows=1 wait:link signal:pim[1]",
        "pim[0] VECTOR bursts=1 rows=1 wait:link signal:link\nlink ALLREDUCE wait:pim[0] "
        "signal:pim[1]",
    )
    program = assemble(text)
    result = SimulatedDevice(TINY).run(program)
    checked = set()
    for queue, stream in enumerate(program.streams):
        for index, record in enumerate(stream):
            if index and record["opcode"] == Opcode.END:
                continue  # it starts before its predecessor has retired
            expected = instruction_cycles(TINY, queue, record)
            took = int(result.retires[queue][index]) - int(result.starts[queue][index])
            assert took == expected, program.describe(queue, index)
            checked.add(int(record["opcode"]))
    assert checked == {line.opcode for line in INSTRUCTIONS if line.cycles}


def test_channels_decide_about_the_rest():
    stream = assemble(".channels 1\nload LOAD bursts=1 rows=1\npim[0] GEMV tiles=1").streams
    assert instruction_cycles(TINY, Queue.LOAD, stream[Queue.LOAD][0]) is None
    assert instruction_cycles(TINY, Queue.PIM, stream[Queue.PIM][0]) is None


def test_unknown_instruction_is_named():
    record = {"opcode": np.uint32(Opcode.GEMM)}
    with pytest.raises(ValueError, match=r"^opcode must be one of the queue's, not 4$"):
        instruction_cycles(TINY, queue_kind(Queue.LOAD), record)
