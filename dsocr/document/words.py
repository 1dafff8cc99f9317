"""Where each word of a page stands: the text of a block is laid out in its box, line by line, word by word."""

from __future__ import annotations

import math
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from dsocr.document.blocks import Block, Transcript
from dsocr.document.figures import usable_boxes
from dsocr.document.plain_text import plain_lines

_EM, _HALF_EM = 1.0, 0.5  # how wide an ideograph is, and about how wide other letters are, in the height of their font
_LEADING = 1.3  # from line to line, in the height of the font
# What is much too short for its box stands in the middle of it: print is seldom wider or narrower than this.
_WIDEST, _TALLEST = 1.3, 1.5  # an em in heights of the line, the line's height in ems
_PAGE_ROOM = 45.0  # ems in a line that goes across a page; few have more

_WIDE = "\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\U00020000-\U0003fffd"
_PIECE = re.compile(f" ?(?:[{_WIDE}]|[^ {_WIDE}]+)")  # what may not be broken; between wide letters a line may end


@dataclass(frozen=True, slots=True)
class Frame:
    """A rectangle on the page, in pixels from the page's upper left corner."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """From left to right."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """From top to bottom."""
        return self.bottom - self.top

    def to_pixels(self) -> tuple[int, int, int, int]:
        """(left, top, right, bottom): the whole pixels that it touches."""
        # What is a hair beyond a pixel's edge has only been calculated there.
        left, top, right, bottom = (round(edge, 6) for edge in (self.left, self.top, self.right, self.bottom))
        return math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)


@dataclass(frozen=True, slots=True)
class Word:
    """What stands between two spaces; Chinese and Japanese, which have none, come line by line."""

    text: str
    frame: Frame


@dataclass(frozen=True)
class TextLine:
    """Words in the order in which they are read; it may run from right to left."""

    words: tuple[Word, ...]
    frame: Frame
    right_to_left: bool = False

    @property
    def text(self) -> str:
        """Its words with spaces between them."""
        return " ".join(word.text for word in self.words)


@dataclass(frozen=True)
class TextBlock:
    """A block of the page with its lines; a figure may have none. `label` is the model's word for it, else empty."""

    label: str
    frame: Frame
    lines: tuple[TextLine, ...]


def lay_out(transcript: Transcript) -> tuple[TextBlock, ...]:
    """The blocks of a page in reading order, with a place for every word.

    The model tells where blocks are, not where their lines and words are: those are spread over the block's box as
    print of one size would be, so they are near the true ones and not exact. Text without a box goes with the block
    before it. Where no block has a box (a prompt without grounding), all text is spread over the whole page and
    positions are only rough. A block with several boxes fills the rectangle round them.
    """
    frames = [_around(block, transcript) for block in transcript.blocks]
    if any(frames):
        return tuple(_spread(*region) for region in _regions(transcript, frames))
    texts = [text for block in transcript.blocks for text in _texts(block, transcript)]
    page = Frame(0, 0, max(1, transcript.width), max(1, transcript.height))
    return (_spread("", page, texts, _PAGE_ROOM),) if texts else ()


def em_width(char: str) -> float:
    """How wide a letter is in print, in the height of its font: one of two widths."""
    return _EM if unicodedata.east_asian_width(char) in "WF" else _HALF_EM


def runs_right_to_left(text: str) -> bool:
    """Whether its first letter that has a direction is Hebrew, Arabic or of a script like them."""
    if text.isascii():
        return False
    directions = (unicodedata.bidirectional(char) for char in text)
    return next((way for way in directions if way in ("L", "R", "AL")), "L") != "L"


def _regions(transcript: Transcript, frames: Sequence[Frame | None]) -> Iterator[tuple[str, Frame, list[str]]]:
    """Label, frame and texts of each block that has a frame, with those that have none and follow it."""
    label, frame, texts = "", None, list[str]()
    for block, around in zip(transcript.blocks, frames, strict=True):
        if around and frame:
            yield label, frame, texts
            texts = []
        if around:
            label, frame = "" if transcript.labels_are_text else block.label, around
        texts += _texts(block, transcript)
    if frame:
        yield label, frame, texts


