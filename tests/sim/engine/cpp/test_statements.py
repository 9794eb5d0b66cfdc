"""What the statements of an evaluation read and change."""

import textwrap

import pytest

from sim.engine.cpp.statements import parse_evaluation


def parse(text):
    code = textwrap.dedent(text).strip("\n").replace("    ", "\t")
    return parse_evaluation(textwrap.indent(code, "\t"))


def test_variables_registers_and_inputs():
    found = parse("""
    bool converged = true;
    bool posedge_p_clk = this->posedge_p_clk();
    value<8> i_a;
    // cell \\adder
    i_a = add_uu<8>(p_x.curr, p_i.slice<7,0>().val());
    p_o.slice<3,0>() = i_a.slice<3,0>().val();
    if (posedge_p_clk) {
        p_x.next = (p_enable ? i_a : p_x.curr);
    }
    return converged;
    """)
    assert found.variables == {"i_a": "value<8>"}
    added, part, register = found.statements
    assert (added.sets, added.reads, added.clocked) == ({"i_a"}, {"p_x", "p_i"}, False)
    assert (part.sets, part.reads) == ({"p_o"}, {"i_a"})
    assert (register.registers, register.reads) == ({"p_x"}, {"p_enable", "i_a", "p_x"})
    assert register.clocked
    assert register.text == "\t\tp_x.next = (p_enable ? i_a : p_x.curr);"


def test_an_instance_is_one_statement():
    found = parse("""
    const auto &p_sum_o_register = cell_p_sum.p_o.curr;
    cell_p_sum.p_clk = p_clk;
    cell_p_sum.p_i = p_a;
    p_o = p_sum_o_register;
    if (cell_p_sum.eval(performer)) {
    } else {
        converged = false;
    }
    """)
    assert found.loads == {"p_sum_o_register": ("cell_p_sum", "p_o")}
    instance, output = found.statements
    assert (instance.cells, instance.reads) == ({"cell_p_sum"}, {"p_a"})
    assert instance.text.endswith("\n\tcell_p_sum.eval(performer);")
    assert (output.sets, output.reads) == ({"p_o"}, {"p_sum_o_register"})


def test_writes_of_a_memory_are_one_statement_and_its_reads_are_others():
    write = """
    if (posedge_p_clk) {{
        auto tmp_{0} = memory_index(p_address_{0}, 0, 4);
        CXXRTL_ASSERT(tmp_{0}.valid && "out of bounds write");
        if (tmp_{0}.valid) {{
            memory_p_words.update(tmp_{0}.index, p_data_{0}, p_mask_{0}, 0);
        }}
    }}"""
    read = """
    auto tmp_9 = memory_index(p_address, 0, 4);
    CXXRTL_ASSERT(tmp_9.valid && "out of bounds read");
    if(tmp_9.valid) {
        value<8> tmp_10 = memory_p_words[tmp_9.index];
        p_o = tmp_10;
    } else {
        p_o = value<8> {};
    }
    p_next = p_o;
    """
    both, reading, after = parse(write.format(1) + write.format(2) + read).statements
    assert both.memories == {"memory_p_words"}
    assert both.reads == {f"p_{name}_{n}" for name in ("address", "data", "mask") for n in (1, 2)}
    assert (reading.sets, reading.reads) == ({"p_o"}, {"memory_p_words", "p_address"})
    assert after.sets == {"p_next"}


def test_statements_that_only_print_are_rejected():
    with pytest.raises(ValueError, match=r"^a statement must change something \(no Print, no Ass"):
        parse("performer->on_print(formatter, attributes);")
