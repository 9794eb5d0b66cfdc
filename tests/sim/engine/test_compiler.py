"""Which C++ compiler is taken."""

import sys

import pytest

from sim.engine import compiler


@pytest.fixture
def installed(monkeypatch):
    """Pretend that only some commands run."""

    def install(*commands):
        monkeypatch.setattr(
            compiler, "_version", lambda command: "1.0" if command[0] in commands else None
        )

    monkeypatch.delenv("CXX", raising=False)
    return install


def test_clang_is_preferred(installed):
    installed("clang++", "g++", sys.executable)
    assert compiler.find_compiler().command == ("clang++",)


def test_ziglang_is_the_last_resort(installed):
    installed(sys.executable)
    assert compiler.find_compiler().command == (sys.executable, "-m", "ziglang", "c++")


def test_CXX_leaves_no_choice(installed, monkeypatch):
    installed("g++")
    monkeypatch.setenv("CXX", "ccache my-c++")
    with pytest.raises(
        compiler.CompilerNotFoundError,
        match=r"^CXX must name a C\+\+ compiler that runs, not 'ccache my-c\+\+'$",
    ):
        compiler.find_compiler()


def test_without_any_the_message_names_the_remedy(installed):
    installed()
    with pytest.raises(
        compiler.CompilerNotFoundError,
        match=r"^The compiled engine needs a C\+\+ compiler: pip install -e '\.\[compiler\]'$",
    ):
        compiler.find_compiler()


def test_errors_of_the_compiler_are_shown(tmp_path):
    source = tmp_path / "wrong.cc"
    source.write_text("int main( {}")
    with pytest.raises(compiler.CompileError, match=r"failed on wrong\.cc:\n(.*\n)*.*error"):
        compiler.find_compiler().shared_library(source, tmp_path / "x.so", include=[], flags=[])
