"""A memory channel under the compiled engine: arrays of requests in, logs out."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hw.config import Config
from hw.controller.controller import accept_layout
from hw.memory_channel import MemoryChannel
from hw.protocol.commands import bus_layout, pim_layout, request_layout
from sim.engine.bit_fields import field_of, pack_fields
from sim.engine.cxxrtl import CompiledDesign
from sim.trace.command_trace import ACCEPT, RECORD

__all__ = ["TAG_BITS", "ChannelLog", "CompiledChannel", "pim_dtype", "request_dtype"]

#: Bits of a tag: far more than requests can be under way (chosen).
TAG_BITS = 16

#: Seconds of one call into the compiled code, so that Ctrl-C is prompt (chosen).
_SLICE = 0.2

#: Cycles without any answer or acceptance after which a channel has hung (chosen: ten refresh
#: intervals of ``paper``).
_HUNG = 40_000

_PACE = [("earliest", np.uint64), ("gap", np.uint32)]


def request_dtype(config: Config) -> np.dtype:
    """Return the type of an ordinary request.

    ``kind`` (:class:`hw.protocol.commands.Request`), ``bank``, ``row``, ``column`` (even) and
    ``data``, the bytes of a burst. It is offered from cycle ``earliest`` on, and not sooner than
    ``gap`` cycles after the one before it was accepted.
    """
    return np.dtype(
        [
            ("kind", np.uint8),
            ("bank", np.uint16),
            ("row", np.uint32),
            ("column", np.uint16),
            ("tag", np.uint32),
            ("data", np.uint8, (config.memory.burst_bytes,)),
            *_PACE,
        ]
    )


def pim_dtype(config: Config) -> np.dtype:
    """Return the type of a PIM operation: the fields of ``pim_layout``, and the pace as above."""
    names = [name for name in pim_layout(config).members if name != "data"]
    data = ("data", np.uint8, (config.memory.burst_bytes,))
    return np.dtype([*((name, np.uint32) for name in names), data, *_PACE])


@dataclass(frozen=True, slots=True)
class ChannelLog:
    """What a channel did in one run; times are cycles since reset.

    Attributes
    ----------
    trace
        Commands and acceptances, records of :data:`sim.trace.command_trace.RECORD`.
    entered, pim_entered
        When each request and each PIM operation went into its port.
    answered
        When each request was answered, -1 if it was not (``int64[requests]``).
    read_data
        What each read returned, zeros for writes (``uint8[requests, burst_bytes]``).
    results, result_times
        Bursts of results (``uint8[bursts, burst_bytes]``), and when they came.
    first_cycle, cycles
        The cycle in which the run began, and how many it took.
    """

    trace: np.ndarray
    entered: np.ndarray
    pim_entered: np.ndarray
    answered: np.ndarray
    read_data: np.ndarray
    results: np.ndarray
    result_times: np.ndarray
    first_cycle: int
    cycles: int


class _Source(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("payload", "valid", "ready")),
        ("words", ctypes.c_uint32),
        *((name, ctypes.c_void_p) for name in ("items", "earliest", "gap")),
        *((name, ctypes.c_uint64) for name in ("count", "taken")),
        ("times", ctypes.c_void_p),
        *((name, ctypes.c_uint64) for name in ("free", "loaded")),
    )


class _Probe(ctypes.Structure):
    _fields_ = (
        ("condition", ctypes.c_void_p),
        *((name, ctypes.c_uint32) for name in ("bit", "width")),
        ("port", ctypes.c_void_p),
        *((name, ctypes.c_uint32) for name in ("words", "wakes")),
        ("notes", ctypes.c_void_p),
    )


class _Session(ctypes.Structure):
    _fields_ = (
        ("sources", ctypes.c_uint32),
        ("source", ctypes.POINTER(_Source)),
        ("probes", ctypes.c_uint32),
        ("probe", ctypes.POINTER(_Probe)),
        ("idle", ctypes.c_void_p),
        *(
            (name, ctypes.c_uint64)
            for name in ("cycle", "end", "quiet", "limit", "last_busy", "last_event")
        ),
        ("state", ctypes.c_uint32),
    )


class CompiledChannel:
    """A controller with its PIM channel, compiled; cells take room only where they are written.

    Parameters
    ----------
    config
        Sizes and timing; ``channels`` does not matter.
    announce
        Called with a line of text before a compilation.

    Raises
    ------
    CompilerNotFoundError, CompileError
        If the design cannot be compiled.
    """

    def __init__(self, config: Config, announce: Callable[[str], None] | None = None) -> None:
        self.config = config
        self._design = CompiledDesign(
            MemoryChannel, config, TAG_BITS, driver="stream_driver.cc", announce=announce
        )
        library, handle = self._design.library, ctypes.c_void_p
        library.notes_create.restype = handle
        library.notes_data.restype = handle
        library.notes_words.restype = ctypes.c_uint64
        for function in ("notes_destroy", "notes_data", "notes_words"):
            getattr(library, function).argtypes = [handle]
        library.session_run.argtypes = [handle, ctypes.POINTER(_Session), ctypes.c_double]

    @property
    def cycles(self) -> int:
        """Cycles since reset."""
        return self._design.cycles

    def reset(self) -> None:
        """Start again from power-up, with cells of zeros."""
        self._design.reset()

    def cells(self, bank: int) -> np.ndarray:
        """Return the cells of a bank, ``uint8[rows, row_bytes]``; writes go into the design."""
        words = self._design.memory(f"die.bank_{bank}.cells.cells")
        return (
            words.reshape(-1)
            .view(np.uint8)
            .reshape(self.config.memory.rows, self.config.memory.row_bytes)
        )

    def run(
        self,
        requests: np.ndarray | None = None,
        pim: np.ndarray | None = None,
        cycles: int | None = None,
    ) -> ChannelLog:
        """Run some cycles, or until everything is done.

        Parameters
        ----------
        requests
            Of type :func:`request_dtype`; tags are given here.
        pim
            Of type :func:`pim_dtype`.
        cycles
            How many to run; else until nothing is left to do.

        Raises
        ------
        ValueError
            If a value is too large for its field, or a bank group is not there.
        RuntimeError
            If the channel hangs, or answers a request twice or never.
        """
        config = self.config
        requests = np.zeros(0, request_dtype(config)) if requests is None else requests.copy()
        pim = np.zeros(0, pim_dtype(config)) if pim is None else pim
        if (
            len(pim) and int(pim["group"].max()) >= config.memory.groups
        ):  # would never be closed again
            raise ValueError(
                f"group must be below {config.memory.groups}, not {int(pim['group'].max())}"
            )
        requests["tag"] = np.arange(len(requests)) % (1 << TAG_BITS)
        first = self._design.cycles
        streams = [
            _Stream(self._design, "i_requests", request_layout(config, TAG_BITS), requests, first),
            _Stream(self._design, "i_pim", pim_layout(config), pim, first),
        ]
        probes = _Probes(self._design, config)
        session = _Session(
            sources=len(streams),
            source=(_Source * len(streams))(*(stream.source for stream in streams)),
            probes=len(probes.entries),
            probe=(_Probe * len(probes.entries))(*probes.entries),
            idle=self._design.words("o_idle").ctypes.data,
            cycle=first,
            end=2**63 if cycles is None else first + cycles,
            quiet=2**63 if cycles is not None else 4,
            limit=_HUNG,
            last_busy=first,
            last_event=first,
        )
        try:
            while not session.state:
                self._design.library.session_run(self._design.handle, ctypes.byref(session), _SLICE)
            self._design.cycles = session.cycle
            notes = probes.notes()
        finally:
            probes.close()
        if session.state == 2:
            raise RuntimeError(
                f"no progress in {_HUNG} cycles before cycle {session.cycle}: "
                f"{session.source[0].taken} of {len(requests)} requests and "
                f"{session.source[1].taken} of {len(pim)} PIM operations went in"
            )
        answered, data = self._answers(requests, session.source[0].taken, notes, cycles is None)
        return ChannelLog(
            trace=_trace(config, notes["command"], notes["accept"]),
            entered=streams[0].times,
            pim_entered=streams[1].times,
            answered=answered,
            read_data=data,
            results=_bytes(notes["o_results"][1]),
            result_times=notes["o_results"][0],
            first_cycle=first,
            cycles=session.cycle - first,
        )

    def _answers(
        self, requests: np.ndarray, entered: int, notes: dict[str, tuple], complete: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Give each request the answer with its tag; check that there is exactly one."""
        answered = np.full(len(requests), -1, np.int64)
        data = np.zeros((len(requests), self.config.memory.burst_bytes), np.uint8)
        for kind, name in enumerate(("o_reads", "o_writes")):
            times, words = notes[name]
            tags = field_of(words, 0, TAG_BITS)
            asked = np.flatnonzero(requests["kind"][:entered] == kind)
            # Requests of one tag are answered in order: few are under way, tags are many.
            by_tag = asked[np.argsort(requests["tag"][asked], kind="stable")]
            order = np.argsort(tags, kind="stable")
            given, wanted = tags[order], requests["tag"][by_tag]
            if not complete:
                given, by_tag, order = _first_of_each(given, wanted, by_tag, order)
                wanted = requests["tag"][by_tag]
            if not np.array_equal(given, wanted):
                raise RuntimeError(f"{name} must hold one answer to each request")
            answered[by_tag] = times[order]
            if kind == 0 and len(order):
                found = field_of(words, TAG_BITS, 8 * self.config.memory.burst_bytes)
                data[by_tag] = _wide(found)[order]
        return answered, data


