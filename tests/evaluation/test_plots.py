"""Plots are whole drawings that need nothing else, and their points lie where their figures say."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsocr.evaluation.report.plots import HEIGHT, WIDTH, Plot, Point, Series, draw, ticks

SVG = "{http://www.w3.org/2000/svg}"
figures = st.floats(-1e6, 1e6)
points = st.builds(Point, figures, figures)


def drawn(*series: Series, **options) -> ElementTree.Element:
    return ElementTree.fromstring(draw(Plot("Title", "across", "up", series, **options)))


def circles(*series: Series, **options) -> list[tuple[float, float]]:
    return [(float(c.get("cx")), float(c.get("cy"))) for c in drawn(*series, **options).iter(f"{SVG}circle")]


@given(st.lists(points, max_size=5))
def test_every_point_is_drawn_inside_the_plot(own):
    places = circles(Series("one", tuple(own)))
    assert len(places) == len(own)
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in places)


@given(st.text(st.characters(codec="utf-8", exclude_categories=("C",))))
def test_any_name_can_stand_in_the_key(name):
    assert name.strip() in "".join(drawn(Series(name, (Point(1, 1),))).itertext())


def test_more_lies_further_to_the_right_and_higher_up():
    low, high = circles(Series("one", (Point(1, 0.2), Point(2, 0.8))), bottom=0.0, top=1.0)
    assert low[0] < high[0]
    assert low[1] > high[1]


def test_the_top_of_an_axis_that_was_given_is_the_top_of_the_plot():
    full, empty = circles(Series("one", (Point(1, 1.0), Point(2, 0.0))), bottom=0.0, top=1.0)
    assert full[1] < 50
    assert empty[1] > HEIGHT - 60


def test_an_interval_is_a_line_through_its_point():
    with_one = drawn(Series("one", (Point(1, 0.5, 0.4, 0.7),)), bottom=0.0, top=1.0)
    without = drawn(Series("one", (Point(1, 0.5),)), bottom=0.0, top=1.0)
    assert len(list(with_one.iter(f"{SVG}line"))) == len(list(without.iter(f"{SVG}line"))) + 1


def test_published_points_are_hollow():
    (circle,) = drawn(Series("paper", (Point(1, 1),), published=True)).iter(f"{SVG}circle")
    assert circle.get("fill") == "none"


def test_a_plot_without_points_says_so():
    assert "there is nothing to show" in "".join(drawn().itertext())


def test_a_plot_of_nothing_but_what_was_published_shows_nothing():
    paper, none, own = (
        Series("paper", (Point(1, 1),), published=True),
        Series("none", ()),
        Series("own", (Point(1, 1),)),
    )
    shows = [Plot("Title", "across", "up", series).shows for series in ((), (paper,), (paper, none), (paper, own))]
    assert shows == [False, False, False, True]


def bars(*series: Series, groups: tuple[str, ...]) -> list[tuple[float, float, float, float]]:
    found = drawn(*series, groups=groups, bottom=0.0, top=1.0).iter(f"{SVG}rect")
    return [tuple(float(bar.get(name)) for name in ("x", "y", "width", "height")) for bar in found]


def test_bars_stand_side_by_side_on_one_ground_and_the_longer_one_is_more():
    one, other = Series("one", (Point(0, 0.25), Point(1, 0.5))), Series("other", (Point(0, 0.5), Point(1, 1.0)))
    found = sorted(bars(one, other, groups=("book", "note")))
    assert [bar[3] / found[0][3] for bar in found] == pytest.approx([1, 2, 2, 4], abs=0.01)
    assert {round(y + height) for _, y, _, height in found} == {HEIGHT - 52}
    assert all(left[0] + left[2] <= right[0] + 0.2 for left, right in itertools.pairwise(found))
    assert all(x >= 0 and x + width <= WIDTH for x, _, width, _ in found)


def test_bars_have_the_names_of_their_groups_and_long_ones_are_cut():
    text = "".join(drawn(Series("one", (Point(0, 1),)), groups=("book", "a" * 40)).itertext())
    assert "book" in text
    assert "a" * 14 + "…" in text
    assert "a" * 15 not in text


@given(st.floats(-1e6, 1e6), st.floats(0.001, 1e6))
def test_ticks_are_few_and_lie_inside(low, width):
    found = ticks(low, low + width)
    assert 2 <= len(found) <= 13
    assert all(low - width * 1e-6 <= tick <= low + width * (1 + 1e-6) for tick in found)


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0, 6, [0, 1, 2, 3, 4, 5, 6])]
)
def test_ticks_are_round(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)
