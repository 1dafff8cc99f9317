"""One page as a picture, or the reason why there is none, and the sizes that a page may have."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from PIL import Image

from dsocr.errors import InputError

MIN_SIDE_PX = 8  # less than one line of the smallest print
DEFAULT_MAX_PIXELS = 178_956_970  # where Pillow, too, refuses to go on; a sheet of A4 at 1200 dpi has 139 million
# Pillow counts the other way round.
_TURNS = {90: Image.Transpose.ROTATE_270, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_90}


@dataclass(frozen=True)
class Page:
    """One page: upright RGB picture, its number counted from 1 in its own source, and what the file said of it.

    dpi is None where the file does not tell; text is a PDF's text layer, None where there is none. rotated: degrees,
    clockwise, by which the picture was turned after all that the file says of its own direction.
    """

    source: str
    number: int
    image: Image.Image = field(repr=False)
    dpi: float | None = None
    text: str | None = field(default=None, repr=False)
    rotated: int = 0

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.image.size

    def turned(self, degrees: int) -> Page:
        """The page turned clockwise by a multiple of 90 degrees."""
        degrees %= 360
        if not degrees:
            return self
        return replace(self, image=self.image.transpose(_TURNS[degrees]), rotated=(self.rotated + degrees) % 360)


@dataclass(frozen=True)
class BrokenPage:
    """A page that is there and has its number, but cannot be shown; the reason is one line."""

    source: str
    number: int
    reason: str


@dataclass(frozen=True)
class PageSize:
    """A page's number and its sides in pixels, found without looking at it; 0 by 0 where the page is damaged."""

    number: int
    width: int
    height: int


def check_size(width: float, height: float, max_pixels: int, remedy: str = "raise --max-pixels") -> None:
    """InputError for a page of width x height pixels that is too small to read or too large to decode."""
    size = f"{width:,.0f} x {height:,.0f} pixels"
    if min(width, height) < MIN_SIDE_PX:
        raise InputError(f"{size} is too small to read; a page needs at least {MIN_SIDE_PX} pixels a side")
    if width * height > max_pixels:
        raise InputError(f"{size} is more than the limit of {max_pixels:,} pixels; {remedy} if you trust the file")
