"""A folder of builds that processes share: each is made once, and is there whole or not at all."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import platformdirs

__all__ = ["cache_folder", "cached", "digest", "source_files"]

#: Days after its last use at which a build is deleted (chosen).
KEPT_DAYS = 30


def cache_folder() -> Path:
    """Return ``$NEUPIMS_CACHE``, else the user's cache folder of this project."""
    chosen = os.environ.get("NEUPIMS_CACHE")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("neupims"))


def source_files(*folders: Path) -> list[Path]:
    """Return the Python and C++ files below some folders, in a fixed order."""
    return sorted(
        path
        for folder in folders
        for suffix in ("py", "cc", "h")
        for path in folder.rglob(f"*.{suffix}")
    )


def digest(files: Iterable[Path], *texts: str) -> str:
    """Return a key of the contents of some files and some texts, 24 hexadecimal digits."""
    sha = hashlib.sha256()
    for content in [*(path.read_bytes() for path in files), *(text.encode() for text in texts)]:
        sha.update(len(content).to_bytes(8, "little"))
        sha.update(content)
    return sha.hexdigest()[:24]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that the system releases when the process ends, however it ends."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def cached(key: str, build: Callable[[Path], None]) -> Path:
    """Return the folder of a build; make it first if there is none.

    ``build`` fills the empty folder that it is given. Of several processes that ask for the same
    key one builds and the others wait. A build that fails or is killed leaves nothing that a later
    one would take for its result.
    """
    root = cache_folder()
    result = root / key
    try:
        there = result.is_dir()
        if not there:
            root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            error.errno,
            f"the cache of compiled designs, $NEUPIMS_CACHE: {error.strerror}",
            str(root),
        ) from None
    if not there:
        with _locked(root / f"{key}.lock"):
            if not result.is_dir():
                _make(result, build)
    os.utime(result)
    return result


def _make(result: Path, build: Callable[[Path], None]) -> None:
    """Build in a temporary folder, then give it its name; the caller holds the lock."""
    for left in result.parent.glob(f"{result.name}.build-*"):  # by a process that was killed
        shutil.rmtree(left)
    folder = Path(tempfile.mkdtemp(prefix=f"{result.name}.build-", dir=result.parent))
    try:
        build(folder)
        folder.rename(result)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    _prune(result.parent)


def _prune(root: Path) -> None:
    """Delete builds that nobody has used for long."""
    oldest = time.time() - KEPT_DAYS * 86400
    for path in root.iterdir():
        if path.is_dir() and ".build-" not in path.name and path.stat().st_mtime < oldest:
            shutil.rmtree(path, ignore_errors=True)
