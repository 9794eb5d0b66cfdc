"""Builds are made once, and are there whole or not at all."""

import os
import subprocess
import sys
import time

import pytest

from sim.engine.build_cache import KEPT_DAYS, cached, digest, source_files


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("NEUPIMS_CACHE", str(folder))
    return folder


def write(folder):
    (folder / "result").write_text("built")


def test_a_build_is_made_once(cache):
    calls = []
    for _ in range(2):
        folder = cached("key", lambda folder: (calls.append(folder), write(folder)))
    assert folder == cache / "key"
    assert (folder / "result").read_text() == "built"
    assert len(calls) == 1


def test_a_failed_build_leaves_nothing(cache):
    def fail(folder):
        write(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached("key", fail)
    assert [path.name for path in cache.iterdir()] == ["key.lock"]
    assert (cached("key", write) / "result").read_text() == "built"


#: Builds in a process of its own, and takes its time.
BUILD = """
import sys, time
from pathlib import Path
sys.path[:0] = {path!r}
from sim.engine.build_cache import cached

def build(folder):
    (folder / "result").write_text("built")
    print("building", flush=True)
    time.sleep({seconds})

assert (cached("key", build) / "result").read_text() == "built"
"""


def process(seconds):
    script = BUILD.format(path=sys.path, seconds=seconds)
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)


def test_of_several_processes_one_builds():
    processes = [process(seconds=0.5) for _ in range(3)]
    outputs = sorted(process.communicate()[0] for process in processes)
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert outputs == [b"", b"", b"building\n"]


def test_a_killed_build_is_made_again(cache):
    with process(seconds=60) as killed:
        assert killed.stdout.readline() == b"building\n"
        killed.kill()
    assert (cached("key", write) / "result").read_text() == "built"
    assert sorted(path.name for path in cache.iterdir()) == ["key", "key.lock"]


def test_builds_that_nobody_uses_are_deleted(cache):
    old = cached("old", write)
    used = cached("used", write)
    for folder in (old, used):
        os.utime(folder, (0, time.time() - (KEPT_DAYS + 1) * 86400))
    cached("used", write)
    cached("new", write)
    assert not old.exists()
    assert used.exists()


def test_the_key_depends_on_contents_and_texts(tmp_path):
    (tmp_path / "a.py").write_text("1")
    (tmp_path / "b.cc").write_text("2")
    (tmp_path / "c.txt").write_text("3")
    files = source_files(tmp_path)
    assert [path.name for path in files] == ["a.py", "b.cc"]
    keys = {digest(files), digest(files, "x"), digest(files, "x", "y"), digest(files, "xy")}
    (tmp_path / "a.py").write_text("0")
    keys.add(digest(files))
    assert len(keys) == 5
