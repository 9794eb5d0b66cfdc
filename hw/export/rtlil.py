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
from hw.repeated import Modules, ports

__all__ = ["Port", "convert", "port_table"]


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a module: its name, its width in bits, and whether it is an output."""

    name: str
    width: int
    output: bool


def port_table(component: wiring.Component) -> list[Port]:
    """Return the ports that a component has as a module, clock and reset aside."""
    return [Port(name, len(value), output) for name, (value, output) in ports(component).items()]


class _ModuleEmitter(rtlil.ModuleEmitter):  # type: ignore[misc]  # not in amaranth-stubs
    """Leaves out contents of memories that are all zeros, which would be written bit by bit."""

    def emit_memory(self, cell_idx, cell):
        if any(cell.init):
            super().emit_memory(cell_idx, cell)


def convert(
    component: wiring.Component, name: str = "top", *, reset: bool = True, in_place: bool = False
) -> str:
    """Return a component as RTLIL, the same text for the same design.

    Equal modules are there once, and repeated parts are elaborated once
    (:func:`hw.repeated.repeated`). Places in the source files are left out, and so are
    initial contents of memories that are all zeros: C++ starts them so, and an SRAM does not know
    them.

    Parameters
    ----------
    component
        The component. It has one clock domain, ``sync``, or none.
    name
        Name of its module.
    reset
        Whether there is a port ``rst``; registers have initial values all the same.
    in_place
        Whether each repeated part is elaborated where it stands, so that what surrounds it may use
        signals inside of it.

    Raises
    ------
    ValueError
        If something uses a signal inside of a repeated part.
    """

    def emit(part: wiring.Component, fragment: Fragment, module: str) -> tuple[str, SignalDict]:
        return _emit(part, fragment, module, reset=reset, top=part is component)

    if in_place:
        return merge_modules(emit(component, Fragment.get(component, None), name)[0])
    return merge_modules(Modules(emit).rtlil(component, name))


def _emit(
    component: wiring.Component, fragment: Fragment, name: str, *, reset: bool, top: bool
) -> tuple[str, SignalDict]:
    """Return a component, elaborated, as RTLIL, and its signals; instances stay as they are."""
    table: dict[str, tuple[Value, PortDirection]] = {
        port: (value, PortDirection.Output if output else PortDirection.Input)
        for port, (value, output) in ports(component).items()
    }
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
            if top and index == 0:
                emitted.attribute("top", 1)
            _ModuleEmitter(emitted, netlist, module, SignalDict(), empty_checker=empty).emit()
    return str(builder), netlist.signals
