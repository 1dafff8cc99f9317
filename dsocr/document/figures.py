"""The pictures on a page: which boxes are figures, what their files are called, and their crops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from dsocr.document.blocks import Box, Transcript
from dsocr.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

FIGURE_LABEL = "image"  # the model's own word for a picture


def figure_name(page: int, index: int) -> str:
    """File name of a page's figure, counted from 0 over the figures that have a crop."""
    return f"{page}_{index}.jpg"


def usable_boxes(boxes: Iterable[Box], width: int, height: int) -> list[tuple[int, int, int, int]]:
    """The boxes that cover at least one pixel of the page, in pixels."""
    pixels = (box.to_pixels(width, height) for box in boxes)
    return [(left, top, right, bottom) for left, top, right, bottom in pixels if left < right and top < bottom]


def find_figures(transcript: Transcript) -> Iterator[tuple[str, tuple[int, int, int, int]]]:
    """Name and pixel box (left, top, right, bottom) of every figure, as the Markdown links them."""
    if transcript.labels_are_text:
        return  # There, "image" is a word that stands on the page.
    boxes = (box for block in transcript.blocks if block.label == FIGURE_LABEL for box in block.boxes)
    for index, pixels in enumerate(usable_boxes(boxes, transcript.width, transcript.height)):
        yield figure_name(transcript.page, index), pixels


def crop_figures(transcript: Transcript) -> Iterator[tuple[str, Image]]:
    """Name and crop of every figure, one at a time.

    Raises InputError when the page has figures but its image was not kept.
    """
    for name, pixels in find_figures(transcript):
        if transcript.image is None:
            raise InputError(f"page {transcript.page} has figures but its image was not kept; read it with its image")
        yield name, transcript.image.crop(pixels)
