"""Small pages with something on them: one of a single colour would be blank, and nobody would read it."""

from __future__ import annotations

from PIL import Image, ImageDraw


def inked(size: tuple[int, int] = (80, 60), colour: str | tuple[int, int, int] = "white") -> Image.Image:
    """A page of that colour with a thick line across it, light on dark or dark on light."""
    page = Image.new("RGB", size, colour)
    ink = "white" if sum(page.getpixel((0, 0))) < 380 else "black"
    width, height = size
    ImageDraw.Draw(page).line((width // 5, height // 3, 4 * width // 5, 2 * height // 3), fill=ink, width=4)
    return page
