"""Boxes on the grid and in pixels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsocr.document import STATUSES, Block, Box, Transcript

SIZES = st.integers(0, 5000)
ANY_NUMBER = st.one_of(st.integers(), st.floats())


def test_a_box_over_the_whole_grid_is_the_whole_page():
    assert Box(0, 0, 999, 999).to_pixels(600, 840) == (0, 0, 600, 840)


def test_pixels_are_cut_and_not_rounded():
    assert Box(10, 10, 300, 300).to_pixels(600, 840) == (6, 8, 180, 252)


def test_a_box_beyond_the_page_ends_at_its_edge():
    assert Box(-5, 900, 1200, 1300).to_pixels(600, 840) == (0, 756, 600, 840)


def test_an_inverted_box_has_no_area():
    left, top, right, bottom = Box(500, 500, 400, 400).to_pixels(600, 840)
    assert (left, top) == (right, bottom)


@given(ANY_NUMBER, ANY_NUMBER, ANY_NUMBER, ANY_NUMBER, SIZES, SIZES)
def test_every_box_lies_on_the_page(left, top, right, bottom, width, height):
    x1, y1, x2, y2 = Box(left, top, right, bottom).to_pixels(width, height)
    assert 0 <= x1 <= x2 <= width
    assert 0 <= y1 <= y2 <= height


def test_what_a_page_is_made_of_never_changes():
    with pytest.raises(AttributeError):
        Block("text", (), "a").text = "b"


def test_a_page_is_well_until_something_happens():
    assert Transcript(1, 600, 840, "", ()).status == "ok"
    assert set(STATUSES) == {"ok", "truncated", "looped", "blank", "failed", "skipped"}
