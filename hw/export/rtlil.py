"""A component as RTLIL, Yosys's text form of a netlist: what both Verilog and C++ are made from."""

import re
from dataclasses import dataclass

from amaranth.back import rtlil  # type: ignore[attr-defined]  # not in amaranth-stubs
from amaranth.hdl import *
from amaranth.hdl._ir import PortDirection  # as the back ends of amaranth do
from amaranth.lib import wiring

from hw.export.merge_modules import merge_modules

__all__ = ["Port", "convert", "port_table", "ports"]


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a module: its name, its width in bits, and whether it is an output."""

    name: str
    width: int
    output: bool


def ports(component: wiring.Component) -> dict[str, tuple[Value, PortDirection]]:
    """Return the members that become ports, by name.

    Constants, such as the ready of a stream that is always ready, do not.
    """
    found = {}
    for path, member, value in component.signature.flatten(component):
        value = Value.cast(value)
        if not isinstance(value, Const):
            direction = PortDirection.Input if member.flow is wiring.In else PortDirection.Output
            found["__".join(map(str, path))] = (value, direction)
    return found


def port_table(component: wiring.Component) -> list[Port]:
    """Return the ports that a component has as a module, clock and reset aside."""
    return [
        Port(name, len(value), direction is PortDirection.Output)
        for name, (value, direction) in ports(component).items()
    ]


#: A memory that starts as all zeros.
_ZERO_MEMORY = re.compile(
    r"^  cell \$meminit_v2 (?:(?!^  end$).)*?connect \\DATA \d+'0*\n.*?^  end\n", re.M | re.S
)


def convert(component: wiring.Component, name: str = "top") -> str:
    """Return a component as RTLIL, the same text for the same design.

    Equal modules are there once, places in the source files are left out, and so are initial
    contents of memories that are all zeros: C++ starts them so, and an SRAM does not know them.
    """
    text = rtlil.convert(component, name=name, ports=ports(component), emit_src=False)
    return merge_modules(_ZERO_MEMORY.sub("", text))
