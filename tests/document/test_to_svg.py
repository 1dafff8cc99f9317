"""Plane figures are drawn where the model put them, and nothing in them but names is taken from it."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from hypothesis import example, given
from hypothesis import strategies as st
from written_pages import read_golden, transcript_of

from dsocr.document import Document, read_geometry, svg_files, to_html, to_svg
from dsocr.document.geometry import Circle, Geometry, Line, NamedPoint, Point

SVG = "{http://www.w3.org/2000/svg}"
POINTS = st.builds(Point, *[st.floats(-1e9, 1e9)] * 2)
NAMED = st.builds(NamedPoint, st.text(max_size=5), POINTS)
FIGURES = st.builds(
    Geometry,
    st.lists(st.builds(Line, POINTS, POINTS, st.text(max_size=3)), max_size=4).map(tuple),
    st.lists(NAMED, max_size=4).map(tuple),
    st.lists(st.builds(Circle, NAMED, st.floats(-1e9, 1e9)), max_size=4).map(tuple),
)


def drawn(figure: Geometry) -> ElementTree.Element:
    return ElementTree.fromstring(to_svg(figure))


def test_the_published_figure_is_drawn():
    figure = drawn(read_geometry(read_golden("geometry", "in.txt")))
    across, upright = figure.findall(f"{SVG}line")
    assert (across.get("x1"), across.get("y1"), across.get("x2"), across.get("y2")) == ("40", "200", "360", "200")
    assert (upright.get("y1"), upright.get("y2")) == ("360", "40")  # upwards
    assert across.get("stroke-dasharray")
    assert not upright.get("stroke-dasharray")
    assert figure.find(f"{SVG}circle").get("r") == "96"
    assert [text.text for text in figure.iter(f"{SVG}text")] == ["A", "B", "O"]


def test_a_figure_of_one_point_is_a_dot_in_the_middle():
    (dot,) = drawn(Geometry((), (NamedPoint("A", Point(7, 7)),), ())).iter(f"{SVG}circle")
    assert (dot.get("cx"), dot.get("cy")) == ("200", "200")


@given(FIGURES)
@example(Geometry((), (), (Circle(NamedPoint("", Point(0.0, 0.0)), 1e-308),)))
def test_every_figure_is_well_formed_and_lies_in_its_picture(figure):
    picture = drawn(figure)
    places = [
        each.get(name) for each in picture.iter() for name in ("x1", "y1", "x2", "y2", "cx", "cy") if each.get(name)
    ]
    assert all(39.9 <= float(place) <= 360.1 for place in places)


def test_a_name_is_only_a_name():
    svg = to_svg(Geometry((), (NamedPoint('<script>"\x00' + "x" * 1000, Point(0, 0)),), ()))
    assert "<script" not in svg
    assert len(svg) < 700


def test_each_page_that_is_a_figure_has_a_file():
    pages = (transcript_of("words", 1), transcript_of(read_golden("geometry", "in.txt"), 2))
    (file,) = svg_files(Document("a.pdf", pages), "a")
    assert file.name == "a_figure_2.svg"
    assert re.fullmatch(rb"<svg .*</svg>\n", file.content, re.DOTALL)


def test_a_figure_behind_a_tag_is_drawn_as_in_html():
    tag, figure = "<|ref|>image<|/ref|><|det|>[[1, 2, 30, 40]]<|/det|>\n", read_golden("geometry", "in.txt")
    document = Document("a.pdf", (transcript_of(tag + figure + "\n\n" + tag + figure, 2),))
    assert [file.name for file in svg_files(document, "a")] == ["a_figure_2.svg", "a_figure_2_2.svg"]
    assert to_html(document).count("<svg") == 2
