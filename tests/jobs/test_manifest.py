"""The manifest grows line by line, run after run, and never holds half a line."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsocr.errors import FileAccessError, InputError
from dsocr.jobs.manifest import Facts, Manifest, Outcome

PAGE = Outcome(
    "a.pdf",
    3,
    "truncated",
    "the limit of new tokens was reached",
    attempts=2,
    tokens=9,
    seconds=1.23456,
    confidence=0.91234,
)


def facts() -> Facts:
    return Facts("nano", "tiny", "document", "cpu", "auto", "1.0", "abc")


def write(path: Path, *outcomes: Outcome) -> Facts:
    manifest, known = Manifest(path), facts()
    for outcome in outcomes:
        manifest.write(outcome, known)
    manifest.close()
    return known


def lines(path: Path) -> list[dict]:
    assert path.read_bytes().endswith(b"\n") or not path.read_bytes()
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_tells_how_a_page_ended_and_how_it_was_read(tmp_path):
    known = write(tmp_path / "m.jsonl", PAGE)
    (line,) = lines(tmp_path / "m.jsonl")
    assert line.pop("time").endswith("Z")
    assert line == {
        **{"run": known.run, "input": "a.pdf", "page": 3, "status": "truncated", "reason": PAGE.reason},
        **{
            "attempts": 2,
            "tokens": 9,
            "seconds": 1.235,
            "cached": False,
            "modified": None,
            "rotated": 0,
            "confidence": 0.9123,
        },
        **{"model": "nano", "mode": "tiny", "prompt": "document", "device": "cpu", "dtype": "auto"},
        **{"version": "1.0", "checkpoint": "abc"},
    }


def test_a_file_is_told_by_its_time(tmp_path):
    (tmp_path / "a.png").touch()
    write(tmp_path / "m.jsonl", Outcome(str(tmp_path / "a.png"), 1, "ok"))
    assert lines(tmp_path / "m.jsonl")[0]["modified"].startswith("20")


def test_every_line_is_in_the_file_as_soon_as_it_is_written(tmp_path):
    manifest, known = Manifest(tmp_path / "new folder/m.jsonl"), facts()
    for count in (1, 2):
        manifest.write(PAGE, known)
        assert len(lines(manifest.path)) == count


def test_a_second_run_goes_on_behind_the_first_under_another_name(tmp_path):
    first, second = write(tmp_path / "m.jsonl", PAGE), write(tmp_path / "m.jsonl", PAGE)
    assert [line["run"] for line in lines(tmp_path / "m.jsonl")] == [first.run, second.run]
    assert first.run != second.run


@settings(deadline=None)
@given(cut=st.integers(1, 600))
def test_a_line_that_was_cut_off_anywhere_is_dropped_by_the_next_run(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("cut") / "m.jsonl"
    write(path, PAGE, PAGE)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - min(cut, len(whole))])
    kept = path.read_bytes().count(b"}")  # a line without its end is whole, but for that
    write(path, PAGE)
    assert len(lines(path)) == kept + 1


@pytest.mark.parametrize("content", [b"%PDF-1.4", b'{"pages": 1}\n', b"\n"])
def test_no_other_file_is_written_into(tmp_path, content):
    path = tmp_path / "precious"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is no manifest; move it away, or name another with --manifest"):
        Manifest(path)
    assert path.read_bytes() == content


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(FileAccessError, match="cannot be written"):
        Manifest(tmp_path)


def test_a_disk_that_takes_half_a_line_has_failed(tmp_path, monkeypatch):
    manifest = Manifest(tmp_path / "m.jsonl")
    manifest.close()
    monkeypatch.setattr(manifest, "_file", SimpleNamespace(write=lambda line: len(line) // 2))
    with pytest.raises(FileAccessError, match="no space left"):
        manifest.write(PAGE, facts())


@settings(deadline=None)
@given(name=st.text(min_size=1), reason=st.none() | st.text())
def test_any_name_and_reason_come_back(tmp_path_factory, name, reason):
    path = tmp_path_factory.mktemp("any") / "m.jsonl"
    write(path, Outcome(name, None, "failed", reason))
    (line,) = lines(path)
    assert (line["input"], line["page"], line["reason"]) == (name, None, reason)
