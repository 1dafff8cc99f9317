"""Pages are turned by quarters, and only where a reader is much surer of what it then reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dsocr.pages import Page
from dsocr.pages.sideways import TURNS, choose_turn

SURENESS = st.floats(-20, 0) | st.just(float("-inf"))


def corners(image: Image.Image) -> list[int]:
    """The shades of the four corners, clockwise from the upper left one."""
    right, bottom = image.width - 1, image.height - 1
    pixels = (image.getpixel(place) for place in ((0, 0), (right, 0), (right, bottom), (0, bottom)))
    return [pixel[0] for pixel in pixels]  # type: ignore[index]


def page() -> Page:
    image = Image.new("RGB", (3, 2))
    for shade, place in enumerate(((0, 0), (2, 0), (2, 1), (0, 1))):
        image.putpixel(place, (shade, 0, 0))
    return Page("a.png", 7, image, 300.0, "words")


@pytest.mark.parametrize(("degrees", "seen"), [(0, [0, 1, 2, 3]), (90, [3, 0, 1, 2]), (180, [2, 3, 0, 1])])
def test_a_page_is_turned_clockwise(degrees, seen):
    turned = page().turned(degrees)
    assert corners(turned.image) == seen
    assert (turned.rotated, turned.number, turned.dpi, turned.text) == (degrees, 7, 300.0, "words")


@given(st.lists(st.sampled_from([-270, -90, *TURNS, 450]), max_size=5))
def test_turns_add_up_and_a_page_turned_back_is_as_it_was(turns):
    turned = page()
    for degrees in turns:
        turned = turned.turned(degrees)
    assert turned.rotated == sum(turns) % 360
    back = turned.turned(-turned.rotated)
    assert (back.rotated, back.image.tobytes()) == (0, page().image.tobytes())


@given(st.tuples(SURENESS, SURENESS, SURENESS, SURENESS))
def test_a_page_is_turned_only_to_what_is_readable_and_clearly_surer(sureness):
    by_turn = dict(zip(TURNS, sureness, strict=True))
    turn = choose_turn(by_turn)
    assert turn == 0 or (by_turn[turn] == max(sureness) > -0.3 and by_turn[turn] > by_turn[0] + 0.2)


@pytest.mark.parametrize(
    ("sureness", "turn"),
    [
        ((-0.1, -0.7, -0.9, -0.6), 0),
        ((-0.8, -0.7, -0.9, -0.1), 270),
        ((-0.9, -0.05, -0.8, -0.7), 90),
        ((-1.1, -0.9, -0.04, -0.8), 180),
        ((-0.25, -0.1, -0.9, -0.8), 0),
        ((-1.8, -1.0, -0.7, -1.4), 0),
        ((float("-inf"),) * 4, 0),
    ],
)
def test_the_way_up_is_the_one_that_reads(sureness, turn):
    assert choose_turn(dict(zip(TURNS, sureness, strict=True))) == turn
