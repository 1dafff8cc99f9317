"""Pages are grouped without losing any, and their means are those of the group."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsocr.evaluation.report.breakdown import (
    BINS,
    Figure,
    PageFigures,
    bars,
    bin_of,
    by_kind,
    by_mode,
    by_tokens,
    curve,
    plot_over_tokens,
    show_bin,
)
from dsocr.evaluation.report.table import Estimate, Table, to_rows

FIGURES = (Figure("share"),)
measured = st.builds(
    PageFigures,
    page=st.just("page"),
    mode=st.sampled_from(["tiny", "small"]),
    kind=st.sampled_from(["book", "note"]),
    text_tokens=st.integers(0, 9000),
    vision_tokens=st.sampled_from([0, 64, 100]),
    values=st.tuples(st.none() | st.floats(0, 1)),
)


def page(mode: str = "tiny", kind: str = "book", tokens: int = 640, vision: int = 64, value: float | None = 0.5):
    return PageFigures("page", mode, kind, tokens, vision, (value,))


def column(table: Table, name: str) -> list:
    return [row[name] for row in to_rows(table)]


@settings(max_examples=10)
@given(st.lists(measured, max_size=3))
def test_every_page_is_in_one_row(pages):
    for table in (by_mode(pages, FIGURES, ""), by_kind(pages, FIGURES, "kind"), by_tokens(pages, FIGURES)):
        assert sum(column(table, "pages")) == len(pages)


@given(st.integers(0, 10**6))
def test_every_number_of_tokens_falls_between_the_ends_of_its_step(tokens):
    low, high = bin_of(tokens)
    assert low in BINS
    assert low <= tokens < (high or tokens + 1)


def test_the_papers_steps_are_steps_here():
    assert [show_bin(bin_of(tokens)) for tokens in (600, 699, 1299, 5000)] == [
        "600–700",
        "600–700",
        "1200–1300",
        "5000 and more",
    ]


def test_the_ratio_is_text_tokens_over_vision_tokens():
    assert column(by_mode([page(tokens=640, vision=64)], FIGURES, ""), "ratio") == [10.0]


def test_pages_whose_vision_tokens_nobody_knows_have_no_ratio():
    (row,) = to_rows(by_mode([page(vision=0)], FIGURES, ""))
    assert (row["vision tokens, mean"], row["ratio"]) == (None, None)


def test_pages_without_a_figure_do_not_pull_its_mean_down():
    table = by_mode([page(value=0.5), page(value=None)], FIGURES, "")
    assert table.rows[0][-1] == Estimate(0.5, 0.5, 0.5)


def test_steps_come_in_the_order_of_their_size():
    pages = [page(tokens=tokens) for tokens in (1250, 50, 640)]
    assert column(by_tokens(pages, FIGURES), "text tokens") == ["0–100", "600–700", "1200–1300"]


def test_a_curve_has_a_point_for_each_step_at_its_mean_ratio():
    (series,) = curve([page(tokens=640), page(tokens=656), page(tokens=1280, value=0.25)], 0)
    assert [(point.x, point.y) for point in series.points] == [(pytest.approx(10.125), 0.5), (20.0, 0.25)]


def test_a_mode_without_known_ratios_has_no_curve():
    assert [series.name for series in curve([page("tiny"), page("small", vision=0)], 0)] == ["tiny"]


def test_over_text_tokens_there_is_a_curve_though_nobody_knows_the_ratio():
    (series,) = plot_over_tokens("", [page(tokens=610, vision=0), page(tokens=650, vision=0)], 0, "").series
    assert [(point.x, point.y) for point in series.points] == [(630.0, 0.5)]


def test_every_kind_has_a_bar_for_each_mode_that_read_it():
    pages = [page("tiny", "book"), page("small", "book", value=1.0), page("small", "note", value=0.25)]
    shown = bars("", [*pages, page("small", "empty", value=None)], 0, "")
    assert shown.groups == ("book", "note")
    assert [[(point.x, point.y) for point in series.points] for series in shown.series] == [
        [(0, 0.5)],
        [(0, 1.0), (1, 0.25)],
    ]
