"""Find a C++ compiler and make shared libraries with it."""

import functools
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CompileError", "Compiler", "CompilerNotFoundError", "find_compiler"]


class CompilerNotFoundError(RuntimeError):
    """There is no C++ compiler on this machine."""


class CompileError(RuntimeError):
    """The C++ compiler rejected its input."""


@dataclass(frozen=True, slots=True)
class Compiler:
    """A C++ compiler: the command that starts it, and what it says its version is."""

    command: tuple[str, ...]
    version: str

    def shared_library(
        self, source: Path, target: Path, *, include: Sequence[Path], flags: Sequence[str]
    ) -> None:
        """Compile one C++17 source file to a shared library.

        Raises
        ------
        CompileError
            With the end of the compiler's messages.
        """
        command = [*self.command, "-std=c++17", "-shared", "-fPIC", *flags]
        if "g++" in self.version or "GCC" in self.version:
            # GCC 12 loses stores to registers of a design without it (seen with a multiplier).
            command.append("-fno-ipa-modref")
        command += [f"-I{folder}" for folder in include]
        result = subprocess.run(
            [*command, str(source), "-o", str(target)], capture_output=True, text=True, check=False
        )
        if not result.returncode and not target.is_file():
            raise CompileError(f"{' '.join(self.command)} ended well, but wrote no {target.name}")
        if result.returncode:
            messages = "\n".join(result.stderr.splitlines()[-20:])
            raise CompileError(f"{' '.join(self.command)} failed on {source.name}:\n{messages}")


def _candidates() -> list[tuple[str, ...]]:
    """Return the commands to try, the preferred one first; ``$CXX`` leaves no choice."""
    if chosen := os.environ.get("CXX"):
        try:
            words = tuple(shlex.split(chosen))
        except ValueError as error:  # a quotation mark without its twin
            words = ()
            reason = f" ({error})"
        else:
            reason = ""
        if not words:
            raise CompilerNotFoundError(
                f"CXX must name a C++ compiler that runs, not {chosen!r}{reason}"
            )
        return [words]
    return [("clang++",), ("g++",), (sys.executable, "-m", "ziglang", "c++")]


@functools.cache
def _version(command: tuple[str, ...]) -> str | None:
    """Return the first line that a compiler says about itself, None if it does not run."""
    try:
        result = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.partition("\n")[0]


def find_compiler() -> Compiler:
    """Return ``$CXX``, else the first of clang++, g++ and the ziglang package that runs.

    Raises
    ------
    CompilerNotFoundError
        With what to do about it, in one line.
    """
    candidates = _candidates()
    for command in candidates:
        version = _version(command)
        if version is not None:
            return Compiler(command, version)
    if chosen := os.environ.get("CXX"):
        raise CompilerNotFoundError(f"CXX must name a C++ compiler that runs, not {chosen!r}")
    raise CompilerNotFoundError(
        "The compiled engine needs a C++ compiler: pip install -e '.[compiler]'"
    )
