"""A table says the same in Markdown, in HTML and in JSON."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from dsocr.evaluation.report.table import Column, Estimate, Table, show, to_html, to_markdown, to_rows

words = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1)
COLUMNS = (Column("name"), Column("share", ".1%"))


def table(*rows) -> Table:
    return Table("Shares", COLUMNS, rows, "As measured.")


class Cells(HTMLParser):
    """What stands in the cells of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._inside = tag == "td" or (self._inside and tag == "small")
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "td"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.cells[-1] += data


@given(words, words)
def test_what_a_cell_holds_is_never_taken_for_markup(first, second):
    rows = ((first, 0.25), (second, None))
    assert Cells(to_html(table(*rows))).cells == [first, "25.0%", second, "–"]


@given(st.text(st.sampled_from("ab|\\ \n"), min_size=1))
def test_a_cell_stays_one_cell_in_markdown(text):
    page = MarkdownIt("commonmark").enable("table").render(to_markdown(table((text, 0.25))))
    assert len(Cells(page).cells) == 2


def test_an_estimate_shows_its_interval():
    assert show(Estimate(0.5, 0.25, 0.75), ".0%") == "50% [25%, 75%]"


def test_an_interval_that_is_a_point_is_not_shown():
    assert show(Estimate(0.5, 0.5, 0.5), ".0%") == "50%"


def test_in_html_an_interval_stands_below_its_value():
    assert "50.0%<small> [25.0%, 75.0%]</small>" in to_html(table(("a", Estimate(0.5, 0.25, 0.75))))


def test_rows_keep_what_rounding_would_lose():
    estimate = Estimate(1 / 3, 0.0, 2 / 3)
    assert to_rows(table(("a", estimate), ("b", None))) == [
        {"name": "a", "share": {"value": 1 / 3, "low": 0.0, "high": 2 / 3}},
        {"name": "b", "share": None},
    ]


def test_columns_of_figures_stand_to_the_right():
    rule = to_markdown(table(("a", 0.25))).splitlines()[3]
    assert rule.startswith("|---")
    assert rule.endswith(":|")
