"""Make structurally equal modules of a netlist one: Amaranth emits a module for every instance."""

import re
from dataclasses import dataclass

__all__ = ["merge_modules"]

_MODULE = re.compile(r"((?:^attribute [^\n]*\n)*)^module (\S+)\n(.*?)^end\n", re.M | re.S)
_WIRE = re.compile(r"((?:^  attribute [^\n]*\n)*)^  wire ([^\n]*?) *(\S+)\n\n?", re.M)
_CELL = re.compile(r"^  cell (\\\S+) (\S+)\n(.*?)^  end\n", re.M | re.S)
_CONNECT = re.compile(r"^(    connect )(\S+)", re.M)
_PARTIAL = re.compile(r"\\port\$\d+\$\d+(?=\s)")


@dataclass(slots=True)
class _Module:
    """A module's attributes, name and body, and the modules that it uses."""

    attributes: str
    name: str
    body: str
    children: list[str]


def _parse(text: str) -> dict[str, _Module]:
    """Split RTLIL, as Amaranth writes it, into modules by name."""
    modules = {}
    for attributes, name, body in _MODULE.findall(text):
        children = [kind for kind, _instance, _connections in _CELL.findall(body)]
        modules[name] = _Module(attributes, name, body, children)
    return modules


def _children_first(modules: dict[str, _Module]) -> list[_Module]:
    """Order modules so that each comes after those that it uses."""
    ordered: dict[str, _Module] = {}

    def visit(name: str) -> None:
        if name in modules and name not in ordered:
            for child in modules[name].children:
                visit(child)
            ordered[name] = modules[name]

    for name in modules:
        visit(name)
    return list(ordered.values())


def _rename_partial_ports(module: _Module, renamed: dict[str, dict[str, str]]) -> None:
    """Give ports that are parts of a signal numbers, in the order of their use in the module.

    Amaranth names them by numbers that count over the whole design. `renamed` has the new names of
    the ports of each module so far, and gets this module's.
    """

    def connect(match: re.Match[str]) -> str:
        kind, instance, connections = match.groups()
        names = renamed.get(kind, {})
        return (
            f"  cell {kind} {instance}\n"
            + _CONNECT.sub(lambda m: m[1] + names.get(m[2], m[2]), connections)
            + "  end\n"
        )

    body = _CELL.sub(connect, module.body)
    used = dict.fromkeys(_PARTIAL.findall(_WIRE.sub("", body)))
    names = renamed[module.name] = {name: f"\\port${i}" for i, name in enumerate(used)}
    module.body = _PARTIAL.sub(lambda match: names.get(match[0], match[0]), body)


def _sort_wires(body: str) -> str:
    """Put wires in the order of their names and number the ports so.

    Amaranth's own order follows what surrounds an instance.
    """
    lines = []
    ports = 0
    for attributes, kind, name in sorted(_WIRE.findall(body), key=lambda wire: wire[2]):
        words = kind.split()
        if words[-1].isdigit() and words[-2] in ("input", "output", "inout"):
            words[-1] = str(ports)
            ports += 1
        lines.append(f"{attributes}  wire {' '.join(words)} {name}\n")
    return "".join(lines) + "\n" + _WIRE.sub("", body).lstrip("\n")


def merge_modules(text: str) -> str:
    """Return RTLIL in which of equal modules the first, in order of instances, is kept.

    Two modules are equal if they differ in nothing but their own names and the order of their
    ports. Instances keep their names. Children come before the modules that use them.
    """
    first: dict[str, _Module] = {}  # by body
    kept: dict[str, str] = {}  # the module that now stands for one, by name
    renamed: dict[str, dict[str, str]] = {}  # its ports, by name

    def adapt(match: re.Match[str]) -> str:
        kind, instance, connections = match.groups()
        ordered = "".join(sorted(connections.splitlines(keepends=True)))
        return f"  cell {kept.get(kind, kind)} {instance}\n{ordered}  end\n"

    for module in _children_first(_parse(text)):
        _rename_partial_ports(module, renamed)
        if "attribute \\top 1" not in module.attributes:  # the top's ports keep their order
            module.body = _sort_wires(module.body)
        module.body = _CELL.sub(adapt, module.body)
        kept[module.name] = first.setdefault(module.attributes + module.body, module).name
    return "\n".join(f"{m.attributes}module {m.name}\n{m.body}end\n" for m in first.values())
