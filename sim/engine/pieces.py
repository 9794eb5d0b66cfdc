"""Cut long C++ functions in pieces: compilers take more than linear time for a function."""

import re

__all__ = ["cut_evaluation"]

#: Characters of a piece (chosen: with 5,000 a device runs slower, with 100,000 it compiles slower).
_PIECE = 20_000

_LOCAL = re.compile(r"^\t(value<\d+>) (\w+);$")
_EDGE = re.compile(r"^\tbool \w+ = this->\w+\(\);$")
_NAME = re.compile(r"\b[pi]_\w+")


def _statements(body: list[str]) -> list[str]:
    """Return the statements of a function, a block of several lines as one."""
    statements, lines = [], []
    for line in body:
        lines.append(line)
        if re.match(r"\t[^\t]", line) and not line.endswith("{"):
            statements.append("\n".join(lines))
            lines = []
    assert not lines
    return statements


def _pieces(statements: list[str]) -> list[str]:
    """Join statements to pieces."""
    pieces: list[list[str]] = []
    size = _PIECE
    for statement in statements:
        if size >= _PIECE:
            pieces.append([])
            size = 0
        pieces[-1].append(statement)
        size += len(statement)
    return ["\n".join(piece) for piece in pieces]


def cut_evaluation(code: str, name: str) -> str:
    """Cut the evaluation of a module, given by its C++ name, in functions of moderate size.

    It must settle at once: what it returns is not kept. Variables that two pieces use become
    members of the module.
    """
    head = f"bool {name}::eval(performer *performer) {{\n"
    start = code.index(head)
    end = code.index("\n}\n", start)
    lines = code[start + len(head) : end].split("\n")
    lines = [line for line in lines if not line.startswith("\t//")]
    variables = {match[2]: match[1] for line in lines if (match := _LOCAL.match(line))}
    edges = [line for line in lines if _EDGE.match(line)]
    skipped = ("\tbool converged = true;", "\treturn converged;", *edges)
    rest = [line for line in lines if line not in skipped and not _LOCAL.match(line)]
    pieces = _pieces(_statements(rest))
    users: dict[str, list[int]] = {}
    for index, piece in enumerate(pieces):
        for variable in sorted(set(_NAME.findall(piece)) & variables.keys()):
            users.setdefault(variable, []).append(index)

    functions, members = [], []
    for index, piece in enumerate(pieces):
        own = [v for v, used in users.items() if used == [index]]
        declarations = [f"\t{variables[v]} {v};" for v in own]
        body = [*edges, "\tbool converged = true;", *declarations, piece, "\t(void)converged;"]
        functions.append(f"void {name}::eval_{index}(performer *performer) {{")
        functions += [*body, "}\n"]
        members.append(f"\tvoid eval_{index}(performer *performer);")
    members += [f"\t{variables[v]} {v};" for v, used in users.items() if len(used) > 1]
    calls = [f"\teval_{index}(performer);" for index in range(len(pieces))]
    evaluation = "\n".join([*functions, head + "\n".join([*calls, "\treturn true;"])])
    declared = f"struct {name} : public module {{\n"
    code = code[:start] + evaluation + code[end:]
    return code.replace(declared, declared + "\n".join(members) + "\n", 1)
