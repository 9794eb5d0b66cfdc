"""Remove the names that flattening leaves: signals are read where they are driven.

A flattened netlist has a wire for every signal of every module, and connections between them, which
would all be copied in every cycle. Yosys could merge them, but then parts of a wire that depend on
one another look like loops. So here a wire that is driven in parts becomes as many wires.
"""

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["resolve_aliases"]

_MODULE = re.compile(r"^module (\\\S+)\n(.*?)^end\n", re.M | re.S)
_TOKEN = re.compile(r"\{|\}|\[\d+(?::\d+)?\]|\d+'[01xz]*|\d+|[\\$]\S+")
_CONNECT = re.compile(r"    connect \\(\S+) (.*)")
_INIT = re.compile(r"(  attribute \\init )\d+'([01x]+)")


class _Part(NamedTuple):
    """Bits of a wire from `start` on, or a constant, whose bits are text, the highest first."""

    wire: str | None
    start: int
    width: int
    bits: str = ""

    def cut(self, start: int, width: int) -> "_Part":
        if self.wire is None:
            end = self.width - start
            return _Part(None, 0, width, self.bits[end - width : end])
        return _Part(self.wire, self.start + start, width)


#: A signal: its parts, the lowest bits first.
_Signal = list[_Part]


@dataclass(slots=True)
class _Wire:
    width: int
    attributes: list[str]
    port: str  # "input 3" for instance


@dataclass(slots=True)
class _Cell:
    head: list[str]  # attributes, kind and name, parameters
    inputs: dict[str, _Signal]
    outputs: dict[str, _Signal]


def _joined(parts: _Signal) -> _Signal:
    """Join parts that follow one another in a wire, and constants."""
    joined: _Signal = []
    for part in parts:
        last = joined[-1] if joined else None
        if last and last.wire == part.wire is None:
            bits = part.bits + last.bits
            joined[-1] = _Part(None, 0, len(bits), bits)
        elif last and last.wire == part.wire and last.start + last.width == part.start:
            joined[-1] = _Part(part.wire, last.start, last.width + part.width)
        else:
            joined.append(part)
    return joined


def _aligned(left: _Signal, right: _Signal) -> Iterator[tuple[_Part, _Part]]:
    """Cut two signals of the same width at the same places."""
    source = iter(right)
    part, at = next(source, None), 0
    for target in left:
        done = 0
        while done < target.width and part:
            width = min(target.width - done, part.width - at)
            yield target.cut(done, width), part.cut(at, width)
            done += width
            at += width
            if at == part.width:
                part, at = next(source, None), 0


def _start(source: tuple[int, _Part]) -> int:
    """Return the first bit of a wire that a source drives."""
    return source[0]


