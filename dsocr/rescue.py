"""A page that began to repeat itself, or of which the network was unsure, is read again in other ways."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from PIL import Image

from dsocr.document.blocks import GRID, OK, Block, Box
from dsocr.document.grounding import parse, write
from dsocr.engine.request import Sampling
from dsocr.pages import MODES, Mode, Page

UNSURE = 0.9  # a page read with less confidence is looked at again
_MOST_OF_IT = 0.7  # of the first text's length
# Parts of a page's width and height: its letters come to lie otherwise, and boxes, in thousandths, stay right.
_SQUEEZED = ((1.0, 0.94), (0.94, 1.0), (1.0, 0.9))
TEXT_LAYER = "the PDF's own text layer stands in its place"
_STRICT_NGRAM, _STRICT_WINDOW = 20, 2_000  # about a whole page
_OTHER = {
    "tiny": "base",
    "small": "base",
    "base": "gundam",
    "large": "gundam",
    "gundam": "base",
    "gundam-m": "gundam",
}
_TEMPERATURE, _TOP_P, _SEEDS = 0.3, 0.95, (0, 1)


@dataclass(frozen=True)
class Attempt:
    """One more look at a page or a part of it, and how to choose its text."""

    image: Image.Image
    mode: Mode
    sampling: Sampling
    begun: str = ""  # the text that is kept and gone on from


@dataclass(frozen=True)
class Said:
    """What an attempt brought: all that is good of its text, and whether the model ended it itself."""

    text: str
    whole: bool
    confidence: float | None = None


@dataclass(frozen=True)
class Rescued:
    """What the page comes to, how it was got (None: it was not), and how many times it was read for it."""

    text: str
    how: str | None
    attempts: int

    def tell(self, loop: str) -> str:
        """The page's reason: what repeated itself, and what was done about it."""
        return f"{loop}; {self.how}" if self.how else f"{loop}; read {self.attempts} times, in vain"


@dataclass(frozen=True)
class Surest:
    """The text that the network was surest of, how sure, and how many times the page was read for it."""

    text: str
    confidence: float
    attempts: int


# Yields what to try next, is sent what came of it, and returns what the page comes to.
Ladder = Generator[Attempt, Said, Rescued]
Rung = Generator[Attempt, Said, str | None]
Look = Generator[Attempt, Said, Surest]
_End = TypeVar("_End")


def is_unsure(status: str, confidence: float | None) -> bool:
    """Whether a page is to be looked at again: one that ended by itself, and of which the network was unsure."""
    return status == OK and confidence is not None and confidence < UNSURE


def look_again(page: Page, text: str, confidence: float, mode: Mode, sampling: Sampling) -> Look:
    """The attempts for a page that was read with little confidence: it is squeezed a little, one way after another.

    The surest text of all is taken; the first that is sure enough ends it.
    """
    best = Surest(text, confidence, 1)
    for across, down in _SQUEEZED:
        size = tuple(max(1, round(side * part)) for side, part in zip(page.size, (across, down), strict=True))
        said = yield Attempt(page.image.resize((size[0], size[1])), mode, sampling)
        best = replace(best, attempts=best.attempts + 1)
        # A text that stops early may well be a sure one.
        whole = said.whole and len(said.text) >= _MOST_OF_IT * len(text)
        if whole and said.confidence is not None and said.confidence > best.confidence:
            best = replace(best, text=said.text, confidence=said.confidence)
        if best.confidence >= UNSURE:
            break
    return best


def climb(page: Page, good: str, mode: Mode, sampling: Sampling) -> Ladder:
    """The attempts for a page of which `good` is what it wrote before it repeated itself, one after another.

    The first that the model ends itself is taken. When none is, the PDF's own text layer is; without one, `good`.
    """
    attempts = 1
    for how, rung in _rungs(page, good, mode, sampling):
        text, said = None, None
        try:
            while True:
                asked = rung.send(said) if said else next(rung)
                said = yield asked
                attempts += 1
        except StopIteration as end:
            text = end.value
        if text is not None:
            return Rescued(text, how, attempts)
    if page.text:
        return Rescued(page.text, TEXT_LAYER, attempts)
    return Rescued(good, None, attempts)


def _rungs(page: Page, good: str, mode: Mode, sampling: Sampling) -> Iterator[tuple[str, Rung]]:
    strict = replace(
        sampling,
        ngram_rule="windowed",
        ngram_size=min(sampling.ngram_size, _STRICT_NGRAM),
        ngram_window=max(sampling.ngram_window, _STRICT_WINDOW),
    )
    other = MODES[_OTHER[mode.name]]
    yield "read on with a stricter rule against repeats", _once(Attempt(page.image, mode, strict, good))
    yield f"read again in mode {other.name}", _once(Attempt(page.image, other, sampling))
    if page.image.height >= 2 * mode.tile_px // 5:
        yield "read in two halves", _halves(page.image, mode, sampling)
    for seed in _SEEDS if not sampling.temperature else ():
        loose = replace(sampling, temperature=_TEMPERATURE, top_p=_TOP_P, seed=seed)
        yield f"read again at temperature {_TEMPERATURE}", _once(Attempt(page.image, mode, loose))


def _once(attempt: Attempt) -> Rung:
    said = yield attempt
    return attempt.begun + said.text if said.whole else None


def _halves(image: Image.Image, mode: Mode, sampling: Sampling) -> Rung:
    cut = emptiest_row(image)
    texts: list[str] = []
    for top, bottom in ((0, cut), (cut, image.height)):
        said = yield Attempt(image.crop((0, top, image.width, bottom)), mode, sampling)
        if not said.whole:
            return None
        texts.append(place(said.text, top / image.height, bottom / image.height))
    return "\n\n".join(text for text in texts if text.strip())


def emptiest_row(image: Image.Image) -> int:
    """The row in the middle third of a page that is most like its neighbours from edge to edge: best between lines."""
    grey = np.asarray(image.convert("L"), dtype=np.int16)
    first, last = len(grey) // 3, max(len(grey) // 3 + 1, 2 * len(grey) // 3)
    uneven = np.abs(np.diff(grey[first:last], axis=1)).sum(axis=1)
    # Among rows that are alike the one nearest to the middle.
    distance = np.abs(np.arange(len(uneven)) - len(uneven) // 2)
    return first + int(np.lexsort((distance, uneven))[0])


def place(text: str, top: float, bottom: float) -> str:
    """The text of a part of a page, which reaches from top to bottom (0…1), with boxes of the whole page."""
    return write([_placed(block, top, bottom) for block in parse(text)])


def _placed(block: Block, top: float, bottom: float) -> Block:
    def down(y: float) -> int:
        return round(GRID * top + y * (bottom - top))

    boxes = tuple(Box(box.left, down(box.top), box.right, down(box.bottom)) for box in block.boxes)
    return replace(block, boxes=boxes) if boxes else block


def follow(ladder: Generator[Attempt, Said, _End], ask: Callable[[Attempt], Said]) -> _End:
    """Climb to the end, asking for one attempt after another."""
    said: Said | None = None
    try:
        while True:
            said = ask(ladder.send(said) if said else next(ladder))
    except StopIteration as end:
        came: _End = end.value
        return came
