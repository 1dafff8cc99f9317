"""Figures are read from a dictionary and never evaluated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from written_pages import read_golden

from dsocr.document import read_geometry
from dsocr.document.geometry import Circle, Line, NamedPoint, Point


def test_the_published_figure_is_read():
    figure = read_geometry(read_golden("geometry", "in.txt"))
    assert figure.lines[0] == Line(Point(-5, 0), Point(5, 0), "--")
    assert figure.points == (NamedPoint("A", Point(-5, 0)), NamedPoint("B", Point(5, 0)))
    assert figure.circles == (Circle(NamedPoint("O", Point(0, 0)), 3),)


def test_a_line_without_a_type_is_solid():
    assert read_geometry("{'Line': {'line': ['(0, 0) -- (1.5, -1)']}}").lines[0].style == "-"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "words with line_type in them",
        "{}",
        "[]",
        "{'Line': 3}",
        "{'Line': {'line': '(0, 0) -- (1, 1)'}}",
        "{'Line': {'line': [__import__('os').system('x')]}}",
        "{'Line': {'line': ['(0, 0)']}}",
        "{'Line': {}} + 1",
        "{'Circle': {'circle_center': ['O: (0, 0)'], 'radius': ['3']}}",
        "{'Circle': {'radius': [3]}}",
        "'",
        "{'Circle': {'circle_center': ['O: (0, 0)'], 'radius': [1e9]}}",
        "[" * 1_000_000,
        "{'Line': " * 100_000,
    ],
    ids=lambda text: text[:30],
)
def test_anything_else_is_no_figure(text):
    assert read_geometry(text) is None


@given(st.lists(st.sampled_from([*"{}[]:,'\"()-1. ", "Line", "line", "'Line'", "{'Line':", "\\"])).map("".join))
def test_no_text_raises(text):
    read_geometry(text)
