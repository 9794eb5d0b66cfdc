"""A component as RTLIL, Yosys's text form of a netlist: what both Verilog and C++ are made from."""

from dataclasses import dataclass

from amaranth.back import rtlil  # type: ignore[attr-defined]  # not in amaranth-stubs
from amaranth.hdl import *
from amaranth.hdl._ast import SignalDict
from amaranth.hdl._ir import (  # as the back ends of amaranth do
    Fragment,
    PortDirection,
    build_netlist,
)
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


class _ModuleEmitter(rtlil.ModuleEmitter):  # type: ignore[misc]  # not in amaranth-stubs
    """Leaves out contents of memories that are all zeros, which would be written bit by bit."""

    def emit_memory(self, cell_idx, cell):
        if any(cell.init):
            super().emit_memory(cell_idx, cell)


def convert(component: wiring.Component, name: str = "top", *, reset: bool = True) -> str:
    """Return a component as RTLIL, the same text for the same design.

    Equal modules are there once, places in the source files are left out, and so are initial
    contents of memories that are all zeros: C++ starts them so, and an SRAM does not know them.

    Parameters
    ----------
    component
        The component. It has one clock domain, ``sync``, or none.
    name
        Name of its module.
    reset
        Whether there is a port ``rst``; registers have initial values all the same.
    """
    fragment = Fragment.get(component, None)
    table: dict[str, tuple[Value, PortDirection]] = ports(component)
    if not reset:
        domain = ClockDomain("sync", reset_less=True)
        fragment.add_domains(domain)
        table["clk"] = (domain.clk, PortDirection.Input)
    netlist = build_netlist(fragment, ports=table, name=name)
    empty = rtlil.EmptyModuleChecker(netlist)
    builder = rtlil.Design(emit_src=False)
    for index, module in enumerate(netlist.modules):
        if not empty.is_empty(index):
            emitted = builder.module(".".join(module.name))
            if index == 0:
                emitted.attribute("top", 1)
            _ModuleEmitter(emitted, netlist, module, SignalDict(), empty_checker=empty).emit()
    return merge_modules(str(builder))