def _texts(block: Block, transcript: Transcript) -> tuple[str, ...]:
    return plain_lines(f"{block.label}\n{block.text}" if transcript.labels_are_text else block.text)


def _around(block: Block, transcript: Transcript) -> Frame | None:
    """The rectangle round its boxes."""
    boxes = usable_boxes(block.boxes, transcript.width, transcript.height)
    if not boxes:
        return None
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return Frame(min(lefts), min(tops), max(rights), max(bottoms))


def _spread(label: str, frame: Frame, texts: Sequence[str], least_room: float = 0.0) -> TextBlock:
    """The texts as rows that fill the frame: each row an equal share of its height, the longest its whole width.

    A text that takes no more ems than the least room stays one row.
    """
    if not texts:
        return TextBlock(label, frame, ())
    room = max(_ems_in_a_row(texts, frame), least_room)
    rows = [row for text in texts for row in _wrap(text, room)]
    longest, share = max(map(_ems, rows)), frame.height / len(rows)
    em = min(frame.width / longest, _WIDEST * share)
    height = min(share, _TALLEST * em)
    side, above = (frame.width - longest * em) / 2, (share - height) / 2
    lines = []
    for number, row in enumerate(rows):
        top = frame.top + number * share + above
        lines.append(_set_line(row, Frame(frame.left + side, top, frame.right - side, top + height), em))
    return TextBlock(label, frame, tuple(lines))


def _ems_in_a_row(texts: Sequence[str], frame: Frame) -> float:
    """How much goes in a row when the print is as large as it can be and the texts, broken into rows, still fit."""
    widths = [_ems(text) for text in texts]
    room = _LEADING * frame.width / frame.height  # in one row; twice as many rows are half as high and hold twice that

    def fit(rows: int) -> bool:
        return sum(math.ceil(width / (rows * room)) for width in widths) <= rows

    fewest, most = len(texts), max(len(texts), math.ceil(max(widths) / room))
    return (fewest + bisect_left(range(fewest, most), True, key=fit)) * room


def _wrap(text: str, room: float) -> Iterator[str]:
    """The text in rows of at most that many ems, except where one word alone is longer."""
    row, used = list[str](), 0.0
    for piece in _PIECE.findall(text):
        width = _ems(piece)
        if row and used + width > room:
            yield "".join(row).strip()
            row, used = [], 0.0
        row.append(piece)
        used += width
    yield "".join(row).strip()


def _set_line(row: str, frame: Frame, em: float) -> TextLine:
    """One row from the frame's left edge, or to its right edge where it runs from there."""
    words, backwards = row.split(" "), runs_right_to_left(row)
    width = _ems(row) * em
    left = frame.right - width if backwards else frame.left
    frames, end = dict[int, Frame](), left
    for number in _from_left(words, backwards):
        start, end = end, end + _ems(words[number]) * em
        frames[number] = Frame(start, frame.top, end, frame.bottom)
        end += _HALF_EM * em
    placed = tuple(Word(word, frames[number]) for number, word in enumerate(words))
    return TextLine(placed, Frame(left, frame.top, left + width, frame.bottom), backwards)


def _from_left(words: Sequence[str], backwards: bool) -> Iterable[int]:
    """The numbers of the words as they stand from left to right; words of one direction stay together."""
    runs = groupby(range(len(words)), key=lambda number: runs_right_to_left(words[number]))
    ordered = [list(run)[:: -1 if right_to_left else 1] for right_to_left, run in runs]
    return (number for run in ordered[:: -1 if backwards else 1] for number in run)


def _ems(text: str) -> float:
    if text.isascii():
        return _HALF_EM * len(text)
    return sum(map(em_width, text))
