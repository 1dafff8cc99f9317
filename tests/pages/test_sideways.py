"""Pages that look turned are noticed, and turned only where a reader is much surer of what it then reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from dsocr.pages import Page
from dsocr.pages.sideways import TURNS, choose_turn, looks_sideways, looks_turned, looks_upside_down

SIZE = (827, 1169)  # A4 at 100 dots per inch
PAGES = Path(__file__).parents[1] / "golden"
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


def lines_of_print(size: float, count: int, skew: float = 0) -> Image.Image:
    grain = np.random.default_rng(0).normal(245, 4, SIZE[::-1])
    page = Image.fromarray(grain.clip(0, 255).astype(np.uint8))
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size)
    for line in range(count):
        words = "The quick brown fox jumps over the lazy dog. " * 4
        draw.text((80, 80 + line * size * 1.5), words[line * 7 % 45 :][: int(1200 / size)], 30, font)
    return page.rotate(skew, fillcolor=245, resample=Image.Resampling.BICUBIC)


class TestSideways:
    @pytest.mark.parametrize(("size", "count"), [(10, 60), (14, 40), (14, 4), (18, 1)])
    @pytest.mark.parametrize("skew", [-2, 0, 2])
    def test_lines_of_print_tell_it(self, size, count, skew):
        page = lines_of_print(size, count, skew)
        for angle, lies in ((0, False), (90, True), (180, False), (270, True)):
            assert looks_sideways(page.rotate(angle, expand=True)) == lies

    @pytest.mark.parametrize("name", ["nano/000.png", "nano/004.png", "micro/page.png", "post/page.png"])
    def test_other_pages_stand(self, name):
        with Image.open(PAGES / name) as page:
            assert not looks_sideways(page)

    @pytest.mark.parametrize("size", [(8, 8), (8, 3000), (3000, 8), (40, 30)])
    def test_what_has_no_lines_gives_no_hint(self, size):
        assert not looks_sideways(Image.new("RGB", size, "white"))


class TestUpsideDown:
    @pytest.mark.parametrize(("size", "count"), [(10, 60), (14, 40)])
    @pytest.mark.parametrize("skew", [-1, 0, 1])
    def test_letters_tell_it_by_what_stands_above_them(self, size, count, skew):
        page = lines_of_print(size, count, skew)
        assert not looks_upside_down(page)
        assert looks_upside_down(page.rotate(180))

    @pytest.mark.parametrize("page", sorted((PAGES / "nano").glob("*.png")), ids=lambda path: path.stem)
    def test_so_do_all_faces(self, page):
        with Image.open(page) as image:
            assert [looks_turned(image.rotate(angle, expand=True)) for angle in (0, 180)] == [False, True]

    @pytest.mark.parametrize(
        "line", ["TOTAL AMOUNT DUE, PAID IN FULL", "1,024.50 3,771.08 99,310.00", "....... ------"]
    )
    def test_capitals_and_figures_tell_nothing(self, line):
        page = Image.new("L", SIZE, 245)
        for number in range(20):
            ImageDraw.Draw(page).text((80, 80 + number * 30), line, 30, ImageFont.load_default(20))
        assert not looks_upside_down(page)
        assert not looks_upside_down(page.rotate(180))

    @pytest.mark.parametrize("size", [(1, 1), (8, 8), (8, 3000), (3000, 8), (40, 30)])
    def test_what_has_no_lines_gives_no_hint(self, size):
        assert not looks_upside_down(Image.new("RGB", size, "white"))
