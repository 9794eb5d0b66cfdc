"""Activity gating: modules of a compiled design that cannot change are not evaluated.

CXXRTL evaluates every module of a hierarchy several times a cycle. In most cycles most of a device
rests, so its C++ is rewritten: a module remembers the inputs of its last evaluation and whether
anything in it has changed when that was committed. If neither has, evaluating it again would give
what it gave before, and it is skipped, with everything in it. If only parts of it have changed, and
none of their outputs, the parts are evaluated without it. The outcome is the same in every cycle.

The level of the clock is replaced by a flag, which says whether an evaluation is that of a clock
edge: a module that is skipped does not see the clock change. After memories have been changed from
outside, ``gate_force`` makes the next cycle evaluate everything.
"""

import re

__all__ = ["gate"]

_MODULE = re.compile(r"^struct (p_\w+) : public module \{\n(.*?)^\};", re.M | re.S)
_EVAL = re.compile(r"^bool (p_\w+)::eval\(performer \*performer\) \{", re.M)
_EVAL_DECLARATION = "\tbool eval(performer *performer = nullptr) override;"
_COMMIT = re.compile(r"\tbool commit\(ObserverT &observer\) \{\n(.*?)\n\t\}\n", re.S)
_COMMIT_LINE = re.compile(r"\t\tif \((\w+)\.commit\(observer\)\) changed = true;")
_EDGE = re.compile(r"return !prev_p_clk\.slice<0>\(\)\.val\(\) && p_clk\.slice<0>\(\)\.val\(\);")

_MEMBERS = """\
	bool own_dirty = true, own_edge_dirty = true; // evaluation may change something of its own
	bool part_dirty = false, part_edge_dirty = false; // ... of its parts
	bool output_changed = false;
	enum { RESTED, PARTS, ALL } evaluated = RESTED;
"""

_PARTS = """\
	if (part_dirty || (gate_edge && part_edge_dirty)) {
		part_dirty = false;
		if (gate_edge)
			part_edge_dirty = false;
		evaluated = PARTS;
%s	}
"""

_EVAL_BODY = """\
bool %(name)s::eval(performer *performer) {
	if (%(differ)s) {
%(remember)s		own_dirty = own_edge_dirty = true;
	}
	if (gate_force || own_dirty || (gate_edge && own_edge_dirty)) {
		own_dirty = part_dirty = false;
		if (gate_edge)
			own_edge_dirty = part_edge_dirty = false;
		evaluated = ALL;
		return eval_all(performer);
	}
%(parts)s	return true;
}

bool %(name)s::eval_all(performer *performer) {"""


def gate(code: str) -> str:
    """Return the C++ of a hierarchy (``write_cxxrtl -noflatten``) with gated modules.

    ``GATED`` is defined in it.
    """
    bodies: dict[str, str] = {}

    def module(match: re.Match[str]) -> str:
        name, body = match[1], match[2]
        inputs = re.findall(r"/\*input\*/ value<(\d+)> (\w+);", body)
        inputs = [(width, port) for width, port in inputs if port != "p_clk"]
        body, parts = _gate_commit(body)
        last = "".join(f"\tvalue<{width}> last_{port};\n" for width, port in inputs)
        declarations = f"{_EVAL_DECLARATION}\n\tbool eval_all(performer *performer);"
        body = body.replace(_EVAL_DECLARATION, _MEMBERS + last + declarations)
        bodies[name] = _EVAL_BODY % {
            "name": name,
            "differ": " || ".join(f"last_{port} != {port}" for _, port in inputs) or "false",
            "remember": "".join(f"\t\tlast_{port} = {port};\n" for _, port in inputs),
            "parts": _PARTS % "".join(f"\t\t{part}.eval(performer);\n" for part in parts)
            if parts
            else "",
        }
        return f"struct {name} : public module {{\n{_EDGE.sub('return gate_edge;', body)}}};"

    code = _EVAL.sub(lambda match: bodies[match[1]], _MODULE.sub(module, code))
    flags = "\nstatic bool gate_edge = false, gate_force = true;\n"
    start = "namespace cxxrtl_design {\n"
    return "#define GATED\n" + code.replace(start, start + flags, 1)


def _gate_commit(body: str) -> tuple[str, list[str]]:
    """Rewrite a module's commit; return its body, and the names of its parts."""
    outputs = set(re.findall(r"/\*output\*/ wire<\d+> (\w+);", body))
    found = _COMMIT.search(body)
    assert found is not None
    parts, own = [], []
    for line in found[1].split("\n"):
        member = _COMMIT_LINE.match(line)
        if member and member[1].startswith("cell_"):
            parts.append(member[1])
        elif member:
            effect = "changed = output_changed = true" if member[1] in outputs else "changed = true"
            own.append(f"\t\t\tif ({member[1]}.commit(observer)) {effect};\n")
    inside = "".join(
        f"\t\tif ({part}.commit(observer)) {{\n"
        f"\t\t\tinside = true;\n\t\t\tchanged |= {part}.output_changed;\n\t\t}}\n"
        for part in parts
    )
    commit = (
        "\t\toutput_changed = false;\n\t\tif (evaluated == RESTED)\n\t\t\treturn false;\n"
        f"\t\tbool changed = false, inside = false;\n{inside}"
        f"\t\tif (evaluated == ALL) {{\n{''.join(own)}\t\t}}\n\t\tevaluated = RESTED;\n"
        "\t\tif (inside)\n\t\t\tpart_dirty = part_edge_dirty = true;\n"
        "\t\tif (changed)\n\t\t\town_dirty = own_edge_dirty = true;\n"
        "\t\treturn changed || inside;"
    )
    return body.replace(found[1], commit), parts
