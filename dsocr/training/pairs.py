"""Your pages: a folder of images, each beside a file with the text to write about it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image

from dsocr.errors import InputError
from dsocr.model.tokenizer import Tokenizer
from dsocr.pages import BrokenPage, Mode, measure_pages, open_pages
from dsocr.pages.tiling import choose_layout

IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
TEXTS = (".txt", ".md")


@dataclass(frozen=True)
class Pair:
    """A page and what is to be written about it."""

    image: Path | Image.Image
    text: str

    def open(self) -> Image.Image:
        """The page's picture, as a reader gets it. Raises InputError."""
        if isinstance(self.image, Image.Image):
            return self.image
        page = next(open_pages(self.image))
        if isinstance(page, BrokenPage):
            raise InputError(f"{self.image}: {page.reason}")
        return page.image

    def size(self) -> tuple[int, int]:
        """(width, height) in pixels, without drawing it. Raises InputError."""
        if isinstance(self.image, Image.Image):
            return self.image.size
        page = measure_pages(self.image)[0]
        if not page.width:
            self.open()  # says what is wrong with it
        return page.width, page.height


def find_pairs(folder: Path) -> tuple[Pair, ...]:
    """NAME.png (or another picture) with NAME.txt or NAME.md, in a folder and the folders in it, by name.

    Raises InputError where there is no folder, no pair, an image without a text, or a text that is no UTF-8 or empty.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: pairs are files NAME.png and NAME.txt (or .md) in a folder")
    images = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGES)
    if not images:
        raise InputError(f"{folder} has no images: pairs are files NAME.png and NAME.txt (or .md) in a folder")
    return tuple(Pair(image, _text_of(image)) for image in images)


def check_pairs(pairs: Iterable[Pair], tokenizer: Tokenizer) -> None:
    """InputError for a text with characters that the tokenizer lacks, or with a place for an image."""
    known: set[str] = set()
    for pair in pairs:
        new = set(pair.text) - known
        lacking = sorted(character for character in new if not _is_known(character, tokenizer))
        if lacking:
            shown = " ".join(f"{character!r} (U+{ord(character):04X})" for character in lacking[:5])
            raise InputError(f"the text of {pair.image} has what the tokenizer lacks: {shown}")
        if tokenizer.image in tokenizer.encode(pair.text):
            raise InputError(f"the text of {pair.image} has the token that stands for an image: take it out")
        known |= new


def check_lengths(pairs: Iterable[Pair], tokenizer: Tokenizer, mode: Mode, most: int) -> None:
    """InputError for a page whose tokens and text are more than the network has places for."""
    for pair in pairs:
        places = len(choose_layout(*pair.size(), mode)) + len(tokenizer.encode(pair.text))
        if places > most:
            raise InputError(
                f"{pair.image} and its text take {places} places in mode {mode.name}; the network has {most}"
            )


def deal(pairs: Sequence[Pair], seed: int, place: int) -> Pair:
    """The pair that comes at a place of the run: all in random order, then all in another, and so on."""
    return pairs[_shuffled(len(pairs), seed, place // len(pairs))[place % len(pairs)]]


@lru_cache(maxsize=2)
def _shuffled(count: int, seed: int, again: int) -> list[int]:
    order = list(range(count))
    random.Random(f"{seed} {again}").shuffle(order)
    return order


def _text_of(image: Path) -> str:
    files = [file for file in map(image.with_suffix, TEXTS) if file.is_file()]
    if not files:
        raise InputError(f"{image} has no text beside it: write what it says to {image.with_suffix('.txt').name}")
    if len(files) > 1:
        raise InputError(f"{image} has two texts beside it: keep {files[0].name} or {files[1].name}")
    try:
        text = files[0].read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        raise InputError(f"{files[0]} is not UTF-8: save it as UTF-8") from None
    if not text:
        raise InputError(f"{files[0]} is empty: write what the page says, or take the pair out")
    return text


def _is_known(character: str, tokenizer: Tokenizer) -> bool:
    return tokenizer.decode(tokenizer.encode(character, allow_special=False)) == character
