"""The statements of an evaluation in CXXRTL's C++: what each reads and what it changes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Evaluation", "Statement", "parse_evaluation"]

_LOCAL = re.compile(r"\t(value<\d+>) (\w+);")
_LOAD = re.compile(r"\tconst auto &(p_\w+) = (cell_\w+)\.([\w.]+)\.curr;")
_CELL_INPUT = re.compile(r"(cell_\w+)\.p_\w+ = (.*)")
_CELL = re.compile(r"\tif \((cell_\w+)\.eval\(performer\)\) \{")
_WRITE = re.compile(r"(memory_\w+)\.update\((.*)")
_TEMPORARY = re.compile(r"(?:auto|value<\d+>) (tmp_\d+) = (.*)")
_TEMPORARIES = re.compile(r"\btmp_\d+")
_TARGET = re.compile(r"\b([pi]_\w+)(\.next)?")
_NAME = re.compile(r"\b(?:memory_)?[pi]_\w+")
_CLOCKED = "\tif (posedge_p_clk) {\n"


@dataclass(slots=True)
class Statement:
    """One statement, or several that belong together.

    Attributes
    ----------
    text
        The C++; if `clocked`, what is to be done at a clock edge.
    reads
        Names of variables, registers, inputs and memories.
    sets
        Names of variables.
    registers, memories, cells
        Names of what has a new value after the clock edge.
    """

    text: str
    clocked: bool = False
    reads: set[str] = field(default_factory=set)
    sets: set[str] = field(default_factory=set)
    registers: set[str] = field(default_factory=set)
    memories: set[str] = field(default_factory=set)
    cells: set[str] = field(default_factory=set)

    def add(self, other: "Statement") -> None:
        """Append a statement."""
        self.text += "\n" + other.text
        self.reads |= other.reads
        self.sets |= other.sets


@dataclass(slots=True)
class Evaluation:
    """The evaluation of a module.

    Attributes
    ----------
    statements
        In an order in which every variable is set before it is read.
    variables
        Types of variables that are not members of the module.
    loads
        Inputs, each with the instance and the output of it that it stands for.
    """

    statements: list[Statement]
    variables: dict[str, str]
    loads: dict[str, tuple[str, str]]


def parse_evaluation(body: str) -> Evaluation:
    """Return the statements of the body of an evaluation function that settles at once.

    All that concerns one instance is one statement, and so are all writes to one memory: whether
    two of them go to the same address, only both together tell.

    Raises
    ------
    ValueError
        If a statement changes nothing, as one that prints.
    """
    variables, loads, lines = {}, {}, []
    for line in body.splitlines():
        if match := _LOCAL.fullmatch(line):
            variables[match[2]] = match[1]
        elif match := _LOAD.fullmatch(line):
            loads[match[1]] = (match[2], match[3])
        elif not re.match(r"\t+//|\tbool \w+ = |\treturn converged;", line):
            lines.append(line)
    statements: list[Statement] = []
    together: dict[str, Statement] = {}
    for text in _blocks(lines):
        statement = _parse(text)
        owner = min(statement.cells | statement.memories, default="")
        if owner in together:
            together[owner].add(statement)
            continue
        if owner:
            together[owner] = statement
        statements.append(statement)
    return Evaluation(statements, variables, loads)


def _blocks(lines: Sequence[str]) -> list[str]:
    """Return the statements of a function, a block of several lines as one.

    A temporary variable, the index into a memory, and what it is used for belong together.
    """
    blocks: list[str] = []
    block: list[str] = []
    temporary = None
    for line in lines:
        block.append(line)
        if re.match(r"\t[^\t]", line) and not line.endswith("{"):
            text = "\n".join(block)
            block = []
            if temporary and temporary in _TEMPORARIES.findall(text):
                blocks[-1] += "\n" + text
                continue
            blocks.append(text)
            match = _TEMPORARY.match(text.strip())
            temporary = match and match[1]
    assert not block
    return blocks


def _parse(text: str) -> Statement:
    if match := _CELL.match(text):
        return Statement(f"\t{match[1]}.eval(performer);", cells={match[1]})
    statement = Statement(text)
    if text.startswith(_CLOCKED):
        statement.text = text.removeprefix(_CLOCKED).removesuffix("\n\t}")
        statement.clocked = True
    for line in statement.text.splitlines():
        content = line.strip()
        if match := _CELL_INPUT.match(content):
            statement.cells.add(match[1])
            content = match[2]
        elif match := _WRITE.match(content):
            statement.memories.add(match[1])
            content = match[2]
        elif match := _TEMPORARY.match(content):
            content = match[2]
        elif " = " in content:
            targets, content = content.split(" = ", 1)
            for name, after in _TARGET.findall(targets):
                (statement.registers if after else statement.sets).add(name)
        statement.reads.update(_NAME.findall(content))
    statement.reads.discard("p_clk")
    if not statement.sets | statement.registers | statement.memories | statement.cells:
        raise ValueError(f"a statement must change something (no Print, no Assert), not {text!r}")
    return statement
