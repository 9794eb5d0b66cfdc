"""Partitions of a module: the statements that are evaluated together, or not at all in a cycle.

They follow the hierarchy that was flattened, since a module tends to rest as a whole.
"""

import re
from collections.abc import Sequence

from sim.engine.cpp.statements import Statement

__all__ = ["SIZE", "Partition", "partitions_of"]

#: Characters of a partition, about (chosen by measurement).
SIZE = 6_000

_ESCAPE = re.compile(r"_([0-9a-f]{2})_|__")


def _home(statement: Statement) -> str:
    r"""Return the instance whose statement it was before the netlist was flattened.

    >>> _home(Statement("", sets={"i_flatten_5c_tile_2e__5c_row__sum_2e__24_9"}))
    'tile.row_sum'
    >>> _home(Statement("", registers={"p_tile_2e_row__sum_2e_count"}))
    'tile.row_sum'
    """
    if statement.cells:
        return min(statement.cells)
    name = min(statement.sets | statement.registers | statement.memories)
    name = re.sub(r"^(memory_)?[pi]_(flatten)?", "", name)
    name = _ESCAPE.sub(lambda match: chr(int(match[1], 16)) if match[1] else "_", name)
    return name.replace("\\", "").rpartition(".")[0]


class Partition:
    """Statements that are evaluated together."""

    def __init__(self) -> None:
        self.statements: list[Statement] = []
        self.size = 0

    def add(self, statement: Statement) -> None:
        self.statements.append(statement)
        self.size += len(statement.text)

    def all(self, kind: str) -> set[str]:
        """Return the names of a kind of all statements."""
        return {name for statement in self.statements for name in getattr(statement, kind)}


def partitions_of(statements: Sequence[Statement]) -> list[Partition]:
    """Divide statements into partitions, each needed by none but later ones.

    The depth of a statement is how often what it depends on has crossed from one instance to
    another. The statements of an instance at one depth go together, as far as the size allows.
    """
    ordered = [s for s in statements if s.sets] + [s for s in statements if not s.sets]
    read: set[str] = set()
    reached: dict[str, list[tuple[int, str]]] = {}  # depth and home of what sets a variable
    partitions: dict[tuple[int, str], list[Partition]] = {}
    for statement in ordered:
        assert not statement.sets & read, "a module that settles at once sets before it reads"
        read |= statement.reads
        home = _home(statement)
        before = [place for name in statement.reads for place in reached.get(name, ())]
        depth = max((d + (h != home) for d, h in before), default=0)
        for name in statement.sets:
            reached.setdefault(name, []).append((depth, home))
        found = partitions.setdefault((depth, home), [Partition()])
        if found[-1].size >= SIZE:
            found.append(Partition())
        found[-1].add(statement)
    return [partition for key in sorted(partitions) for partition in partitions[key]]
