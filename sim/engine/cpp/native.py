"""Expressions of CXXRTL as arithmetic of plain integers, wherever they are at most 64 bits wide.

CXXRTL computes values of any width by templates, with loops over chunks of 32 bits that a compiler
has to unroll and to see through, for every operation anew. Most signals are a few bits wide. Here
what is assigned is rewritten (:mod:`sim.engine.cpp.integers`); what is not known is left to CXXRTL.
"""

import re
from collections.abc import Mapping

from sim.engine.cpp.integers import (
    Part,
    Value,
    bits,
    choice,
    concatenation,
    cut,
    literal,
    operation,
    repetition,
)

__all__ = ["native"]

_STRUCT = re.compile(r"^struct (p_\w+) : public module \{\n(.*?)^\};?", re.M | re.S)
_FUNCTION = re.compile(
    r"^((?:void|bool) (p_\w+)::(?:eval|commit)(?:_\d+)?\(.*?\) \{\n)(.*?)^\}", re.M | re.S
)
_MEMBER = re.compile(r"^\t(?:/\*\w+\*/ )?(?:value|wire)<(\d+)> (\w+)[;{ ]", re.M)
_ASSIGNMENT = re.compile(r"^(\t+)((?:cell_\w+\.)?[pi]_\w+(?:\.next)?) = (.*);$", re.M)
_CONDITION = re.compile(r"^(\t+)if \((.*)\) \{$", re.M)
_COPY = re.compile(r"^\tconst auto (old_\w+) = (\w+);$", re.M)
_DIFFER = re.compile(r"\((old_\w+) != (\w+)\)")
_COMMIT = re.compile(r"\b(\w+)\.commit\(observer\)")
_LOCAL = re.compile(r"^\tvalue<(\d+)> (\w+);$", re.M)
_USE = re.compile(r"(load64\(|store64\()?(?<![\w.])([a-z]\w*)(\.data(?:\[0\]|\)|,))?")
_STORE = re.compile(r"^(\t+)store64\((\w+)\.data, (.*)\);$", re.M)
_LOAD_64 = re.compile(r"\bload64\((\w+)\.data\)")
_LOAD_32 = re.compile(r"(?<![\w.])(\w+)\.data\[0\]")
_TOKEN = re.compile(r"value<\d+>\{[^}]*\}|\w+<[\d,]+>|\w+|[().?:,]")

#: By whether it is wider than 32 bits, how a variable is used as a number: what stands before and
#: after its name.
_AS_NUMBER = (
    {("", ".data[0]")},
    {("load64(", ".data)"), ("store64(", ".data,")},
)


class _UnknownError(Exception):
    """There is something in an expression that is not known here."""


class _Parser:
    """Reads an expression; see :meth:`_Parser.expression`."""

    def __init__(self, text: str, widths: Mapping[str, int]) -> None:
        self.tokens = _TOKEN.findall(text)
        if "".join(self.tokens) != text.replace(" ", ""):
            raise _UnknownError
        self.at = 0
        self.widths = widths

    def next(self, expected: str = "") -> str:
        if self.at == len(self.tokens):
            raise _UnknownError
        token = self.tokens[self.at]
        self.at += 1
        if expected and token != expected:
            raise _UnknownError
        return token

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def expression(self) -> Value:
        """Read a value and the members that are called on it."""
        found = self._primary()
        while self.peek() == ".":
            self.next()
            found = self._member(found, self.next())
        return found

    def _primary(self) -> Value:
        token = self.next()
        if token == "(":
            return self._choice()
        if match := re.fullmatch(r"value<(\d+)>\{(.*)\}", token):
            chunks = [int(chunk.rstrip("u"), 0) for chunk in match[2].split(",")]
            return literal(int(match[1]), chunks, token)
        if match := re.fullmatch(r"(\w+)<(\d+)>", token):
            self.next("(")
            operands = [self.expression()]
            while self.peek() == ",":
                self.next()
                operands.append(self.expression())
            self.next(")")
            return operation(match[1], int(match[2]), operands)
        if token not in self.widths:
            raise _UnknownError
        if self.tokens[self.at : self.at + 2] == [".", "curr"]:
            self.at += 2
            token += ".curr"
        width = self.widths[token.removesuffix(".curr")]
        return bits(Part(token, 0, width, width, True), token)

    def _choice(self) -> Value:
        condition = self.expression()
        self.next("?")
        first = self.expression()
        self.next(":")
        second = self.expression()
        self.next(")")
        if first.width != second.width:
            raise _UnknownError
        return choice(condition, first, second)

    def _member(self, found: Value, token: str) -> Value:
        name, _, arguments = token.rstrip(">").partition("<")
        self.next("(")
        if name == "concat":
            below = self.expression()
            self.next(")")
            return concatenation(found, below)
        self.next(")")
        if name == "val":
            return Value(found.width, f"{found.text}.val()", found.number, found.parts)
        if name == "slice":
            high, _, low = arguments.partition(",")
            return cut(found, int(high), int(low or high), f"{found.text}.{token}()")
        if name == "repeat" and found.width == 1:
            return repetition(found, int(arguments), f"{found.text}.{token}()")
        raise _UnknownError