class _Netlist:
    """One module, as Yosys writes it after ``proc`` and ``flatten``."""

    def __init__(self, body: str) -> None:
        self.wires: dict[str, _Wire] = {}
        self.memories: list[str] = []
        self.cells: list[_Cell] = []
        self._sources: defaultdict[str, list[tuple[int, _Part]]] = defaultdict(list)
        self._resolved: dict[tuple[str, int, int], _Signal] = {}
        self._parse(body.splitlines())
        for sources in self._sources.values():
            sources.sort(key=_start)

    def _parse(self, lines: list[str]) -> None:
        attributes: list[str] = []
        connections = []
        rest = iter(lines)
        for line in rest:
            kind, _, content = line.strip().partition(" ")
            if kind == "attribute":
                attributes.append(line)
                continue
            if kind == "wire":
                *words, name = content.split()
                width = int(words.pop(words.index("width") + 1)) if "width" in words else 1
                port = " ".join(word for word in words if word != "width")
                self.wires[name] = _Wire(width, attributes, port)
            elif kind == "memory":
                self.memories += [*attributes, line]
            elif kind == "cell":
                self._parse_cell([*attributes, line], rest)
            elif kind == "connect":
                connections.append(content)
            attributes = []
        for content in connections:
            tokens = _TOKEN.findall(content)
            target, end = self._signal(tokens, 0)
            source, _ = self._signal(tokens, end)
            for part, driver in _aligned(target, source):
                assert part.wire is not None
                self._sources[part.wire].append((part.start, driver))

    def _parse_cell(self, head: list[str], rest: Iterator[str]) -> None:
        cell = _Cell(head, {}, {})
        kind = head[-1].split()[1]
        for line in rest:
            if line == "  end":
                break
            if connection := _CONNECT.match(line):
                port, content = connection.groups()
                output = port in ("Y", "Q") or (port == "DATA" and kind == "$memrd_v2")
                signals = cell.outputs if output and kind[0] == "$" else cell.inputs
                signals[port] = self._signal(_TOKEN.findall(content), 0)[0]
            else:
                cell.head.append(line)
        self.cells.append(cell)

    def _signal(self, tokens: list[str], at: int) -> tuple[_Signal, int]:
        """Read a signal from the token at `at` on; return it, and where the next one starts."""
        token = tokens[at]
        at += 1
        if token == "{":
            parts: list[_Signal] = []
            while tokens[at] != "}":
                signal, at = self._signal(tokens, at)
                parts.append(signal)
            return [part for signal in reversed(parts) for part in signal], at + 1
        if token[0] in "\\$":
            start, width = 0, self.wires[token].width
            if at < len(tokens) and tokens[at][0] == "[":
                high, _, low = tokens[at][1:-1].partition(":")
                start = int(low or high)
                width = int(high) - start + 1
                at += 1
            return [_Part(token, start, width)] if width else [], at
        if "'" in token:
            size, bits = token.split("'")
            fill = bits[0] if bits[:1] in ("x", "z") else "0"
            constant = bits.rjust(int(size), fill)
        else:
            constant = f"{int(token):032b}"
        return [_Part(None, 0, len(constant), constant)] if constant else [], at

    def _resolve_part(self, part: _Part) -> _Signal:
        """Return what drives a part of a wire; where nothing is connected to it, that is itself.

        Wires may take bits of each other, so only the bits asked for are followed.
        """
        assert part.wire is not None
        key = part.wire, part.start, part.width
        if key not in self._resolved:
            signal: _Signal = []
            at, end = part.start, part.start + part.width
            sources = self._sources[part.wire]
            for start, driver in sources[max(0, bisect_right(sources, at, key=_start) - 1) :]:
                if start >= end:
                    break
                first, last = max(start, at), min(start + driver.width, end)
                if first < last:
                    if first > at:
                        signal.append(_Part(part.wire, at, first - at))
                    signal += self._resolve([driver.cut(first - start, last - first)])
                    at = last
            if at < end:
                signal.append(_Part(part.wire, at, end - at))
            self._resolved[key] = _joined(signal)
        return self._resolved[key]

    def _resolve(self, signal: _Signal) -> _Signal:
        resolved = []
        for part in signal:
            if part.wire is None or part.wire not in self._sources:
                resolved.append(part)
            else:
                resolved += self._resolve_part(part)
        return _joined(resolved)

    def _pieces(self) -> dict[str, list[_Part]]:
        """Return the parts in which wires are driven that are not driven as a whole.

        Ports are not cut: outputs must remain registers where they are.
        """
        pieces: defaultdict[str, list[_Part]] = defaultdict(list)
        for cell in self.cells:
            for signal in cell.outputs.values():
                for part in signal:
                    wire = self.wires[str(part.wire)]
                    if part.width < wire.width and not wire.port:
                        pieces[str(part.wire)].append(part)
        return pieces

    def text(self) -> str:
        """Return the module's body without connections but those of its outputs."""
        pieces = self._pieces()
        used: dict[str, _Wire] = {n: w for n, w in self.wires.items() if w.port}

        def rename(signal: _Signal) -> str:
            words = []
            for part in reversed(signal):
                if part.wire is None:
                    words.append(f"{part.width}'{part.bits}")
                    continue
                for piece in reversed(pieces.get(part.wire, [_Part(part.wire, 0, 1 << 31)])):
                    first = max(part.start, piece.start)
                    last = min(part.start + part.width, piece.start + piece.width)
                    if first < last:
                        words.append(self._name(used, part.wire, piece, first, last))
            return words[0] if len(words) == 1 else f"{{ {' '.join(words)} }}"

        for parts in pieces.values():
            self._complete(parts)
        cells = []
        for cell in self.cells:
            cells += cell.head
            for port, signal in cell.inputs.items():
                cells.append(f"    connect \\{port} {rename(self._resolve(signal))}")
            cells += [f"    connect \\{port} {rename(s)}" for port, s in cell.outputs.items()]
            cells.append("  end")
        connections = [
            f"  connect {name} {rename(self._resolve_part(_Part(name, 0, wire.width)))}"
            for name, wire in self.wires.items()
            if wire.port.startswith("output") and (name in self._sources or name in pieces)
        ]
        wires = [
            line
            for name, wire in used.items()
            for line in (*wire.attributes, f"  wire width {wire.width} {wire.port} {name}")
        ]
        return "\n".join([*wires, *self.memories, *cells, *connections]) + "\n"

    def _complete(self, parts: list[_Part]) -> None:
        """Sort the parts of a wire, and add those that nothing drives."""
        parts.sort(key=lambda part: part.start)
        end = 0
        for part in [*parts, _Part(parts[0].wire, self.wires[str(parts[0].wire)].width, 0)]:
            if part.start > end:
                parts.append(_Part(part.wire, end, part.start - end))
            end = part.start + part.width
        parts.sort(key=lambda part: part.start)

    def _name(self, used: dict[str, _Wire], name: str, piece: _Part, first: int, last: int) -> str:
        """Return bits `first` to `last` of a wire as text, by the wire of their piece."""
        wire = self.wires[name]
        if piece.width < wire.width:
            attributes = []
            for line in wire.attributes:
                if init := _INIT.match(line):
                    end = wire.width - piece.start
                    line = f"{init[1]}{piece.width}'{init[2][end - piece.width : end]}"
                attributes.append(line)
            wire = _Wire(piece.width, attributes, "")
            name = f"{name}${piece.start}$"
        used.setdefault(name, wire)
        if last - first == wire.width:
            return name
        return f"{name} [{last - piece.start - 1}:{first - piece.start}]"


def resolve_aliases(rtlil: str) -> str:
    """Return a netlist without processes in which every signal is read where it is driven."""

    def module(match: re.Match[str]) -> str:
        return f"module {match[1]}\n{_Netlist(match[2]).text()}end\n"

    return _MODULE.sub(module, rtlil)
