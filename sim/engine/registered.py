"""Which modules of a netlist are kept: those all of whose outputs are registers.

Flat, a design is one C++ function that takes long to compile, and its repeated parts thrash the
instruction cache. With all its hierarchy it is evaluated several times a cycle, since outputs that
depend on inputs cross modules. With modules kept where all their outputs are registers, and all
else flattened, one evaluation settles: the outputs of what is kept are known before it.

CXXRTL does not know that. It reads an output after the evaluation of the module that has it, and
sees loops from there to the module's inputs. So each such output becomes an input of the module
around it, which is loaded when its evaluation starts.
"""

import re

__all__ = ["cut_outputs", "keep", "load_outputs", "registered_modules"]

_MODULE = re.compile(r"^module (\\\S+)\n(.*?)^end\n", re.M | re.S)
_CELL = re.compile(r"^  cell (\\\S+) (\\\S+)\n(.*?)^  end\n", re.M | re.S)
_OUTPUT = re.compile(r"^  wire (?:width (\d+) )?output \d+ (\\\S+)$", re.M)
_CONNECT = re.compile(r"    connect (\\\S+) (.*)\n")


def _mangled(name: str) -> str:
    r"""Return the C++ name of a module or a wire.

    >>> _mangled(r"\top.bank_0")
    'p_top_2e_bank__0'
    """
    letters = (c if c.isalnum() else "__" if c == "_" else f"_{ord(c):x}_" for c in name[1:])
    return "p_" + "".join(letters)


def registered_modules(code: str) -> set[str]:
    """Return the C++ names of the modules all of whose outputs are registers.

    `code` is the C++ of the whole hierarchy (``write_cxxrtl -g2 -noflatten``).
    """
    found = set()
    for name, body in re.findall(r"^void (\w+)::debug_info\((.*?)^}", code, re.M | re.S):
        if not re.search(r"debug_item::OUTPUT\|.*DRIVEN_COMB", body):
            found.add(name)
    return found


def keep(rtlil: str, modules: set[str]) -> str:
    """Mark modules, by their C++ names, as those that are not to be flattened."""

    def mark(match: re.Match[str]) -> str:
        attribute = "attribute \\keep_hierarchy 1\n" if _mangled(match[1]) in modules else ""
        return attribute + match[0]

    return re.sub(r"^module (\\\S+)$", mark, rtlil, flags=re.M)


def cut_outputs(rtlil: str) -> tuple[str, dict[str, list[str]]]:
    """Make the outputs of all instances inputs of the module around them.

    Returns
    -------
    str
        The netlist.
    dict[str, list[str]]
        By C++ name of a module, the C++ statements that load these inputs.
    """
    outputs = {
        name: {port: int(width or 1) for width, port in _OUTPUT.findall(body)}
        for name, body in _MODULE.findall(rtlil)
    }
    loads: dict[str, list[str]] = {}

    def cut_module(module: re.Match[str]) -> str:
        wires: list[str] = []
        statements = loads.setdefault(_mangled(module[1]), [])

        def cut_cell(cell: re.Match[str]) -> str:
            kind, instance, connections = cell.groups()
            inside, after = [], []
            for port, signal in _CONNECT.findall(connections):
                if port not in outputs[kind]:
                    inside.append(f"    connect {port} {signal}\n")
                    continue
                wire = f"{instance}.{port[1:]}.register"
                width = outputs[kind][port]
                # Ports are numbered in any order; these come after all others.
                wires.append(f"  wire width {width} input {1_000_000 + len(wires)} {wire}\n")
                after.append(f"  connect {signal} {wire}\n")
                source = f"cell_{_mangled(instance)}.{_mangled(port)}.curr"
                statements.append(f"\t{_mangled(wire)} = {source};\n")
            return (
                f"  attribute \\keep 1\n  cell {kind} {instance}\n{''.join(inside)}  end\n"
                + "".join(after)
            )

        body = _CELL.sub(cut_cell, module[2])
        return f"module {module[1]}\n{''.join(wires)}{body}end\n"

    return _MODULE.sub(cut_module, rtlil), loads


def load_outputs(code: str, loads: dict[str, list[str]]) -> str:
    """Add the statements of :func:`cut_outputs` to the C++ of the netlist that it returned."""
    for name, statements in loads.items():
        head = f"bool {name}::eval(performer *performer) {{\n"
        code = code.replace(head, head + "".join(statements), 1)
    return code
