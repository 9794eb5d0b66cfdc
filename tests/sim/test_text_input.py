import gzip
import os
import re
import threading

import pytest

from sim.text_input import open_text

TEXT = "cycle,kanal\r\n1,ö\n".encode()
BOM = b"\xef\xbb\xbf"


def read(path):
    with open_text(path) as stream:
        return stream.read()


@pytest.mark.parametrize(
    "content",
    [
        TEXT,
        BOM + TEXT,
        gzip.compress(TEXT),
        gzip.compress(BOM + TEXT),
        gzip.compress(TEXT[:5]) + gzip.compress(TEXT[5:]),  # as of files put together
    ],
)
def test_text_is_what_it_is_without_its_wrapping(tmp_path, content):
    path = tmp_path / "text"
    path.write_bytes(content)
    assert read(path) == TEXT


@pytest.mark.parametrize("content", [b"", b"1", b"12", b"\xef\xbb", b"\x1f", b"\n\n"])
def test_short_text_stays_as_it_is(tmp_path, content):
    path = tmp_path / "text"
    path.write_bytes(content)
    assert read(path) == content


def test_long_text_stays_as_it_is(tmp_path):
    content = bytes(range(1, 128)) * 30_000
    (tmp_path / "text").write_bytes(content)
    (tmp_path / "packed").write_bytes(gzip.compress(content, 1))
    assert read(tmp_path / "text") == read(tmp_path / "packed") == content


@pytest.mark.parametrize("content", [BOM + TEXT, gzip.compress(BOM + TEXT)])
def test_pipe_is_read_once_and_byte_by_byte(tmp_path, content):
    path = tmp_path / "pipe"
    os.mkfifo(path)

    def write():
        with path.open("wb", buffering=0) as file:
            for byte in content:
                file.write(bytes([byte]))

    writer = threading.Thread(target=write)
    writer.start()
    assert read(path) == TEXT
    writer.join()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_other_encodings_are_refused(tmp_path, encoding):
    path = tmp_path / "text"
    path.write_bytes(
        "\ufeff1,2\n".encode(encoding) if encoding[-1] == "e" else "1".encode(encoding)
    )
    with pytest.raises(ValueError, match=r"^the text must be in UTF-8, not in UTF-16$"):
        open_text(path)


def test_compressed_text_must_be_whole(tmp_path):
    whole = gzip.compress(bytes(range(256)) * 100)
    damaged = bytearray(whole)
    damaged[-6] ^= 1  # in the checksum
    broken = bytearray(whole)
    broken[12:20] = b"\xff" * 8
    for content in (whole[:40], whole[:1], damaged, broken, b"\x1f\x8b\x99nonsense"):
        path = tmp_path / "text.gz"
        path.write_bytes(content)
        if len(content) == 1:
            assert read(path) == content  # too short to be told
            continue
        with pytest.raises(
            ValueError, match=f"^{re.escape('the compressed data must be whole: ')}"
        ):
            read(path)


def test_what_cannot_be_opened_is_an_error_of_the_system(tmp_path):
    with pytest.raises(IsADirectoryError):
        read(tmp_path)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none")
