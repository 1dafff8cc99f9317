"""What the model wrote about a page: labelled blocks with boxes, one transcript a page, one document a source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

GRID = 999  # the model's last grid line, on either axis

OK = "ok"  # the model ended the page itself
TRUNCATED = "truncated"  # the token budget ended it
LOOPED = "looped"  # it repeated itself and was stopped
BLANK = "blank"  # there was nothing to read
FAILED = "failed"  # it could not be read; the reason says why
SKIPPED = "skipped"  # nobody tried; the reason says why
STATUSES = (OK, TRUNCATED, LOOPED, BLANK, FAILED, SKIPPED)


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle as the model wrote it, meant for the 0-999 grid but not yet held to it."""

    left: float
    top: float
    right: float
    bottom: float

    def to_pixels(self, width: int, height: int) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) inside a page of width by height pixels; an inverted box has no area."""
        left, top = _to_pixel(self.left, width), _to_pixel(self.top, height)
        right, bottom = _to_pixel(self.right, width), _to_pixel(self.bottom, height)
        return left, top, max(left, right), max(top, bottom)


@dataclass(frozen=True, slots=True)
class Block:
    """One tag pair and the text up to the next; text before any tag has no label and no boxes.

    `det` is the model's own writing of the boxes, kept only where ours would differ: spaces, numbers
    such as 1.50, or something that is no list of boxes at all.
    """

    label: str
    boxes: tuple[Box, ...]
    text: str
    det: str | None = None


@dataclass(frozen=True)
class Transcript:
    """One page: its 1-based number, its size in pixels, what the model wrote, and how that ended.

    `image` is the page the boxes lie on, width by height, or None where it was not kept. `labels_are_text`: the
    prompt asked for words with their boxes, so a block's label is what stands there, not what kind of block it is.
    `attempts`: how many times it was read to get this far. `dpi`: how many of its pixels make an inch, None where
    its file does not tell. `rotated`: degrees, clockwise, by which the page was turned to be read; all else here is
    of the turned page. `confidence`: how sure the network was of what it wrote, the geometric mean of its tokens'
    probabilities, None where nobody asked.
    """

    page: int
    width: int
    height: int
    raw: str
    blocks: tuple[Block, ...]
    status: str = OK
    reason: str | None = None
    image: Image | None = field(default=None, repr=False, compare=False)
    labels_are_text: bool = False
    attempts: int = 1
    dpi: float | None = None
    rotated: int = 0
    confidence: float | None = field(default=None, compare=False)  # its last digits depend on the company


@dataclass(frozen=True)
class Document:
    """All pages of one source, in order, each with a status."""

    source: str
    transcripts: tuple[Transcript, ...]


def _to_pixel(value: float, size: int) -> int:
    # In this order of arguments a NaN becomes 0.
    return int(min(max(0, value), GRID) / GRID * size)
