"""The page with its boxes drawn on it, one colour for each label."""

from __future__ import annotations

import colorsys
import zlib
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFont

from dsocr.document.blocks import Document, Transcript

_LINE, _TITLE_LINE = 2, 4  # pixels
_FILL_ALPHA = 20  # of 255
_LABEL_RISE = 15  # pixels from the top of the box up to its label
_LABEL_LENGTH = 40  # characters: a label can be a whole line of text

_Font: TypeAlias = "ImageFont.FreeTypeFont | ImageFont.ImageFont"


def to_picture(pages: Document | Transcript) -> Image.Image:
    """The page's image in RGB, or a white page where it was not kept, with every box outlined, tinted and labelled.

    The pages of a document stand one below the other.
    """
    if isinstance(pages, Transcript):
        return _draw_page(pages)
    drawn = [_draw_page(page) for page in pages.transcripts]
    width = max((page.width for page in drawn), default=1)
    sheet = Image.new("RGB", (width, max(1, sum(page.height for page in drawn))), "white")
    top = 0
    for page in drawn:
        sheet.paste(page, (0, top))
        top += page.height
    return sheet


def _draw_page(transcript: Transcript) -> Image.Image:
    picture = _canvas(transcript)
    tint = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    pen, brush, font = ImageDraw.Draw(picture), ImageDraw.Draw(tint), ImageFont.load_default()
    for block in transcript.blocks:
        colour, line = label_colour(block.label), _TITLE_LINE if block.label == "title" else _LINE
        for box in block.boxes:
            pixels = box.to_pixels(*picture.size)
            pen.rectangle(pixels, outline=colour, width=line)
            brush.rectangle(pixels, fill=(*colour, _FILL_ALPHA))
            _write_label(pen, font, block.label, pixels[0], max(0, pixels[1] - _LABEL_RISE), colour)
    picture.paste(tint, (0, 0), tint)
    return picture


def label_colour(label: str) -> tuple[int, int, int]:
    """A colour dark enough to read on white, the same for a label on every page and every day."""
    hash_bits = zlib.crc32(label.encode("utf-8", "replace"))
    red, green, blue = colorsys.hls_to_rgb(hash_bits % 360 / 360, 0.38, 0.75)
    return int(red * 255), int(green * 255), int(blue * 255)


def _canvas(transcript: Transcript) -> Image.Image:
    if transcript.image is not None:
        # The page stays as it is; convert gives the same image back where it is RGB already.
        return transcript.image.convert("RGB").copy()
    return Image.new("RGB", (max(1, transcript.width), max(1, transcript.height)), "white")


def _write_label(
    pen: ImageDraw.ImageDraw, font: _Font, label: str, left: int, top: int, colour: tuple[int, int, int]
) -> None:
    # Pillow's font without FreeType knows Latin letters only; FreeType knows no half surrogate pairs.
    letters = "utf-8" if isinstance(font, ImageFont.FreeTypeFont) else "latin-1"
    words = " ".join(label.split())[:_LABEL_LENGTH].encode(letters, "replace").decode(letters)
    if words:
        pen.rectangle(pen.textbbox((left, top), words, font=font), fill="white")
        pen.text((left, top), words, fill=colour, font=font)
