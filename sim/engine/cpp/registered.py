"""Which modules of a netlist are kept: those all of whose outputs are registers.

Flat, a design is one C++ function that takes long to compile, and its repeated parts thrash the
instruction cache. With all its hierarchy it is evaluated several times a cycle, since outputs that
depend on inputs cross modules. With modules kept where all their outputs are registers, and all
else flattened, one evaluation settles: the outputs of what is kept are known before it. What is
kept is one C++ class, however many instances there are.

An output counts as a register where one drives it and nothing comes in between: a register of the
module, or one that a kept instance inside hands out. A column of the systolic array hands on what
the last adder of its tree holds, so it is kept; what is around it reads the register of that adder.

CXXRTL does not know that. It reads an output after the evaluation of the module that has it, and
sees loops from there to the module's inputs. So each such output becomes an input of the module
around it, which stands for the register.
"""

import re
from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from sim.engine.cpp.nets import resolve_aliases

__all__ = ["CutModule", "cut_outputs", "keep", "load_outputs", "registered_modules"]

_TOP = r"\top"
_MODULE = re.compile(r"^module (\\\S+)\n(.*?)^end\n", re.M | re.S)
_CELL = re.compile(r"^  cell (\\\S+) (\\\S+)\n(.*?)^  end\n", re.M | re.S)
_OUTPUT = re.compile(r"^  wire (?:width (\d+) )?output \d+ (\\\S+)$", re.M)
_CONNECT = re.compile(r"    connect (\\\S+) (.*)\n")
_DRIVER = re.compile(r"^  connect (\\\S+) (\S+)\n", re.M)
_FLIP_FLOP = re.compile(r"^  cell \$\w*dff\w* .*\n(?:    .*\n)*?    connect \\Q (.*)\n", re.M)
_READ_PORT = re.compile(
    r"^  cell \$memrd_v2 .*\n(?:    .*\n)*?    parameter \\CLK_ENABLE (?:1'1|1)\n"
    r"(?:    .*\n)*?    connect \\DATA (.*)\n",
    re.M,
)
_SIGNAL = re.compile(r"([\\$]\S+)(?: \[(\d+)(?::(\d+))?\])?")


def _mangled(name: str) -> str:
    r"""Return the C++ name of a module or a wire.

    >>> _mangled(r"\top.bank_0")
    'p_top_2e_bank__0'
    """
    letters = (c if c.isalnum() else "__" if c == "_" else f"_{ord(c):x}_" for c in name[1:])
    return ("p_" if name[0] == "\\" else "i_") + "".join(letters)


@dataclass(slots=True)
class CutModule:
    """A module whose instances have lost their outputs.

    Attributes
    ----------
    outputs
        Widths of its own outputs.
    loads
        Inputs that stand for outputs of instances: of which instance, of which module, which one.
    registers
        For its outputs that are registers: the wire that the register drives, or one of `loads`.
    """

    outputs: dict[str, int]
    loads: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    registers: dict[str, str] = field(default_factory=dict)


def cut_outputs(rtlil: str) -> tuple[str, dict[str, CutModule]]:
    """Make the outputs of all instances inputs of the module around them.

    `rtlil` has no processes. Outputs that only hand on a register are outputs no more.

    Returns
    -------
    The netlist, in which every signal is read where it is driven, and its modules by name.
    """
    modules = {
        name: CutModule({port: int(width or 1) for width, port in _OUTPUT.findall(body)})
        for name, body in _MODULE.findall(rtlil)
    }
    cut = _MODULE.sub(lambda m: _cut_module(m[1], m[2], modules), rtlil)
    return _MODULE.sub(
        lambda m: _find_registers(m[1], m[2], modules), resolve_aliases(cut)
    ), modules


