"""Assignments become those of plain integers, where they can."""

import pytest

from sim.engine.cpp.native import native


def translate(expression, **widths):
    """Return what an assignment to p_o becomes."""
    members = "".join(f"\tvalue<{width}> {name};\n" for name, width in widths.items())
    code = (
        f"struct p_top : public module {{\n{members}}};\n"
        f"bool p_top::eval(performer *performer) {{\n\tp_o = {expression};\n\treturn true;\n}}\n"
    )
    return native(code).split("{\n")[-1].split("\n")[0].strip()


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("add_uu<5>(p_a, p_a)", "p_o.data[0] = (p_a.data[0] + p_a.data[0]);"),
        ("add_uu<4>(p_a, p_a)", "p_o.data[0] = ((p_a.data[0] + p_a.data[0]) & 0xfu);"),
        ("p_w.slice<40,33>().val()", "p_o.data[0] = ((p_w.data[1] >> 1) & 0xffu);"),
        ("p_w.slice<99>().val()", "p_o.data[0] = (p_w.data[3] >> 3);"),
        ("(p_a ? p_w : p_w)", "p_o = (p_a.data[0] ? p_w : p_w);"),
        ("reduce_or<1>(p_w)", "p_o.data[0] = reduce_or<1>(p_w).data[0];"),
        ("value<36>{0x2u,0x1u}", "store64(p_o.data, UINT64_C(0x100000002));"),
        (
            "p_a.concat(p_w.slice<99,4>()).val()",
            "p_o = value<100>{"
            + "".join(f"((p_w.data[{i}] >> 4) | p_w.data[{i + 1}] << 28), " for i in range(3))
            + "p_a.data[0]};",
        ),
    ],
)
def test_narrow_values_are_integers_and_wide_ones_made_of_chunks(expression, expected):
    assert translate(expression, p_a=4, p_w=100) == expected


@pytest.mark.parametrize("expression", ["p_b", "memory_p_a[p_a]", "divfloor_uu(p_a, p_a)"])
def test_what_is_not_known_is_left_as_it_is(expression):
    assert translate(expression, p_a=4) == f"p_o = {expression};"


def test_variables_of_a_function_are_integers_if_nothing_reads_them_as_values():
    code = (
        "struct p_top : public module {\n\tvalue<4> p_a;\n\tvalue<4> p_o;\n};\n"
        "bool p_top::eval(performer *performer) {\n\tvalue<5> i_plain;\n\tvalue<5> i_read;\n"
        "\ti_plain = add_uu<5>(p_a, p_a);\n\ti_read = not_u<5>(i_plain);\n"
        "\tp_o = divfloor_uu<4>(i_read, p_a);\n}\n"
    )
    lines = native(code).splitlines()[5:]
    assert lines[:2] == ["\tuint32_t i_plain;", "\tvalue<5> i_read;"]
    assert lines[2] == "\ti_plain = (p_a.data[0] + p_a.data[0]);"
    assert lines[3].startswith("\ti_read.data[0] = ")
    assert lines[3].endswith("(~i_plain) & 0x1fu);")
    assert lines[4] == "\tp_o.data[0] = divfloor_uu<4>(i_read, p_a).data[0];"


def test_members_of_instances_are_left_alone_where_a_variable_has_their_name():
    code = (
        "struct p_top : public module {\n\tvalue<40> p_i;\n};\n"
        "bool p_top::eval(performer *performer) {\n\tvalue<4> p_a;\n\tvalue<40> p_b;\n"
        "\tp_a = p_i.slice<3,0>().val();\n\tp_b = not_u<40>(p_i);\n"
        "\tcell_p_x.p_a = p_a;\n\tcell_p_x.p_b = p_b;\n}\n"
    )
    assert native(code).splitlines()[4:-1] == [
        "\tuint32_t p_a;",
        "\tuint64_t p_b;",
        "\tp_a = (p_i.data[0] & 0xfu);",
        "\tp_b = ((~load64(p_i.data)) & UINT64_C(0xffffffffff));",
        "\tcell_p_x.p_a.data[0] = p_a;",
        "\tstore64(cell_p_x.p_b.data, p_b);",
    ]


def test_changes_are_found_without_templates():
    code = (
        "struct p_top : public module {\n\tvalue<40> p_a;\n\twire<4> p_r;\n\twire<70> p_w;\n"
        "\tbool commit(ObserverT &observer) {\n\t\tif (p_r.commit(observer)) changed = true;\n"
        "\t}\n};\nvoid p_top::eval_0(performer *performer) {\n\tconst auto old_p_a = p_a;\n"
        "\tif ((old_p_a != p_a)) {\n\t}\n}\n"
        "void p_top::commit_0() {\n\tif (p_r.commit(observer) | p_w.commit(observer)) {\n\t}\n}\n"
    )
    found = native(code)
    assert "\tconst uint64_t old_p_a = load64(p_a.data);" in found
    assert "(old_p_a != load64(p_a.data))" in found
    assert "if (commit32(p_r.curr.data, p_r.next.data)) changed = true;" in found
    assert "if (commit32(p_r.curr.data, p_r.next.data) | p_w.commit(observer))" in found
