"""A file is whole or not there, and what killed runs left aside goes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dsocr.jobs.whole import clear_leftovers, write_whole


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("*") if path.is_file())


def test_a_file_is_replaced_and_its_folder_made(tmp_path):
    for content in (b"old", b"new"):
        write_whole(tmp_path / "a/b.txt", content)
    assert (tmp_path / "a/b.txt").read_bytes() == b"new"
    assert names(tmp_path) == ["b.txt"]


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path, monkeypatch):
    write_whole(tmp_path / "b.txt", b"old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_whole(tmp_path / "b.txt", b"new")
    assert (tmp_path / "b.txt").read_bytes() == b"old"
    assert names(tmp_path) == ["b.txt"]


@pytest.mark.skipif(os.name != "posix", reason="processes are asked for by their number")
def test_what_a_killed_process_left_is_removed_at_once_and_what_a_living_one_writes_is_not(tmp_path):
    script = (
        "import os, pathlib, signal, sys; from dsocr.jobs import whole; "
        "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL) if sys.argv[2] == 'dies' else sys.stdin.read(); "
        "print('ready', flush=True); whole.write_whole(pathlib.Path(sys.argv[1]), b'x')"
    )
    (tmp_path / "deep").mkdir()
    command = [sys.executable, "-c", script, str(tmp_path / "deep/a.txt")]
    subprocess.run([*command, "dies"], check=False, stdout=subprocess.PIPE)
    (left,) = names(tmp_path)
    with subprocess.Popen([*command, "lives"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as living:
        assert living.stdout.readline() == b"ready\n"
        while len(names(tmp_path)) < 2:
            time.sleep(0.01)
        clear_leftovers(tmp_path)
        (kept,) = names(tmp_path)
        assert kept != left
        living.kill()


def test_what_another_machine_left_aside_is_removed_after_a_day(tmp_path):
    fresh, old, other = (tmp_path / name for name in (".elsewhere-7.part", ".elsewhere-8.part", "mine.part"))
    for path in (fresh, old, other):
        path.write_bytes(b"half")
    long_ago = time.time() - 2 * 24 * 3600
    os.utime(old, (long_ago, long_ago))
    os.utime(other, (long_ago, long_ago))
    clear_leftovers(tmp_path)
    assert names(tmp_path) == [".elsewhere-7.part", "mine.part"]
