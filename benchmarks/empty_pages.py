"""How often empty pages are told from those with little on them, and lying ones from standing ones.

`python benchmarks/empty_pages.py [COUNT]` draws so many pages of each kind (A4 at 100 dpi, random paper, light and
compression) and counts the answers of is_blank, looks_sideways and looks_upside_down.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from dsocr.pages.blank import is_blank
from dsocr.pages.sideways import looks_sideways, looks_upside_down

SIZE = (827, 1169)
WORDS = (
    "the",
    "of",
    "and",
    "to",
    "in",
    "that",
    "is",
    "was",
    "for",
    "with",
    "his",
    "had",
    "which",
    "not",
    "from",
    "they",
)
PRINT = (("a page", 99, 7, 12), ("five lines", 5, 7, 12), ("one line", 1, 7, 12), ("a poster", 99, 20, 43))
Sheet = npt.NDArray[np.float32]
Chance = np.random.Generator


def paper(chance: Chance) -> Sheet:
    """Grain of a standard deviation up to 6, slower stains up to 4, and light that fades by up to 40 shades."""
    width, height = SIZE
    stains = chance.standard_normal((height // 4 + 1, width // 4 + 1), dtype=np.float32)
    sheet = chance.standard_normal((height, width), dtype=np.float32) * np.float32(chance.uniform(0, 6))
    sheet += np.asarray(Image.fromarray(stains).resize(SIZE, Image.Resampling.BICUBIC)) * np.float32(
        chance.uniform(0, 4)
    )
    return sheet + np.float32(chance.uniform(200, 252)) - np.linspace(0, chance.uniform(0, 40), height)[:, None]


def shadow(sheet: Sheet, chance: Chance, soft: bool) -> Sheet:
    side, width = int(chance.integers(4)), chance.uniform(4, 36)
    turned = np.rot90(sheet, side)
    places = np.arange(turned.shape[1])
    hard = np.where(places < width, chance.uniform(0.05, 0.5), 1.0)
    light = 1 - chance.uniform(0.2, 0.7) * np.exp(-places / width * 1.5) if soft else hard
    return np.rot90(turned * light, -side)


def photograph(sheet: Sheet, chance: Chance) -> Image.Image:
    image = Image.fromarray(sheet.clip(0, 255).astype(np.uint8))
    quality = int(chance.choice([0, 95, 75, 50]))
    if not quality:
        return image
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def mark(sheet: Sheet, contrast: float, draw: Callable[[ImageDraw.ImageDraw], None]) -> Sheet:
    mask = Image.new("L", SIZE)
    draw(ImageDraw.Draw(mask))
    return sheet - np.asarray(mask, np.float32) * np.float32(contrast / 255)


def font(chance: Chance, least: float, most: float) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(chance.uniform(least, most) / 72 * 100)  # type: ignore[return-value]


def number(chance: Chance) -> Callable[[ImageDraw.ImageDraw], None]:
    place = (chance.uniform(0.08, 0.92) * SIZE[0], chance.choice([0.04, 0.945]) * SIZE[1])
    return lambda page: page.text(place, str(chance.integers(1, 400)), 255, font(chance, 6, 11), "mm")


def words(chance: Chance) -> Callable[[ImageDraw.ImageDraw], None]:
    line = "This page is left blank."[: chance.integers(6, 24)]
    return lambda page: page.text((250, chance.uniform(0.1, 0.9) * SIZE[1]), line, 255, font(chance, 6, 12))


def thin_line(chance: Chance) -> Callable[[ImageDraw.ImageDraw], None]:
    ends = chance.uniform(0.1, 0.9, 4) * (*SIZE, *SIZE)
    return lambda page: page.line([*ends], 255)


def speck(chance: Chance) -> Callable[[ImageDraw.ImageDraw], None]:
    x, y, r = chance.uniform(20, 800), chance.uniform(20, 1100), chance.uniform(0.4, 1.4)
    return lambda page: page.ellipse((x - r, y - r, x + r, y + r), 255)


def print_page(chance: Chance, lines: int, least: float, most: float) -> Image.Image:
    sheet, face = paper(chance), font(chance, least, most)
    spacing = face.size * chance.uniform(1.2, 1.9)

    def draw(page: ImageDraw.ImageDraw) -> None:
        for line in range(min(lines, int(1000 / spacing))):
            text = " ".join(chance.choice(WORDS, 40))
            while page.textlength(text, face) > 690:
                text = text.rpartition(" ")[0]
            page.text((70, 80 + line * spacing), text, 255, face)

    page = photograph(mark(sheet, 180, draw), chance).convert("L")
    return page.rotate(chance.uniform(-2, 2), fillcolor=230, resample=Image.Resampling.BICUBIC)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    chance, spent, asked = np.random.default_rng(0), 0.0, 0

    def blank(name: str, make: Callable[[], Sheet]) -> None:
        nonlocal spent, asked
        pages = [photograph(make(), chance) for _ in range(count)]
        began = time.process_time()
        found = sum(map(is_blank, pages))
        spent, asked = spent + time.process_time() - began, asked + count
        print(f"{name:34} blank {found:3} of {count}", flush=True)

    print("Empty pages, which should be blank")
    blank("paper", lambda: paper(chance))
    blank("paper, a soft shadow at an edge", lambda: shadow(paper(chance), chance, soft=True))
    blank("paper, a dark strip at an edge", lambda: shadow(paper(chance), chance, soft=False))
    blank("paper, a speck", lambda: mark(paper(chance), chance.uniform(60, 180), speck(chance)))
    print("Pages with one small thing, which should not")
    for contrast in (25, 40, 60, 120):
        for name, draw in (("a page number", number), ("one short line", words), ("one thin line", thin_line)):
            blank(f"{name}, {contrast} shades darker", lambda: mark(paper(chance), contrast, draw(chance)))  # noqa: B023
    print(f"{1000 * spent / asked:.0f} ms of a processor a page")
    print("Pages of print, standing and lying")
    for name, lines, least, most in PRINT:
        pages = [print_page(chance, lines, least, most) for _ in range(count)]
        wrong = sum(map(looks_sideways, pages))
        found = sum(looks_sideways(page.rotate(90, expand=True)) for page in pages)
        print(f"{name:12} lying found {found:3} of {count}, standing taken for lying {wrong:3}", end="; ")
        wrong = sum(map(looks_upside_down, pages))
        found = sum(looks_upside_down(page.rotate(180)) for page in pages)
        print(f"on their heads found {found:3}, standing taken for that {wrong:3}", flush=True)


if __name__ == "__main__":
    main()