def _first_of_each(
    given: np.ndarray, wanted: np.ndarray, by_tag: np.ndarray, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Leave out requests that still wait: the last of their tag."""
    have = np.bincount(given.astype(np.int64), minlength=1 << TAG_BITS)
    place = np.arange(len(wanted)) - np.searchsorted(wanted, wanted)
    return given, by_tag[place < have[wanted]], order


class _Stream:
    """An input stream, bound to arrays that live as long as it does."""

    def __init__(self, design: CompiledDesign, name: str, layout, items: np.ndarray, first: int):
        self._words = np.ascontiguousarray(pack_fields(layout, items))
        self._earliest = np.ascontiguousarray(items["earliest"])
        self._gap = np.ascontiguousarray(items["gap"])
        self.times = np.full(len(items), -1, np.int64)
        port = {part: design.words(f"{name}__{part}") for part in ("payload", "valid", "ready")}
        assert port["payload"].size == self._words.shape[1]
        self.source = _Source(
            **{part: words.ctypes.data for part, words in port.items()},
            words=self._words.shape[1],
            items=self._words.ctypes.data,
            earliest=self._earliest.ctypes.data,
            gap=self._gap.ctypes.data,
            count=len(items),
            times=self.times.ctypes.data,
            free=first + int(self._gap[0]) if len(items) else 0,
        )


class _Probes:
    """Outputs whose values are noted whenever they mean something."""

    def __init__(self, design: CompiledDesign, config: Config):
        self._library = design.library
        self._names: list[str] = []
        self.entries: list[_Probe] = []
        bus, accept = bus_layout(config), accept_layout(config, TAG_BITS)
        for name, layout, condition in (
            ("command", bus, "command"),
            ("accept", accept, "valid"),
        ):
            field = layout[condition]
            width = 1 if condition == "valid" else 4
            assert field.offset + width <= 32
            words = design.words(name)
            self._add(name, words, field.offset, width, words, name == "accept")
        for name in ("o_reads", "o_writes", "o_results"):
            payload = design.words(f"{name}__payload")
            self._add(name, design.words(f"{name}__valid"), 0, 1, payload, True)

    def _add(
        self,
        name: str,
        condition: np.ndarray,
        bit: int,
        width: int,
        port: np.ndarray,
        wakes: bool,
    ) -> None:
        notes = self._library.notes_create()
        self._names.append(name)
        self.entries.append(
            _Probe(
                *(condition.ctypes.data, bit, width, port.ctypes.data, port.size, wakes),
                notes=notes,
            )
        )

    def notes(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return for each output the cycles and the words that were noted."""
        found = {}
        for name, probe in zip(self._names, self.entries, strict=True):
            count, width = self._library.notes_words(probe.notes), probe.words + 2
            data = self._library.notes_data(probe.notes)
            content = ctypes.string_at(data, 4 * count) if count else b""
            table = np.frombuffer(content, "<u4").reshape(-1, width)
            cycles = np.ascontiguousarray(table[:, :2]).view("<u8").reshape(-1)
            found[name] = (cycles.astype(np.int64), table[:, 2:])
        return found

    def close(self) -> None:
        for probe in self.entries:
            self._library.notes_destroy(probe.notes)


def _bytes(words: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(words).view(np.uint8)


def _wide(field: np.ndarray) -> np.ndarray:
    """Return a field of whole bytes, as bytes."""
    if field.ndim == 1:
        field = np.ascontiguousarray(field).reshape(-1, 1)
    return _bytes(field)


def _trace(config: Config, commands: tuple, accepts: tuple) -> np.ndarray:
    """Return commands and acceptances as a trace; in one cycle, acceptance comes first."""
    parts = []
    for layout, (times, words), is_accept in (
        (accept_layout(config, TAG_BITS), accepts, True),
        (bus_layout(config), commands, False),
    ):
        part = np.zeros(len(times), RECORD)
        part["cycle"] = times
        for name, field in layout:
            if name in (RECORD.names or ()):
                width = 4 if name == "command" else field.width
                part[name] = field_of(words, field.offset, width)
        if is_accept:
            part["command"] = ACCEPT
        parts.append(part)
    trace = np.concatenate(parts)
    return trace[np.argsort(trace["cycle"], kind="stable")]
