"""Signals are read where they are driven."""

import re

import pytest

from sim.engine.cpp.nets import resolve_aliases


def netlist(*lines):
    return "module \\top\n" + "".join(f"  {line}\n" for line in lines) + "end\n"


def body(text):
    return [line.strip() for line in text.splitlines()[1:-1]]


def test_copies_disappear():
    found = resolve_aliases(
        netlist(
            "wire width 4 input 0 \\i",
            "wire width 4 \\a",
            "wire width 4 \\b",
            "wire width 4 output 1 \\o",
            "connect \\a \\i",
            "connect \\b \\a",
            "cell $not \\inverter",
            "  parameter \\A_WIDTH 4",
            "  connect \\A \\b",
            "  connect \\Y \\o",
            "end",
        )
    )
    assert body(found) == [
        "wire width 4 input 0 \\i",
        "wire width 4 output 1 \\o",
        "cell $not \\inverter",
        "parameter \\A_WIDTH 4",
        "connect \\A \\i",
        "connect \\Y \\o",
        "end",
    ]


def test_outputs_are_connected_to_what_drives_them():
    found = resolve_aliases(
        netlist(
            "wire width 3 input 0 \\i",
            "wire width 5 \\a",
            "wire width 4 output 1 \\o",
            "connect { \\a [4] \\a [3:1] } { \\i [0] 3'010 }",
            "connect \\a [0] \\i [2]",
            "connect \\o \\a [4:1]",
        )
    )
    assert body(found)[-1] == "connect \\o { \\i [0:0] 3'010 }"


def test_a_wire_driven_in_parts_becomes_several_with_their_initial_values():
    found = resolve_aliases(
        netlist(
            "wire \\clk",
            "wire width 2 input 0 \\i",
            "attribute \\init 4'1001",
            "wire width 4 \\state",
            "wire width 3 output 1 \\o",
            "cell $dff \\low",
            "  connect \\D \\i",
            "  connect \\Q \\state [1:0]",
            "end",
            "cell $dff \\high",
            "  connect \\D \\state [1:0]",
            "  connect \\Q \\state [3:2]",
            "end",
            "connect \\o \\state [3:1]",
        )
    )
    lines = body(found)
    low, high = re.findall(r"connect \\Q (\S+)$", found, re.M)
    assert low != high
    assert lines[lines.index(f"wire width 2  {low}") - 1] == "attribute \\init 2'01"
    assert lines[lines.index(f"wire width 2  {high}") - 1] == "attribute \\init 2'10"
    assert f"connect \\D {low}" in lines
    assert lines[-1] == f"connect \\o {{ {high} {low} [1:1] }}"


def test_wires_that_take_bits_of_each_other_are_no_loop():
    found = resolve_aliases(
        netlist(
            "wire width 2 input 0 \\i",
            "wire width 2 \\a",
            "wire width 3 \\b",
            "wire width 3 output 1 \\o",
            "connect \\a [0] \\i [1]",
            "connect \\a [1] \\b [0]",
            "connect \\b [0] \\a [0]",
            "connect \\b [2] \\a [1]",
            "connect \\b [1] \\i [0]",
            "connect \\o \\b",
        )
    )
    assert body(found)[-1] == "connect \\o { \\i \\i [1:1] }"


@pytest.mark.parametrize(
    ("constant", "bits"), [("5", f"{5:032b}"), ("6'1x", "00001x"), ("3'x", "xxx"), ("0'", "")]
)
def test_constants_have_the_width_they_say(constant, bits):
    found = resolve_aliases(netlist("cell $not \\c", f"  connect \\A {constant}", "end"))
    expected = f"{len(bits)}'{bits}" if bits else "{  }"
    assert f"connect \\A {expected}" in body(found)
