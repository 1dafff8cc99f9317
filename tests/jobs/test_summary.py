"""The summary counts everything, names what a person should look at, and stays on one screen."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsocr.document import STATUSES
from dsocr.jobs.manifest import Outcome
from dsocr.jobs.summary import Summary, show_left_out, show_seconds


def summary(*outcomes: Outcome) -> Summary:
    summed = Summary()
    for outcome in outcomes:
        summed.add(outcome)
    return summed


def test_the_pages_that_the_network_was_least_sure_of_are_named():
    sure = {1: 0.95, 2: 0.42, 3: 0.899, 4: 0.7, 5: 0.61, 6: None}
    summed = summary(*(Outcome("a.pdf", number, "ok", confidence=each) for number, each in sure.items()))
    assert summed.lines(1, None)[1:] == [
        "4 pages less than 90% sure, the least: a.pdf page 2 (42%), a.pdf page 5 (61%), a.pdf page 4 (70%)"
    ]


def test_what_is_not_ok_is_named():
    summed = summary(
        Outcome("a.pdf", 1, "ok", cached=True),
        Outcome("a.pdf", 2, "blank"),
        Outcome("a.pdf", 3, "looped"),
        Outcome("b.png", None, "failed", "b.png: no such file"),
        Outcome("c.png", None, "skipped", "there"),
    )
    assert summed.lines(75, Path("out/manifest.jsonl")) == [
        "3 pages in 75.0 s: 1 ok, 1 looped, 1 blank; 1 known from before",
        "1 input could not be read",
        "1 input skipped",
        "not ok: a.pdf page 3: looped",
        "not ok: b.png: failed",
        "how every page ended: out/manifest.jsonl",
    ]


def test_what_is_left_out_is_told_by_its_endings():
    files = [Path(name) for name in ("a.docx", "b.DOCX", "scan", "c.tx\nt")]
    assert show_left_out(files, 2, 0, 1) == (
        r"left out: 4 files (.docx 2, no ending 1, .tx\nt 1), 2 folders inside (-r reads them), 1 answer of earlier runs"
    )
    assert show_left_out([], 0, 1, 0) == "left out: 1 linked folder (not followed unless named)"
    assert show_left_out([Path(f"x.{number}") for number in range(9)], 0, 0, 0).endswith(".5 1, others 3)")
    assert show_left_out([], 0, 0, 0) is None


@given(st.lists(st.tuples(st.sampled_from(STATUSES), st.none() | st.integers(1, 9999)), max_size=60))
def test_however_many_there_are_it_is_one_screen_and_counts_them_all(ends):
    summed = summary(*(Outcome("a.pdf", page, status) for status, page in ends))
    lines = summed.lines(1, None)
    assert len(lines) <= 14
    assert summed.total == len(ends)
    bad = sum(status not in ("ok", "blank") and not (status == "skipped" and page is None) for status, page in ends)
    assert sum(line.startswith("not ok: a.pdf") for line in lines) == min(bad, 10)
    assert (f"not ok: {bad - 10} more" in lines) == (bad > 10)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.04, "0.0 s"), (99.94, "99.9 s"), (100, "2 min"), (5940, "99 min"), (12000, "3 h 20 min")]
)
def test_times_are_shown_as_people_say_them(seconds, shown):
    assert show_seconds(seconds) == shown