def _cut_module(name: str, body: str, modules: Mapping[str, CutModule]) -> str:
    """Return a module with inputs in place of the outputs of its instances."""
    wires: list[str] = []

    def cut_cell(cell: re.Match[str]) -> str:
        kind, instance, connections = cell.groups()
        inside, after = [], []
        for port, signal in _CONNECT.findall(connections):
            if port not in modules[kind].outputs:
                inside.append(f"    connect {port} {signal}\n")
                continue
            wire = f"{instance}.{port[1:]}.register"
            width = modules[kind].outputs[port]
            # Ports are numbered in any order; these come after all others.
            wires.append(f"  wire width {width} input {1_000_000 + len(wires)} {wire}\n")
            after.append(f"  connect {signal} {wire}\n")
            modules[name].loads[wire] = instance, kind, port
        return (
            f"  attribute \\keep 1\n  cell {kind} {instance}\n{''.join(inside)}  end\n"
            + "".join(after)
        )

    body = _CELL.sub(cut_cell, body)
    return f"module {name}\n{''.join(wires)}{body}end\n"


def _find_registers(name: str, body: str, modules: Mapping[str, CutModule]) -> str:
    """Note which outputs of a module are registers; return it without those that hand one on."""
    module = modules[name]
    registered: Counter[str] = Counter()  # bits of wires that registers drive
    for signal in (*_FLIP_FLOP.findall(body), *_READ_PORT.findall(body)):
        for wire, high, low in _SIGNAL.findall(signal):
            registered[wire] += int(high) - int(low or high) + 1 if high else 1 << 31
    drivers = dict(_DRIVER.findall(body))
    for output, width in module.outputs.items():
        driver = drivers.get(output, output)
        if driver in module.loads or registered[driver] >= width:
            module.registers[output] = driver
    if name == _TOP:
        return f"module {name}\n{body}end\n"
    handed = {output for output, driver in module.registers.items() if output != driver}
    body = _DRIVER.sub(lambda m: "" if m[1] in handed else m[0], body)
    output = re.compile(r"^  wire width (\d+) output \d+ (\S+)$", re.M)
    body = output.sub(lambda m: f"  wire width {m[1]} {m[2]}" if m[2] in handed else m[0], body)
    return f"module {name}\n{body}end\n"


def registered_modules(modules: Mapping[str, CutModule]) -> set[str]:
    """Return the names of the modules all of whose outputs are registers.

    `modules` are those of the whole hierarchy, none flattened (:func:`cut_outputs`).
    """
    kept = {name for name, m in modules.items() if m.registers.keys() == m.outputs.keys()}
    while lost := {name for name in kept if not _inside(modules[name]) <= kept}:
        kept -= lost
    return kept


def _inside(module: CutModule) -> set[str]:
    """Return the modules of those instances whose registers a module hands on."""
    handed = module.loads.keys() & module.registers.values()
    return {module.loads[wire][1] for wire in handed}


def keep(rtlil: str, modules: Set[str]) -> str:
    """Mark modules, by their names, as those that are not to be flattened."""

    def mark(match: re.Match[str]) -> str:
        attribute = "attribute \\keep_hierarchy 1\n" if match[1] in modules else ""
        return attribute + match[0]

    return re.sub(r"^module (\\\S+)$", mark, rtlil, flags=re.M)


def _register(modules: Mapping[str, CutModule], kind: str, output: str) -> str:
    """Return where in the C++ object of a module the register is that an output is."""
    driver = modules[kind].registers[output]
    if driver not in modules[kind].loads:
        return _mangled(driver)
    instance, inside, port = modules[kind].loads[driver]
    return f"cell_{_mangled(instance)}.{_register(modules, inside, port)}"


def load_outputs(code: str, modules: Mapping[str, CutModule]) -> str:
    """Return the C++ of a netlist of :func:`cut_outputs`; evaluations read what was cut off."""
    for name, module in modules.items():
        head = f"bool {_mangled(name)}::eval(performer *performer) {{\n"
        loads = [
            f"\tconst auto &{_mangled(wire)} = "
            f"cell_{_mangled(instance)}.{_register(modules, kind, port)}.curr;\n"
            for wire, (instance, kind, port) in module.loads.items()
        ]
        code = code.replace(head, head + "".join(loads), 1)
    return code
