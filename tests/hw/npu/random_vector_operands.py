"""Random operands of the vector units' instructions."""

import numpy as np

from hw.npu.vector.issue.schedule import Schedule
from hw.program.instruction_set import (
    Element,
    Format,
    Function,
    Norm,
    Opcode,
    Reduce,
    Tail,
    lane_tile_address,
)

__all__ = ["IN_PLACE", "VARIANTS", "vector_operands"]

#: Every operation and variant.
VARIANTS = (
    *((Opcode.ELEMENTWISE, function) for function in Element),
    *((Opcode.FUNCTION, function) for function in Function),
    *((Opcode.NORM, function) for function in Norm),
    *((Opcode.REDUCE, function) for function in Reduce),
    *((Opcode.TAIL, function) for function in Tail),
    *((code, 0) for code in (Opcode.ROTARY, Opcode.TRANSPOSE, Opcode.ARGMAX, Opcode.SOFTMAX)),
)

#: Operations whose result may take the place of operand a.
IN_PLACE = (Opcode.ELEMENTWISE, Opcode.FUNCTION, Opcode.SOFTMAX)

#: Operands that are binary32 whatever the formats say.
WIDE = {Opcode.SOFTMAX: "a", Opcode.ARGMAX: "ao", Opcode.TAIL: "a"}

#: Bytes of every memory in which operands lie.
PLACES = 2048


def vector_operands(config, rng, opcode, function):
    """Return the fields of an instruction; its operands may overlap or leave their memories."""

    def pick(low, high):
        return int(rng.integers(low, high + 1))

    def tile_address(unit):
        place, space = unit * pick(0, PLACES // unit - 1), pick(-1, config.memory.channels - 1)
        return place if space < 0 else lane_tile_address(space, place)

    lanes = config.npu.lanes
    n, rows = lanes * pick(1, 4), 0 if rng.random() < 0.03 else pick(1, 5)
    fields = {"opcode": opcode, "function": function, "rows": rows, "n": n, "m": pick(1, 3)}
    if opcode is Opcode.TRANSPOSE:
        run = Schedule.of(config).run
        fields["rows"] = run * pick(1, 2)
        stride = 2 * run * pick(fields["rows"] // run, 4)
        a = {"a": tile_address(2 * lanes), "a_stride": 2 * lanes * pick(0, 12)}
        o = {
            "o": tile_address(2 * run),
            "o_stride": stride,
            "c_stride": stride * config.memory.banks,
        }
        return fields | a | o
    if opcode in (Opcode.SOFTMAX, Opcode.ARGMAX, Opcode.REDUCE):
        fields["n"] = pick(n - lanes + 1, n)
    formats = {name: pick(0, 1) for name in "abo"}
    fields |= {f"{name}_format": value for name, value in formats.items()}
    formats["c"] = formats["b"]
    for name, number in formats.items():
        wide = number == Format.BINARY32 or name in WIDE.get(opcode, "")
        unit = (4 if wide else 2) * lanes
        fields[name] = tile_address(unit)
        fields[f"{name}_stride"] = unit * pick(1 if name == "o" else 0, 12)
    if opcode is Opcode.TAIL:
        fields["b"] += 2 * pick(0, 2)
        fields["b_stride"] = 2 * pick(fields["m"], 9)
    if opcode in IN_PLACE and formats["o"] <= formats["a"] and rng.random() < 0.3:
        fields |= {"o": fields["a"], "o_stride": fields["a_stride"]}
    scale = np.float32(0.25 if opcode is Opcode.SOFTMAX else 1 / fields["n"])
    return fields | {"x": int(scale.view(np.uint32)), "y": 0x3727C5AC}  # y: 1e-5