def _whole(text: str, widths: Mapping[str, int]) -> Value:
    """Return the value of a whole expression."""
    parser = _Parser(text, widths)
    found = parser.expression()
    if parser.at != len(parser.tokens):
        raise _UnknownError
    return found


def _assign(match: re.Match[str], widths: Mapping[str, int]) -> str:
    indent, target, text = match.groups()
    try:
        found = _whole(text, widths)
    except _UnknownError:
        return match[0]
    if not found.number:
        return f"{indent}{target} = {found.value()};"
    if found.width <= 32:
        return f"{indent}{target}.data[0] = {found.number};"
    return f"{indent}store64({target}.data, {found.number});"


def _test(match: re.Match[str], widths: Mapping[str, int]) -> str:
    indent, text = match.groups()
    try:
        found = _whole(text, widths)
    except _UnknownError:
        return match[0]
    return f"{indent}if ({found.number}) {{" if found.number else match[0]


def _size(name: str, widths: Mapping[str, int]) -> int:
    """Return the bits of the number that a variable or register fits in; 0 if there is none."""
    width = widths.get(name, 65)
    return 32 if width <= 32 else 64 if width <= 64 else 0


def _commit(match: re.Match[str], widths: Mapping[str, int]) -> str:
    name = match[1]
    size = _size(name, widths)
    return f"commit{size}({name}.curr.data, {name}.next.data)" if size else match[0]


def _committed(body: str, widths: Mapping[str, int]) -> str:
    """Return a function with comparisons of variables and registers to what they were."""

    def size(name: str) -> int:
        return _size(name, widths)

    def load(name: str) -> str:
        return f"{name}.data[0]" if size(name) == 32 else f"load64({name}.data)"

    def copy(match: re.Match[str]) -> str:
        old, name = match.groups()
        return f"\tconst uint{size(name)}_t {old} = {load(name)};" if size(name) else match[0]

    def differ(match: re.Match[str]) -> str:
        old, name = match.groups()
        return f"({old} != {load(name)})" if size(name) else match[0]

    body = _DIFFER.sub(differ, _COPY.sub(copy, body))
    return _COMMIT.sub(lambda m: _commit(m, widths), body)


def _plain(body: str) -> str:
    """Return a function with its own variables as numbers, if they are used as nothing else."""
    types = {name: int(width) for width, name in _LOCAL.findall(body) if int(width) <= 64}
    if not types:
        return body
    others = dict.fromkeys(types, -1)  # but the declaration
    for call, name, after in _USE.findall(body):
        if name in types and (call, after) not in _AS_NUMBER[types[name] > 32]:
            others[name] += 1

    def plain(name: str) -> bool:
        return others.get(name) == 0

    def declare(match: re.Match[str]) -> str:
        width, name = match.groups()
        return f"\tuint{32 if int(width) <= 32 else 64}_t {name};" if plain(name) else match[0]

    def store(match: re.Match[str]) -> str:
        indent, name, number = match.groups()
        return f"{indent}{name} = {number};" if plain(name) else match[0]

    def load(match: re.Match[str]) -> str:
        return match[1] if plain(match[1]) else match[0]

    body = _STORE.sub(store, _LOCAL.sub(declare, body))
    return _LOAD_32.sub(load, _LOAD_64.sub(load, body))


def native(code: str) -> str:
    """Return C++ of CXXRTL in which evaluations compute with plain integers where they can.

    ``native.h`` must be included before it.
    """
    members = {
        name: {member: int(width) for width, member in _MEMBER.findall(body)}
        for name, body in _STRUCT.findall(code)
    }

    def struct(match: re.Match[str]) -> str:
        return _COMMIT.sub(lambda m: _commit(m, members[match[1]]), match[0])

    def function(match: re.Match[str]) -> str:
        head, name, body = match.groups()
        widths = members[name] | {local: int(width) for width, local in _LOCAL.findall(body)}
        body = _ASSIGNMENT.sub(lambda m: _assign(m, widths), body)
        body = _CONDITION.sub(lambda m: _test(m, widths), body)
        return f"{head}{_plain(_committed(body, widths))}}}"

    return _FUNCTION.sub(function, _STRUCT.sub(struct, code))
