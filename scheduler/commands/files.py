"""Files that the commands read and write; nothing is ever left half-written."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scheduler.commands.errors import UsageError

__all__ = ["check_readable", "output_folder", "read_bytes", "write_file"]


def read_bytes(path: Path, option: str) -> bytes:
    """Return the contents of a file that an option names."""
    check_readable(path, option)
    return path.read_bytes()


def check_readable(path: Path, option: str) -> None:
    """Check that a file that an option names can be read."""
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise UsageError(
            f"{option} must be a readable file, not {str(path)!r} ({error.strerror})"
        ) from None


@contextmanager
def output_folder(path: Path, option: str) -> Iterator[Path]:
    """Make a folder, and make sure now that files can be written to it later.

    Where the body fails with nothing written, folders that were made for it are removed again.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
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
