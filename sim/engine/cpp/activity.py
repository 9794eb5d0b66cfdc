"""Activity: in each cycle only those parts of a module are evaluated that can have changed.

A flattened module is one long evaluation, most of which computes in most cycles what it computed
the cycle before. Here it is cut in partitions (:mod:`sim.engine.cpp.partitions`), which are
evaluated one after the other, each only if it is awake: something that it reads has changed since
it was evaluated last. A partition wakes those that read its variables when it has changed them, and
those that read its registers, its memories and the outputs of its instances, itself among them,
when the clock edge has. The idea, and that no partition may need another twice, is ESSENT's (S.
Beamer and D. Donofrio, "Efficiently Exploiting Low Activity Factors to Accelerate RTL Simulation",
DAC 2020).

Large modules are cut so, at least that at the top. A small one, or a large one that does little but
hold others, as a column of the systolic array does, is evaluated as a whole where something has
changed that it reads or holds: to look what in it could rest would cost more than it saves.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from sim.engine.cpp.partitions import SIZE, partitions_of
from sim.engine.cpp.statements import Evaluation, parse_evaluation

__all__ = ["gate"]

_STRUCT = re.compile(r"^struct (\w+) : public module \{\n(.*?)^\};", re.M | re.S)
_INSTANCE = re.compile(r"^\t(\w+) (cell_\w+) \{interior\(\)\};", re.M)
_INPUT = re.compile(r"/\*input\*/ (value<\d+>) (\w+);")
_EDGE = re.compile(r"^\tbool \w+ = this->\w+\(\);$", re.M)
_COMMIT = re.compile(r"(\tbool commit\(ObserverT &observer\) \{\n).*?(\n\t\}\n)", re.S)


class _Gated:
    """A module with gated partitions, as C++."""

    def __init__(
        self, name: str, evaluation: Evaluation, inputs: Mapping[str, str], gated: Sequence[str]
    ) -> None:
        self.name = name
        self.gated = gated
        self.evaluation = evaluation
        self.inputs = inputs
        self.partitions = partitions_of(evaluation.statements)
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

    def wake_where(self, changes: Mapping[str, str], then: str = "") -> str:
        """Return statements that wake the readers of names where conditions on them hold."""
        together: defaultdict[frozenset[int], list[str]] = defaultdict(list)
        for name, condition in sorted(changes.items()):
            together[frozenset(self.readers[name])].append(condition)
        return "".join(
            f"\tif ({' | '.join(conditions)}) {{\n{then}{self.wake(readers, 2 * chr(9))}\t}}\n"
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
        note = "\t\tchanged = true;\n"
        body = self.wake_where(changes, note)
        for cell in sorted(partition.all("cells")):
            body += f"\tif ({cell}.commit(observer)) {{\n{note}{self.wake([index], 2 * chr(9))}"
            for name, output in self.loads[cell]:
                body += f"\t\tif ({name} != {cell}.{output}.curr) {{\n"
                body += f"\t\t\t{name} = {cell}.{output}.curr;\n"
                body += f"{self.wake(self.readers[name], 3 * chr(9))}\t\t}}\n"
            body += "\t}\n"
        if not body:
            return ""
        return (
            f"bool {self.name}::commit_{index}() {{\n\tobserver observer;\n"
            f"\tbool changed = false;\n{body}\treturn changed;\n}}\n"
        )

    def code(self, edges: str) -> tuple[str, str]:
        """Return the declarations of all members, and the functions."""
        types = self.evaluation.variables
        count = range(len(self.partitions))
        commits = [self.commit(index) for index in count]
        members = [f"\tuint64_t awake[{self.words}] = {{}}, evaluated[{self.words}] = {{}};"]
        members += [f"\t{types[name]} {name};" for name in sorted(types.keys() - self.local)]
        members += [f"\t{kind} last_{name};" for name, kind in sorted(self.inputs.items())]
        members += [f"\t[[gnu::noinline]] void eval_{i}(performer *performer);" for i in count]
        members += [f"\t[[gnu::noinline]] bool commit_{i}();" for i in count if commits[i]]
        members.append("\tvoid wake();\n\tbool commit_evaluated();")
        functions = [self.evaluate(index, edges) for index in count] + commits
        functions.append(self._evaluate_all())
        functions.append(self._commit_all(commits))
        loads = self.evaluation.loads.items()
        copies = "".join(f"\t{n} = {cell}.{output}.curr;\n" for n, (cell, output) in loads)
        inside = "".join(f"\t{cell}.wake();\n" for cell in self.gated)
        functions.append(
            f"void {self.name}::wake() {{\n{copies}{inside}{self.wake(count, chr(9))}}}\n"
        )
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
        lines = [f"bool {self.name}::commit_evaluated() {{\n\tbool changed = false;"]
        for word in range(self.words):
            lines.append(f"\tif (evaluated[{word}]) {{")
            lines += [
                f"\t\tif (evaluated[{word}] & UINT64_C({1 << index % 64:#x})) "
                f"changed |= commit_{index}();"
                for index in range(64 * word, min(64 * word + 64, len(self.partitions)))
                if commits[index]
            ]
            lines.append("\t}")
        return "\n".join([*lines, "\treturn changed;\n}\n"])


def gate(code: str) -> str:
    """Return C++ in which large modules, ``p_top`` at least, evaluate only what can have changed.

    They must settle at once. Their new function ``wake`` makes the next evaluation a whole one;
    that of ``p_top`` is to be called before the first one, after one with the clock low, and after
    changes of memories from outside.
    """
    gated: set[str] = set()
    for name, struct in _STRUCT.findall(code):  # a module comes after those of its instances
        start, end = _evaluation(code, name)
        evaluation = parse_evaluation(code[start:end])
        own = sum(len(statement.text) for statement in evaluation.statements if not statement.cells)
        instances = {cell: kind for kind, cell in _INSTANCE.findall(struct)}
        if own > SIZE or name == "p_top" or not gated.isdisjoint(instances.values()):
            gated.add(name)
            asleep = [cell for cell, kind in instances.items() if kind in gated]
            code = _gate_module(code, name, evaluation, asleep)
    return code


def _evaluation(code: str, name: str) -> tuple[int, int]:
    """Return where the body of a module's evaluation begins and ends."""
    head = f"bool {name}::eval(performer *performer) {{\n"
    start = code.index(head) + len(head)
    return start, code.index("\n}\n", start)


def _gate_module(code: str, name: str, evaluation: Evaluation, gated: Sequence[str]) -> str:
    """Return C++ in which a module evaluates only what can have changed.

    `gated` are those of its instances whose modules do.
    """
    start, end = _evaluation(code, name)
    declaration = f"struct {name} : public module {{\n"
    first = code.index(declaration) + len(declaration)
    last = code.index("\n};", first)
    inputs = {
        port: kind
        for kind, port in _INPUT.findall(code, first, last)
        if port != "p_clk" and port not in evaluation.loads
    }
    edges = "\n".join(_EDGE.findall(code, start, end))
    members, functions = _Gated(name, evaluation, inputs, gated).code(edges)
    struct = _COMMIT.sub(r"\1\t\treturn commit_evaluated();\2", code[first:last], count=1)
    before = code.rindex("\n", 0, start - 1) + 1
    return f"{code[:first]}{members}\n{struct}{code[last:before]}{functions}{code[end + 3 :]}"
