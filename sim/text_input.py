"""Text as people have it: files, pipes and terminals, gzip or not, with a byte order mark or not.

What is read is read once, from the first byte to the last, so that a pipe will do.
"""

import gzip
import io
import zlib
from pathlib import Path
from typing import BinaryIO, cast

__all__ = ["open_text"]

_BUFFER_BYTES = 1 << 20
_GZIP = b"\x1f\x8b"
_UTF_8 = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def open_text(path: Path) -> BinaryIO:
    """Open text as bytes, in UTF-8, without its byte order mark; gzip is undone.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is in UTF-16. Reading raises it where compressed data are cut or damaged.
    """
    stream = cast(BinaryIO, path.open("rb"))
    start, stream = _peek(stream, 2)
    if start == _GZIP:
        unzipped = _Joined(b"", cast(BinaryIO, gzip.GzipFile(fileobj=stream)))
        stream = cast(BinaryIO, io.BufferedReader(unzipped, _BUFFER_BYTES))
    start, stream = _peek(stream, 3)
    if start[:2] in _UTF_16:
        stream.close()
        raise ValueError("the text must be in UTF-8, not in UTF-16")
    if start == _UTF_8:
        stream.read(3)
    return stream


def _peek(stream: BinaryIO, count: int) -> tuple[bytes, BinaryIO]:
    """Return the first bytes, and a stream that still has them."""
    start = stream.read(count)
    return start, cast(BinaryIO, io.BufferedReader(_Joined(start, stream), _BUFFER_BYTES))


class _Joined(io.RawIOBase):
    """Bytes, then the rest of a stream."""

    def __init__(self, start: bytes, rest: BinaryIO):
        self._start = start
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]  # Buffer is 3.12's
        try:
            block = self._start[: len(buffer)] or self._rest.read(len(buffer))
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"the compressed data must be whole: {error}") from None
        self._start = self._start[len(block) :]
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        self._rest.close()
        super().close()
