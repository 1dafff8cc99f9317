"""Answers and notes share a screen without running into each other."""

from __future__ import annotations

import pytest

from dsocr.cli.console import note, to_stdout


@pytest.mark.parametrize(("out", "err"), [(True, True), (True, False), (False, True), (False, False)])
def test_a_note_goes_on_in_no_line_of_an_answer(out, err, monkeypatch, capfd):
    monkeypatch.setattr("sys.stdout.isatty", lambda: out, raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: err, raising=False)
    to_stdout("some words")
    note("read")
    note("and read")
    to_stdout("a line\n")
    note("done")
    told = capfd.readouterr()
    assert told.out == "some wordsa line\n"
    assert told.err == ("\n" if out and err else "") + "dsocr: read\ndsocr: and read\ndsocr: done\n"
