"""Activity: in each cycle only those parts of a module are evaluated that can have changed.

A flattened module is one long evaluation, most of which computes in most cycles what it computed
the cycle before. Here it is cut in partitions, which are evaluated one after the other, each only
if it is awake: something that it reads has changed since it was evaluated last. A partition wakes
those that read its variables when it has changed them, and those that read its registers, its
memories and the outputs of its instances, itself among them, when the clock edge has.

The idea, and that no partition may need another twice, is ESSENT's (S. Beamer and D. Donofrio,
"Efficiently Exploiting Low Activity Factors to Accelerate RTL Simulation", DAC 2020). Partitions
follow the hierarchy that was flattened, since a module tends to rest as a whole.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from sim.engine.statements import Evaluation, Statement, parse_evaluation

__all__ = ["gate"]

#: Characters of a partition, about (chosen by measurement).
_SIZE = 6_000

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


class _Partition:
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


def _partitions(statements: Sequence[Statement]) -> list[_Partition]:
    """Divide statements into partitions, each needed by none but later ones.

    The depth of a statement is how often what it depends on has crossed from one instance to
    another. The statements of an instance at one depth go together, as far as the size allows.
    """
    ordered = [s for s in statements if s.sets] + [s for s in statements if not s.sets]
    read: set[str] = set()
    reached: dict[str, list[tuple[int, str]]] = {}  # depth and home of what sets a variable
    partitions: dict[tuple[int, str], list[_Partition]] = {}
    for statement in ordered:
        assert not statement.sets & read, "a module that settles at once sets before it reads"
        read |= statement.reads
        home = _home(statement)
        before = [place for name in statement.reads for place in reached.get(name, ())]
        depth = max((d + (h != home) for d, h in before), default=0)
        for name in statement.sets:
            reached.setdefault(name, []).append((depth, home))
        found = partitions.setdefault((depth, home), [_Partition()])
        if found[-1].size >= _SIZE:
            found.append(_Partition())
        found[-1].add(statement)
    return [partition for key in sorted(partitions) for partition in partitions[key]]


class _Gated:
    """A module with gated partitions, as C++."""

    def __init__(self, name: str, evaluation: Evaluation, inputs: Mapping[str, str]) -> None:
        self.name = name
        self.evaluation = evaluation
        self.inputs = inputs
        self.partitions = _partitions(evaluation.statements)
        self.readers: defaultdict[str, set[int]] = defaultdict(set)
        for index, partition in enumerate(self.partitions):
            for name in partition.all("reads") | partition.all("memories"):
                self.readers[name].add(index)
        users: defaultdict[str, set[int]] = defaultdict(set)
        for index, partition in enumerate(self.partitions):
            for name in partition.all("sets") | partition.all("reads"):
                users[name].add(index)
        self.local = {name for name in evaluation.variables if len(users[name]) == 1}
        self.loads: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        for name, (cell, output) in evaluation.loads.items():
            self.loads[cell].append((name, output))
        self.words = -(-len(self.partitions) // 64)

    def wake(self, readers: Iterable[int], indent: str) -> str:
        """Return the statements that wake some partitions."""
        masks: defaultdict[int, int] = defaultdict(int)
        for index in readers:
            masks[index // 64] |= 1 << index % 64
        return "".join(
            f"{indent}awake[{word}] |= UINT64_C({mask:#x});\n"
            for word, mask in sorted(masks.items())
        )

    def wake_where(self, changes: Mapping[str, str]) -> str:
        """Return statements that wake the readers of names where conditions on them hold."""
        together: defaultdict[frozenset[int], list[str]] = defaultdict(list)
        for name, condition in sorted(changes.items()):
            together[frozenset(self.readers[name])].append(condition)
        return "".join(
            f"\tif ({' | '.join(conditions)}) {{\n{self.wake(readers, 2 * chr(9))}\t}}\n"
            for readers, conditions in together.items()
        )

    def evaluate(self, index: int, edges: str) -> str:
        """Return the function that evaluates a partition."""
        partition = self.partitions[index]
        types, inside = self.evaluation.variables, {index}
        local = sorted((partition.all("sets") | partition.all("reads")) & self.local)
        outputs = sorted(
            name for name in partition.all("sets") - self.local if self.readers[name] - inside
        )
        lines = [f"\t{types[name]} {name};" for name in local]
        lines += [f"\tconst auto old_{name} = {name};" for name in outputs]
        lines += [s.text for s in partition.statements if not s.clocked]
        clocked = [s.text for s in partition.statements if s.clocked]
        if clocked:
            # in blocks: temporary variables are declared in them
            lines += [edges, "\tif (posedge_p_clk) {", *clocked, "\t}"]
        changed = self.wake_where({name: f"(old_{name} != {name})" for name in outputs})
        body = "\n".join(lines)
        return f"void {self.name}::eval_{index}(performer *performer) {{\n{body}\n{changed}}}\n"

    def commit(self, index: int) -> str:
        """Return the function that commits a partition; empty if there is nothing to commit."""
        partition = self.partitions[index]
        changes = {
            name: f"{name}.commit(observer)"
            for name in partition.all("registers") | partition.all("memories")
        }
        body = self.wake_where(changes)
        for cell in sorted(partition.all("cells")):
            body += f"\tif ({cell}.commit(observer)) {{\n{self.wake([index], 2 * chr(9))}"
            for name, output in self.loads[cell]:
                body += f"\t\tif ({name} != {cell}.{output}.curr) {{\n"
                body += f"\t\t\t{name} = {cell}.{output}.curr;\n"
                body += f"{self.wake(self.readers[name], 3 * chr(9))}\t\t}}\n"
            body += "\t}\n"
        if not body:
            return ""
        return f"void {self.name}::commit_{index}() {{\n\tobserver observer;\n{body}}}\n"

    def code(self, edges: str) -> tuple[str, str]:
        """Return the declarations of all members, and the functions."""
        types = self.evaluation.variables
        count = range(len(self.partitions))
        commits = [self.commit(index) for index in count]
        members = [f"\tuint64_t awake[{self.words}] = {{}}, evaluated[{self.words}] = {{}};"]
        members += [f"\t{types[name]} {name};" for name in sorted(types.keys() - self.local)]
        members += [f"\t{kind} last_{name};" for name, kind in sorted(self.inputs.items())]
        members += [f"\t[[gnu::noinline]] void eval_{i}(performer *performer);" for i in count]
        members += [f"\t[[gnu::noinline]] void commit_{i}();" for i in count if commits[i]]
        members.append("\tvoid wake();\n\tbool commit_evaluated();")
        functions = [self.evaluate(index, edges) for index in count] + commits
        functions.append(self._evaluate_all())
        functions.append(self._commit_all(commits))
        loads = self.evaluation.loads.items()
        copies = "".join(f"\t{n} = {cell}.{output}.curr;\n" for n, (cell, output) in loads)
        functions.append(f"void {self.name}::wake() {{\n{copies}{self.wake(count, chr(9))}}}\n")
        return "\n".join(members), "\n".join(functions)

    def _evaluate_all(self) -> str:
        lines = [f"bool {self.name}::eval(performer *performer) {{"]
        for name in sorted(self.inputs):
            lines.append(f"\tif (last_{name} != {name}) {{\n\t\tlast_{name} = {name};")
            lines.append(f"{self.wake(self.readers[name], 2 * chr(9))}\t}}")
        for word in range(self.words):
            lines.append(f"\tif (awake[{word}]) {{")
            lines += [
                f"\t\tif (awake[{word}] & UINT64_C({1 << index % 64:#x})) eval_{index}(performer);"
                for index in range(64 * word, min(64 * word + 64, len(self.partitions)))
            ]
            lines.append("\t}")
            lines.append(f"\tevaluated[{word}] = awake[{word}];\n\tawake[{word}] = 0;")
        return "\n".join([*lines, "\treturn true;\n}\n"])

    def _commit_all(self, commits: Sequence[str]) -> str:
        lines = [f"bool {self.name}::commit_evaluated() {{"]
        for word in range(self.words):
            lines.append(f"\tif (evaluated[{word}]) {{")
            lines += [
                f"\t\tif (evaluated[{word}] & UINT64_C({1 << index % 64:#x})) commit_{index}();"
                for index in range(64 * word, min(64 * word + 64, len(self.partitions)))
                if commits[index]
            ]
            lines.append("\t}")
        return "\n".join([*lines, "\treturn true;\n}\n"])


def gate(code: str, name: str) -> str:
    """Return C++ in which a module, given by its C++ name, evaluates only what can have changed.

    It must settle at once. Its new function ``wake`` makes the next evaluation a whole one; it is
    to be called before the first one, after one with the clock low, and after changes of memories
    from outside.
    """
    head = f"bool {name}::eval(performer *performer) {{\n"
    start = code.index(head)
    end = code.index("\n}\n", start)
    declaration = f"struct {name} : public module {{\n"
    first = code.index(declaration) + len(declaration)
    last = code.index("\n};", first)
    struct = code[first:last]
    evaluation = parse_evaluation(code[start + len(head) : end])
    inputs = {
        port: kind
        for kind, port in re.findall(r"/\*input\*/ (value<\d+>) (\w+);", struct)
        if port != "p_clk" and port not in evaluation.loads
    }
    gated = _Gated(name, evaluation, inputs)
    edges = "\n".join(re.findall(r"^\tbool \w+ = this->\w+\(\);$", code[start:end], re.M))
    members, functions = gated.code(edges)
    commit = re.compile(r"(\tbool commit\(ObserverT &observer\) \{\n).*?(\n\t\}\n)", re.S)
    struct = commit.sub(r"\1\t\treturn commit_evaluated();\2", struct, count=1)
    return f"{code[:first]}{members}\n{struct}{code[last:start]}{functions}{code[end + 3 :]}"
