"""Empty pages are told from those with anything on them."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from dsocr.pages.blank import is_blank

SIZE = (827, 1169)  # A4 at 100 dots per inch
PAGES = Path(__file__).parents[1] / "golden"
Draw = Callable[[ImageDraw.ImageDraw], None]


@lru_cache(4)
def paper(shade: float = 245, grain: float = 0, slope: float = 0, seed: int = 0) -> np.ndarray:
    """An empty sheet: its shade, the standard deviation of its grain, and how much darker it is below than above."""
    sheet = np.random.default_rng(seed).normal(shade, grain, SIZE[::-1])
    return sheet - np.linspace(0, slope, SIZE[1])[:, None]


def picture(sheet: np.ndarray, quality: int | None = None) -> Image.Image:
    image = Image.fromarray(sheet.clip(0, 255).astype(np.uint8))
    if quality is None:
        return image
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def marked(draw: Draw, contrast: float, sheet: np.ndarray | None = None) -> Image.Image:
    """Paper with something on it that is so much darker."""
    mask = Image.new("L", SIZE)
    draw(ImageDraw.Draw(mask))
    return picture((paper(grain=3, slope=20) if sheet is None else sheet) - np.asarray(mask) * (contrast / 255))


def text(place: tuple[int, int], words: str, points: float) -> Draw:
    font = ImageFont.load_default(points / 72 * 100)
    return lambda page: page.text(place, words, 255, font)


def strip(sheet: np.ndarray, side: int, width: int, soft: bool) -> np.ndarray:
    """A shadow along one of the four edges."""
    turned = np.rot90(sheet, side)
    places = np.arange(turned.shape[1])
    light = 1 - 0.6 * np.exp(-places / width * 1.5) if soft else np.where(places < width, 0.2, 1.0)
    return np.rot90(turned * light, -side)


class TestEmpty:
    @pytest.mark.parametrize("shade", [0, 90, 200, 255])
    def test_paper_of_one_shade(self, shade: int) -> None:
        assert is_blank(Image.new("RGB", SIZE, (shade, shade, max(0, shade - 20))))

    @pytest.mark.parametrize("quality", [None, 90])
    @pytest.mark.parametrize(("grain", "slope"), [(0, 40), (3, 0), (5, 30)])
    def test_paper_with_a_grain_in_uneven_light(self, grain: float, slope: float, quality: int | None) -> None:
        assert is_blank(picture(paper(240, grain, slope), quality))

    @pytest.mark.parametrize("side", range(4))
    @pytest.mark.parametrize("soft", [True, False])
    def test_shadows_along_an_edge(self, side: int, soft: bool) -> None:
        assert is_blank(picture(strip(paper(grain=3), side, 24, soft)))

    def test_a_lone_speck(self) -> None:
        assert is_blank(marked(lambda page: page.ellipse((400, 500, 402, 502), 255), 180))

    @pytest.mark.parametrize(
        "size", [(8, 8), (8, 3000), (3000, 8), (40, 30), (16, 16), (17, 50), (8, 90_000), (90_000, 9)]
    )
    def test_any_size(self, size: tuple[int, int]) -> None:
        assert is_blank(Image.new("RGB", size, "white")) is True

    @pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "CMYK"])
    def test_any_colour_mode(self, mode: str) -> None:
        assert is_blank(Image.new("L", (300, 400), 255).convert(mode))


class TestNotEmpty:
    @pytest.mark.parametrize("contrast", [60, 120, 240])
    @pytest.mark.parametrize(
        "draw",
        [
            text((410, 1120), "7", 8),
            text((410, 40), "23", 6),
            text((100, 500), "This page is left blank.", 8),
            text((100, 500), "No.", 7),
            lambda page: page.line((100, 300, 700, 310), 255),
            lambda page: page.line((400, 100, 400, 1000), 255),
            lambda page: page.line((70, 60, 757, 60), 255),
            lambda page: page.ellipse((300, 300, 420, 420), outline=255),
        ],
        ids=["number", "small number", "line of print", "one word", "thin line", "upright line", "rule", "circle"],
    )
    def test_one_small_thing(self, draw: Draw, contrast: float) -> None:
        assert not is_blank(marked(draw, contrast))

    def test_one_small_thing_beside_a_shadow(self) -> None:
        for side in range(4):
            sheet = strip(paper(grain=3), side, 24, soft=True)
            assert not is_blank(marked(text((410, 1090), "7", 8), 100, sheet))

    def test_print_lighter_than_the_page(self) -> None:
        assert not is_blank(marked(text((100, 500), "light", 10), -80, paper(40, grain=3)))

    def test_print_of_another_colour_and_the_same_grey(self) -> None:
        page = Image.new("RGB", SIZE, (255, 120, 120))
        ImageDraw.Draw(page).text((100, 500), "blue on red", (129, 160, 255), ImageFont.load_default(14))
        grey = np.asarray(page.convert("L"))
        assert np.ptp(grey) < 20
        assert not is_blank(page)

    @pytest.mark.parametrize("name", ["nano/000.png", "nano/004.png", "micro/page.png", "post/page.png"])
    def test_pages_of_print(self, name: str) -> None:
        with Image.open(PAGES / name) as page:
            assert not is_blank(page)

    def test_noise_and_pictures(self) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (400, 300, 3), dtype=np.uint8)
        assert not is_blank(Image.fromarray(noise))
        checks = (np.indices((300, 300)).sum(axis=0) // 20 % 2 * 255).astype(np.uint8)
        assert not is_blank(Image.fromarray(checks))

    @settings(max_examples=25, deadline=None)
    @given(st.integers(20, 780), st.integers(60, 1120), st.integers(60, 200), st.integers(0, 5), st.integers(0, 999))
    def test_a_page_number_wherever_it_stands(self, x: int, y: int, contrast: int, grain: int, number: int) -> None:
        sheet = paper(grain=grain, slope=20, seed=number)
        assert not is_blank(marked(text((x, y), str(number), 8), contrast, sheet))
