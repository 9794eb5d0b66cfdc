"""Values of CXXRTL as plain integers: how each is read, put together and computed with.

A value of at most 64 bits is a ``uint32_t`` or, where it is wider than 32, a ``uint64_t``, bits
above its width zero. A wider one is left to CXXRTL, but put together of chunks of 32 bits where it
is a concatenation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

__all__ = [
    "Part",
    "Value",
    "bits",
    "choice",
    "concatenation",
    "cut",
    "literal",
    "operation",
    "repetition",
]

#: C++ operators of comparisons.
_COMPARE = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}

#: C++ operators of what is computed bit by bit or modulo a power of two.
_COMPUTE = {"and": "&", "or": "|", "xor": "^", "add": "+", "sub": "-", "mul": "*"}

#: Characters up to which a number is repeated for the chunks that it reaches into (chosen).
_SHORT = 200


def _number(value: int, width: int) -> str:
    return f"{value:#x}u" if width <= 32 else f"UINT64_C({value:#x})"


def _masked(code: str, width: int) -> str:
    """Return code without the bits from `width` on."""
    if width in (32, 64):
        return code
    return f"({code} & {_number((1 << width) - 1, width)})"


@dataclass(frozen=True, slots=True)
class Part:
    """Bits of a concatenation: of a number, or of a signal, from `low` on."""

    code: str
    low: int
    width: int
    source: int  # width of the number or signal
    signal: bool = False

    def chunk(self, start: int, width: int) -> str:
        """Return up to 32 bits from `start` on, as ``uint32_t``."""
        low = self.low + start
        if not self.signal:
            code = f"({self.code} >> {low})" if low else self.code
            if self.source > 32:
                code = f"uint32_t({code})"
            return code if low + width == self.source else _masked(code, width)
        index, shift = divmod(low, 32)
        code = f"{self.code}.data[{index}]"
        if shift:
            code = f"({code} >> {shift})"
        if shift + width > 32:
            code = f"({code} | {self.code}.data[{index + 1}] << {32 - shift})"
        return code if low + width == self.source else _masked(code, width)


@dataclass(frozen=True, slots=True)
class Value:
    """An expression.

    Attributes
    ----------
    text
        As CXXRTL has it.
    number
        As ``uint32_t`` or, where it is wider than that, ``uint64_t``; empty where it is neither.
    parts
        As a concatenation, lowest first, if it is one, a signal, or bits of a signal.
    """

    width: int
    text: str
    number: str = ""
    parts: tuple[Part, ...] = ()

    def cast(self, width: int) -> str:
        """Return it as the type of numbers of `width` bits."""
        if (self.width <= 32) == (width <= 32):
            return self.number
        return f"uint{32 if width <= 32 else 64}_t({self.number})"

    def signed(self) -> str:
        """Return it as a number with sign."""
        size = 32 if self.width <= 32 else 64
        shift = size - self.width
        if not shift:
            return f"int{size}_t({self.number})"
        return f"(int{size}_t({self.number} << {shift}) >> {shift})"

    def value(self) -> str:
        """Return it as ``value<width>``."""
        whole = len(self.parts) == 1 and self.parts[0].source == self.width
        if self.number or whole or not self.parts:
            return self.text
        if any(not part.signal and len(part.code) > _SHORT for part in self.parts):
            return self.text
        chunks: list[list[str]] = [[] for _ in range(-(-self.width // 32))]
        position = 0
        for part in self.parts:
            done = 0
            while done < part.width:
                index, shift = divmod(position, 32)
                width = min(32 - shift, part.width - done)
                code = part.chunk(done, width)
                chunks[index].append(f"{code} << {shift}" if shift else code)
                done += width
                position += width
        return f"value<{self.width}>{{{', '.join(' | '.join(chunk) for chunk in chunks)}}}"


def _of_number(width: int, text: str, number: str) -> Value:
    return Value(width, text, number, (Part(number, 0, width, width),))


def _of_text(width: int, text: str, code: str) -> Value:
    """Return a value that CXXRTL has computed by `code`."""
    if width <= 32:
        return _of_number(width, text, f"{code}.data[0]")
    if width <= 64:
        return _of_number(width, text, f"load64({code}.data)")
    return Value(width, code)


def bits(part: Part, text: str) -> Value:
    """Return bits of a signal."""
    name, low, width = part.code, part.low, part.width
    if width <= 32:
        return Value(width, text, part.chunk(0, width), (part,))
    if width <= 64:
        number = f"({part.chunk(0, 32)} | uint64_t({part.chunk(32, width - 32)}) << 32)"
        if low == 0 and width in (64, part.source):
            number = f"load64({name}.data)"
        return Value(width, text, number, (part,))
    return Value(width, text, "", (part,))


def concatenation(above: Value, below: Value) -> Value:
    """Return two values, one above the other."""
    width = above.width + below.width
    text = f"{above.text}.concat({below.text})"
    parts = (*below.parts, *above.parts) if below.parts and above.parts else ()
    if width > 64 or not above.number or not below.number:
        return Value(width, text, "", parts)
    number = f"({above.cast(width)} << {below.width} | {below.number})"
    return Value(width, text, number, parts)


def cut(found: Value, high: int, low: int, text: str) -> Value:
    """Return bits `low` to `high` of a value."""
    width = high - low + 1
    if len(found.parts) == 1 and found.parts[0].signal:
        part = found.parts[0]
        return bits(replace(part, low=part.low + low, width=width), text)
    if found.number:
        number = f"({found.number} >> {low})" if low else found.number
        if found.width > 32 >= width:
            number = f"uint32_t({number})"
        if high < found.width - 1:
            number = _masked(number, width)
        return _of_number(width, text, number)
    return _of_text(width, text, f"{found.text}.slice<{high},{low}>().val()")


def repetition(found: Value, count: int, text: str) -> Value:
    """Return a value of one bit, repeated."""
    if count <= 64:
        zero = "0u" if count <= 32 else "uint64_t(0)"
        return _of_number(count, text, _masked(f"({zero} - {found.number})", count))
    sizes = [min(32, count - start) for start in range(0, count, 32)]
    parts = [Part(_masked(f"(0u - {found.number})", size), 0, size, size) for size in sizes]
    return Value(count, text, "", tuple(parts))


def operation(name: str, width: int, operands: Sequence[Value]) -> Value:
    """Return the value of a function of CXXRTL."""
    text = f"{name}<{width}>({', '.join(o.text for o in operands)})"
    if width <= 64 and all(o.number for o in operands):
        kind, _, signs = name.rpartition("_")
        if name in _UNARY:
            return _of_number(width, text, _UNARY[name](operands[0], width))
        if kind in _COMPARE and signs == "uu":
            a, b = operands
            return _of_number(width, text, f"uint32_t({a.number} {_COMPARE[kind]} {b.number})")
        if kind in _COMPARE and signs == "ss":
            a, b = operands
            code = f"uint32_t({a.signed()} {_COMPARE[kind]} {b.signed()})"
            return _of_number(width, text, code)
        if kind in _COMPUTE and signs in ("uu", "ss"):
            return _of_number(width, text, _compute(_COMPUTE[kind], width, operands, signs))
        if name in ("shl_uu", "shr_uu", "shift_uu"):
            return _of_number(width, text, _shift(name == "shl_uu", width, operands))
    return _of_text(width, text, f"{name}<{width}>({', '.join(o.value() for o in operands)})")


def _compute(operator: str, width: int, operands: Sequence[Value], signs: str) -> str:
    a, b = operands
    size = 32 if width <= 32 else 64
    if signs == "ss":
        left, right = (f"uint{size}_t({o.signed()})" for o in operands)
    else:
        left, right = (o.cast(width) for o in operands)
    needed = {
        "&": min(a.width, b.width),
        "|": max(a.width, b.width),
        "^": max(a.width, b.width),
        "+": max(a.width, b.width) + 1,
        "*": a.width + b.width,
        "-": 65,
    }
    code = f"({left} {operator} {right})"
    return code if signs == "uu" and needed[operator] <= width else _masked(code, width)


def _shift(left: bool, width: int, operands: Sequence[Value]) -> str:
    value, amount = operands
    size = max(width, value.width)
    code = f"({value.cast(size)} {'<<' if left else '>>'} {amount.number})"
    if size > 32 >= width:
        code = f"uint32_t({code})"
    if left or value.width > width:
        code = _masked(code, width)
    limit = 32 if size <= 32 else 64
    if amount.width < limit.bit_length():
        return code
    return f"({amount.number} < {limit} ? {code} : {_number(0, width)})"


def _reduce_and(a: Value, _width: int) -> str:
    return f"uint32_t({a.number} == {_number((1 << a.width) - 1, a.width)})"


def _not(a: Value, width: int) -> str:
    return _masked(f"(~{a.cast(width)})", width)


def _positive(a: Value, width: int) -> str:
    return _masked(a.cast(width), width) if a.width > width else a.cast(width)


#: Functions of one operand, which are given it and the width of the result.
_UNARY: dict[str, Callable[[Value, int], str]] = {
    "not_u": _not,
    "neg_u": lambda a, width: _masked(f"({_number(0, width)} - {a.cast(width)})", width),
    "pos_u": _positive,
    "logic_not": lambda a, _width: f"uint32_t({a.number} == 0)",
    "reduce_and": _reduce_and,
    "reduce_or": lambda a, _width: f"uint32_t({a.number} != 0)",
    "reduce_bool": lambda a, _width: f"uint32_t({a.number} != 0)",
}


def literal(width: int, chunks: Sequence[int], text: str) -> Value:
    """Return a constant, given by its chunks, the lowest first."""
    if width <= 64:
        number = sum(chunk << 32 * place for place, chunk in enumerate(chunks))
        return _of_number(width, text, _number(number, width))
    sizes = [min(32, width - start) for start in range(0, width, 32)]
    parts = (Part(_number(c, n), 0, n, n) for c, n in zip(chunks, sizes, strict=True))
    return Value(width, text, "", tuple(parts))


def choice(condition: Value, first: Value, second: Value) -> Value:
    """Return the first of two values if a condition holds, else the second."""
    test = condition.number or f"bool({condition.value()})"
    text = f"({condition.text} ? {first.text} : {second.text})"
    if first.number and second.number:
        return _of_number(first.width, text, f"({test} ? {first.number} : {second.number})")
    return _of_text(first.width, text, f"({test} ? {first.value()} : {second.value()})")
