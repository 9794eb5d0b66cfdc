"""What developers run before a commit: ``nox``; ``nox -s slow`` and ``nox -s prove`` take long."""

import nox

nox.options.default_venv_backend = "none"  # the environment you are in
nox.options.sessions = ["lint", "types", "tests"]


@nox.session
def lint(session: nox.Session) -> None:
    """Check format and style."""
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types."""
    session.run("mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests, or those that are named: ``nox -s tests -- tests/hw/die``."""
    session.run("pytest", *session.posargs)


@nox.session
def slow(session: nox.Session) -> None:
    """Run the tests that take minutes."""
    session.run("pytest", "-m", "slow", *session.posargs)


@nox.session
def prove(session: nox.Session) -> None:
    """Prove the rules of the memory side, and break them by mutants."""
    session.run("python", "build/formal.py", *session.posargs)


@nox.session
def pages(session: nox.Session) -> None:
    """Write the pages that are generated from tables."""
    session.run("python", "build/isa_page.py")
    session.run("python", "build/timing_page.py")
