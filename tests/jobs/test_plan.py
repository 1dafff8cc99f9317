"""A plan is what a run would do, and its estimate rests on runs of the same kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from dsocr import Options, open_pages
from dsocr.jobs.manifest import Facts
from dsocr.jobs.plan import Pace, add_pace, read_pace, sizes_of, tell_plan
from dsocr.pages import MODES
from dsocr.pages.inputs import Input
from dsocr.pages.tiling import make_views
from dsocr.reading import tokens_on_page

FACTS = Facts("nano", "tiny", "document", "cpu", "auto", "1")


class TestHistory:
    def test_a_pace_is_that_of_the_last_runs_of_the_same_kind(self, tmp_path):
        history = tmp_path / "new/runs.jsonl"
        for facts, pages in ((FACTS, 10), (replace(FACTS, mode="base"), 100), (replace(FACTS, run="other"), 30)):
            add_pace(history, facts, Pace(pages, pages / 2))
        assert read_pace(history, FACTS) == Pace(40, 20)
        assert read_pace(history, replace(FACTS, model="other")) is None

    def test_only_the_last_thousand_pages_or_so_count(self, tmp_path):
        for seconds in (9000, 500, 700):
            add_pace(tmp_path / "h", FACTS, Pace(600, seconds))
        assert read_pace(tmp_path / "h", FACTS) == Pace(1200, 1200)

    def test_it_does_not_grow_for_ever(self, tmp_path):
        for _ in range(210):
            add_pace(tmp_path / "h", FACTS, Pace(1, 1))
        assert (tmp_path / "h").read_text().count("\n") == 200

    @pytest.mark.parametrize("content", [b"\xff\xfe", b"{}\n[]\nnull\n{", b'{"model": "nano", "mode": "tiny"}\n'])
    def test_damage_is_no_history(self, tmp_path, content):
        (tmp_path / "h").write_bytes(content)
        assert read_pace(tmp_path / "h", FACTS) is None

    def test_what_cannot_be_written_is_forgotten(self, tmp_path):
        add_pace(tmp_path, FACTS, Pace(1, 1))
        assert read_pace(tmp_path, FACTS) is None


class TestSizes:
    @pytest.mark.parametrize("mode", list(MODES))
    def test_the_tokens_told_are_those_of_the_pages_when_they_are_read(self, tmp_path, make_pdf, mode):
        (tmp_path / "a.pdf").write_bytes(make_pdf(["x", None, "y"], size=(595, 842)))
        Image.new("RGB", (1500, 500)).save(tmp_path / "b.png")
        said: list[str] = []
        options, inputs = Options(mode), [Input(tmp_path / name, name) for name in ("a.pdf", "b.png")]
        assert tell_plan(inputs, options, lambda _: False, Pace(4, 6), said.append, print) == 0
        pages = [page for each in inputs for page in open_pages(each.source) if hasattr(page, "image")]
        seen = sum(tokens_on_page(page.size, make_views(page.image, MODES[mode]).layout, MODES[mode]) for page in pages)
        assert said[-2:] == [
            f"2 files, 4 pages, {seen:,} vision tokens",
            "about 6.0 s: 1.5 s a page, as over 4 pages read here before",
        ]

    @pytest.mark.parametrize(
        ("names", "whole", "time"),
        [
            (["-"], "not counted: 1 input", "how long it may take is not known: no page is counted"),
            (
                ["a.png", "-", "https://host.example/a.pdf"],
                "1 file, 1 page, 64 vision tokens; not counted: 2 inputs",
                "about 1.5 s for what is counted: 1.5 s a page, as over 4 pages read here before",
            ),
            ([], "0 files, 0 pages, 0 vision tokens", "nothing would be read"),
        ],
    )
    def test_what_is_not_counted_is_told(self, tmp_path, monkeypatch, names, whole, time):
        monkeypatch.chdir(tmp_path)
        Image.new("RGB", (300, 300)).save("a.png")
        said: list[str] = []
        inputs = [Input(name, name) for name in names]
        assert tell_plan(inputs, Options("tiny"), lambda _: False, Pace(4, 6), said.append, print) == 0
        assert said[-2:] == [whole, time]

    def test_only_the_pages_asked_for_are_counted(self, tmp_path, make_pdf):
        (tmp_path / "a.pdf").write_bytes(make_pdf(["x"] * 9))
        assert [size.number for size in sizes_of(tmp_path / "a.pdf", Options(pages="2,5-6"))] == [2, 5, 6]

    def test_an_input_that_cannot_be_read_is_told_as_when_it_is_read(self, tmp_path):
        (tmp_path / "folder").mkdir()
        told: list[str] = []
        for path in (tmp_path / "folder", Path("missing.png")):
            assert tell_plan([Input(path, "x")], Options(), lambda _: False, None, lambda _: None, told.append) == 2
        assert "a directory without pages" in told[0]
        assert told[1] == "error: missing.png: no such file"
