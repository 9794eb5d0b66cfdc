"""Files that the commands read and write; nothing is ever left half-written."""

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scheduler.commands.errors import UsageError
from sim.text_input import open_text

__all__ = ["folder", "output_folder", "read_bytes", "write_file"]


#: Bytes of a configuration, a model or prompts, at most (chosen); a device gives more than that.
LARGEST_BYTES = 1 << 26


def read_bytes(path: Path, option: str) -> bytes:
    """Return the contents of a file that an option names, read once, so that a pipe will do.

    Without a byte order mark; gzip is undone.

    Raises
    ------
    UsageError
        If it cannot be read, is in UTF-16, is damaged, or is too large.
    """
    try:
        with open_text(path) as stream:
            content = stream.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"{option} must be a readable file, not {str(path)!r} ({error.strerror})"
        ) from None
    except ValueError as error:
        raise UsageError(f"{option} must be a readable file: {error} (in {path})") from None
    if len(content) > LARGEST_BYTES:
        raise UsageError(f"{option} must have at most {LARGEST_BYTES:,} bytes (in {path})")
    return content


def folder(text: str) -> Path:
    """Return the path that an option gives; for :mod:`argparse`, which reports the error."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"must be the name of a folder, not {text!r}")
    return Path(text)


@contextmanager
def output_folder(path: Path, option: str) -> Iterator[Path]:
    """Make a folder, and make sure now that files can be written to it later.

    Where the body fails with nothing written, folders that were made for it are removed again.
    """
    missing: list[Path] = []
    try:
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        _remove_empty(missing)
        raise UsageError(
            f"{option} must be a folder that can be written, not {str(path)!r} ({error.strerror})"
        ) from None
    try:
        yield path
    except BaseException:
        _remove_empty(missing)
        raise


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders, the innermost first, up to the first that holds something."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


def write_file(path: Path, write: Callable[[Path], object]) -> Path:
    """Let ``write`` make a file beside ``path`` (of the same suffix), then move it there."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
