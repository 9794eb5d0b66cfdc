"""Parts of which a design has many: elaborated and converted once, instantiated everywhere."""

import functools
import re
from collections.abc import Callable

from amaranth.hdl import *
from amaranth.hdl._ast import SignalDict
from amaranth.hdl._ir import Fragment  # what Elaboratable.elaborate may return
from amaranth.lib import wiring

__all__ = ["Modules", "gated", "ports", "repeated"]

_PORT = re.compile(r"^  wire width \d+ (?:input|output) \d+ +\\(\S+)$", re.M)


def ports(component: wiring.Component) -> dict[str, tuple[Value, bool]]:
    """Return the members that become ports, by name, and whether each is an output.

    Constants, such as the ready of a stream that is always ready, do not.
    """
    found = {}
    for path, member, value in component.signature.flatten(component):
        value = Value.cast(value)
        if not isinstance(value, Const):
            found["__".join(map(str, path))] = (value, member.flow is wiring.Out)
    return found


def repeated(cls):
    """Class decorator: equal components of the class share one module in a conversion.

    Under Amaranth's simulator, which ignores instances without a word, and wherever else there is
    no conversion, nothing changes: the component is a plain submodule. In a conversion
    (:class:`Modules` is then the platform) the first component of a class and its arguments is
    elaborated and converted; it and all others become an ``Instance`` of that module.

    So a component of such a class

    - is made the same by the same arguments, which have hashes, and has clock domain ``sync`` only;
    - is used through the members of its signature alone: what it holds inside is there only once;
    - does not stand below an inserter of Amaranth, whose work ends at an instance: :func:`gated`
      takes its place.
    """
    construct, elaborate = cls.__init__, cls.elaborate

    @functools.wraps(construct)
    def __init__(self, *args, **kwargs):
        if type(self) is cls:
            self._made_by = (cls, args, tuple(sorted(kwargs.items())))
        construct(self, *args, **kwargs)

    @functools.wraps(elaborate)
    def elaborate_or_instantiate(self, platform):
        if type(self) is cls and isinstance(platform, Modules):
            return platform.place(self, elaborate)
        return elaborate(self, platform)

    cls.__init__ = __init__
    cls.elaborate = elaborate_or_instantiate
    return cls


class _InPlace(Elaboratable):
    """A component in which nothing becomes an instance."""

    def __init__(self, component: wiring.Component):
        self._component = component

    def elaborate(self, platform):
        return Fragment.get(self._component, None)


def gated(enable: Value, component: wiring.Component) -> Elaboratable:
    """Return a component whose registers, and those of all its parts, keep while not enabled."""
    return EnableInserter(enable)(_InPlace(component))


#: Converts a component and what it elaborated to, but for repeated parts, into the RTLIL of a
#: module of some name; returns that and all signals in it.
_Convert = Callable[[wiring.Component, Fragment, str], tuple[str, SignalDict]]


class Modules:
    """The platform of a conversion: the modules of repeated parts that it has converted so far.

    Parameters
    ----------
    convert
        What converts one module.
    """

    def __init__(self, convert: _Convert) -> None:
        self._convert = convert
        self._top: wiring.Component | None = None
        self._texts: list[str] = []
        self._modules: dict[object, tuple[str, set[str]]] = {}
        self._counts: dict[str, int] = {}
        self._inside = SignalDict()

    def rtlil(self, top: wiring.Component, name: str) -> str:
        """Return the RTLIL of a component, itself never an instance, and of all that it contains.

        Raises
        ------
        ValueError
            If something uses a signal inside of a repeated part.
        """
        self._top = top
        self._counts[name] = 1
        text = self._emit(top, Fragment.get(top, self), name)
        return "\n".join([text, *self._texts])

    def place(self, component, elaborate):
        """Return what stands for a component of a :func:`repeated` class."""
        if component is self._top:
            return elaborate(component, self)
        key = component._made_by
        if key in self._modules:
            _silence(component)
        else:
            name = self._name(type(component).__name__)
            text = self._emit(component, Fragment.get(elaborate(component, self), self), name)
            self._texts.append(text)
            self._modules[key] = name, set(_PORT.findall(text, text.index(f"module \\{name}\n")))
        name, used = self._modules[key]
        members = [
            ("o" if output else "i", port, value)
            for port, (value, output) in ports(component).items()
            if port in used
        ]
        clocks = [("i", "clk", ClockSignal()), ("i", "rst", ResetSignal())]
        return Instance(name, *members, *(port for port in clocks if port[1] in used))

    def _emit(self, component: wiring.Component, fragment: Fragment, name: str) -> str:
        text, signals = self._convert(component, fragment, name)
        own = SignalDict()
        for value, _output in ports(component).values():
            own[value] = None
        for signal in signals:
            if signal in self._inside:
                raise ValueError(
                    f"{signal.name} must be used by {self._inside[signal]} alone, which is "
                    f"repeated, not by {name}: convert in place, or make it a member"
                )
        for signal in signals:
            if signal not in own:
                self._inside[signal] = name
        return text

    def _name(self, kind: str) -> str:
        """Return a name that no other module has, after a class."""
        base = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower()
        count = self._counts[base] = self._counts.get(base, 0) + 1
        return base if count == 1 else f"{base}_{count}"


def _silence(component: Elaboratable) -> None:
    """Note that the parts of a component are used, so that Amaranth does not warn."""
    for value in vars(component).values():
        for part in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(part, Elaboratable):
                part._MustUse__used = True
                _silence(part)
