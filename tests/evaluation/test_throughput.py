"""A pace is that of the pages that were read, the first pass aside."""

from __future__ import annotations

import itertools

import pytest
from drawn_pages import inked

from dsocr.errors import InputError
from dsocr.evaluation.report.writer import as_markdown
from dsocr.evaluation.throughput import DAY, PAGES_A_DAY, Pace, ReadPage, measure, report
from dsocr.ocr import Options, load

OPTIONS = Options("tiny", "free")


def quiet(_: str) -> None:
    pass


def page(status: str = "ok", tokens: int = 10) -> ReadPage:
    return ReadPage(status, (80, 60), tokens, 64)


def test_pages_a_day_are_those_of_one_pass_after_the_warm_up(checkpoint, dictate):
    dictate("text")
    pace = measure(load(checkpoint), [inked(), inked()], OPTIONS, 0, quiet)
    assert (pace.warm_up, len(pace.pages), pace.passes) == (2, 2, 1)
    assert pace.pages_a_day == 2 / pace.seconds * DAY


def test_passes_go_on_until_the_time_is_over(checkpoint, dictate, monkeypatch):
    dictate("text")
    ticks = itertools.count()
    monkeypatch.setattr("dsocr.evaluation.throughput.time.perf_counter", lambda: next(ticks))
    assert measure(load(checkpoint), [inked()], OPTIONS, 20, quiet).passes > 1


def test_pages_that_cannot_be_read_do_not_count(checkpoint, dictate, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    dictate("text")
    pace = measure(load(checkpoint), [inked(), str(tmp_path / "broken.png")], OPTIONS, 0, quiet)
    assert [page.status for page in pace.pages] == ["ok", "failed"]
    assert len(pace.read) == 1


def test_where_nothing_can_be_read_there_is_no_pace(checkpoint, tmp_path):
    with pytest.raises(InputError, match="none of these files"):
        measure(load(checkpoint), [str(tmp_path / "none.png")], OPTIONS, 0, quiet)


def test_where_every_page_fails_after_the_warm_up_there_is_no_pace(checkpoint, dictate, tmp_path):
    inked().save(tmp_path / "page.png")
    dictate("text")
    with pytest.raises(InputError, match=r"after the warm-up every page failed: .*no such file"):
        measure(load(checkpoint), [tmp_path / "page.png"], OPTIONS, 0, lambda _: (tmp_path / "page.png").unlink())


def test_the_report_says_what_was_read_and_stands_beside_the_published_pace():
    printed = as_markdown(report(Pace((page(), page("looped", 30), page("failed", 0)), 4.0, 1, 3, 2.0), ()))
    assert "3, read 1 × (1 ok, 1 looped, 1 failed)" in printed
    assert f"{PAGES_A_DAY:,}" in printed
    assert "43,200" in printed  # two pages in four seconds


def test_tokens_a_second_are_over_all_the_time():
    assert Pace((page(tokens=10), page(tokens=30)), 4.0, 1, 2, 0.0).tokens_a_second == 10.0
