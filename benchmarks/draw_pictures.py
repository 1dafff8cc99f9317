"""Draws docs/sample.png, the page that `make read` reads, and docs/read.png, that page beside what was read.

python benchmarks/draw_pictures.py
"""

from __future__ import annotations

import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

import dsocr

DOCS = Path(__file__).parents[1] / "docs"
FONTS = Path("/usr/share/fonts/truetype")
NOTE = (
    "The reading room opens at nine. Please leave coats and bags at the door; pencils are welcome, "
    "ink is not. Ask Mrs. Ferrier for the key to the map cabinet. Copies cost 15 pence a page, "
    "and the kettle is for everyone."
)


def draw_sample() -> Image.Image:
    """A note of 640 x 400 pixels in a serif face."""
    font = ImageFont.truetype(str(FONTS / "dejavu" / "DejaVuSerif.ttf"), 27)
    page = Image.new("RGB", (640, 400), "white")
    ImageDraw.Draw(page).multiline_text((32, 28), "\n".join(textwrap.wrap(NOTE, 36)), "black", font, spacing=11)
    return page


def draw_read(page: Image.Image, text: str) -> Image.Image:
    """The page on the left, the text as a terminal shows it on the right."""
    font = ImageFont.truetype(str(FONTS / "dejavu" / "DejaVuSansMono.ttf"), 20)
    sheet = Image.new("RGB", (2 * page.width + 60, page.height + 40), (214, 219, 223))
    sheet.paste(page, (20, 20))
    draw = ImageDraw.Draw(sheet)
    left = page.width + 40
    draw.rectangle((left, 20, left + page.width, 20 + page.height), fill=(24, 28, 34))
    draw.text((left + 22, 40), "$ dsocr read docs/sample.png", (134, 206, 160), font)
    draw.multiline_text((left + 22, 80), text, (236, 239, 241), font, spacing=10)
    return sheet


def main() -> None:
    page = draw_sample()
    page.save(DOCS / "sample.png", optimize=True)
    text = dsocr.to_markdown(dsocr.load("nano").read(DOCS / "sample.png"))
    draw_read(page, text).save(DOCS / "read.png", optimize=True)
    print(text)


if __name__ == "__main__":
    main()
