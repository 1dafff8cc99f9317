"""Notices that a page has begun to repeat itself, and where: so that it can be stopped early and its good part kept."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import ceil
from typing import Literal

from dsocr.engine.novelty import SPEAKING, Novelty, own_words
from dsocr.engine.repeats import BEGUN, COORDINATE, Folding, Repeats, Run

Kind = Literal["character", "phrase", "line", "row", "paragraph", "text"]

BYTES_PER_TOKEN = 3.5  # of UTF-8: what a token holds on average

# How much may honestly come again after its first time; docs/loops.md says why.
ENOUGH = 620  # bytes of anything: 177 tokens
NUMBERS = 1000  # bytes of numbers: columns and lists of zeros
ROWS = 80  # lines or rows that say little: a page holds hardly more of them
CELLS = 64  # cells that say little, in a row without end
SAID = 3  # rows or cells that say something, however long they are
COUNTED = 100  # copies that are alike but for their numbers
COUNTING = 128  # numbers, 1, 2, 3 and so on, and nothing else
SHEET = 5000  # characters of equal blocks in places of their own: labels, tickets
PARAGRAPH = 200  # characters that make a paragraph
TELLING = 60  # words of a paragraph that does not come twice on end, but where a sheet holds two copies of all it says
LED = 40  # characters before the first copy: then it is not all that the sheet says
NEARLY = 0.025  # of a paragraph's characters, all digits, may change from copy to copy

_SHOWN = 80  # characters of what repeats, at most
_LINE_END = re.compile(r"\n+|</tr>\n?|\\\\ ?\n?")  # the last is that of a matrix


@dataclass(frozen=True)
class Loop:
    """Where a text stopped saying anything new: `text[:start]` is good, and holds what repeats one time.

    times: how often it came; for kind "text", where no copy equals another, how many times smaller it compresses.
    exact: the copies are equal to the last character; else numbers in them differ.
    """

    start: int
    unit: str
    kind: Kind
    times: int
    exact: bool = True

    @property
    def reason(self) -> str:
        """What happened, in one line for people."""
        if self.kind == "text":
            return f"nothing new came any more: the last text compresses to a {self.times}th"
        shown = " ".join(self.unit.split()) or repr(self.unit)[1:-1]
        return f'the {self.kind} "{shown}" came {self.times} times in a row' + ("" if self.exact else ", renumbered")


class LoopWatch:
    """Reads along while a text is written. What it finds, and where, does not depend on how the text is cut."""

    def __init__(self) -> None:
        self._place = 0
        self._exact = Repeats(exactly_allowed, early=True)
        self._alike = Repeats(alike_allowed)
        self._folding = Folding()
        self._novelty = Novelty()
        self._found: Loop | None = None

    def feed(self, text: str) -> Loop | None:
        """What came next. The loop as soon as there is one, and ever after."""
        for character in text:
            if self._found is None:
                self._found = self._read(character)
                self._place += 1
        return self._found

    def _read(self, character: str) -> Loop | None:
        place = self._place
        if run := self._exact.push(character, place):
            return _loop(run, exact=True)
        for mark, begins, number in self._folding.push(character, place):
            if run := self._alike.push(mark, begins, number):
                return _loop(run, exact=not run.changed and COORDINATE not in run.unit)
        return self._weigh_line() if self._novelty.push(character, place) else None

    def _weigh_line(self) -> Loop | None:
        if self._alike.repeats(COORDINATE):  # equal labels, each in its place: the run is judged
            self._novelty.pass_over()
            return None
        stale = self._novelty.weigh()
        return Loop(stale.start, "", "text", round(stale.times)) if stale else None


def exactly_allowed(run: Run) -> float:
    """How many characters may come again, all alike, before it is a loop."""
    unit, size, words = run.unit, len(run.unit), own_words(run.unit)
    if "<|det|>" in unit:  # the same words at the same place: one block is enough
        second = unit.find("<|ref|>", 1)
        return run.begun if second < 0 else min(run.begun, run.turn + second + BEGUN)
    if _is_long_paragraph(unit) and run.start > size + LED:
        return ENOUGH / _width(unit)
    ends, cells = _ends(unit), unit.count("</td>")
    numbers = words <= 0 and not cells and any(map(str.isdecimal, unit))
    enough = max((NUMBERS if numbers else ENOUGH) / _width(unit), run.begun)
    if (ends or cells) and words < SPEAKING:
        return max(enough, ROWS * size / ends if ends else CELLS * size / cells)
    if cells:
        return max(enough, SAID * size / (ends or cells) + BEGUN)
    return enough


def alike_allowed(run: Run) -> float:
    """How many characters may come again, alike but for their numbers, before it is a loop."""
    size, written, words = len(run.unit), len(run.written), own_words(run.unit)
    counted = COUNTED * size
    if COORDINATE in run.unit:
        if run.stacked >= 2:
            return run.begun
        most = min(counted, SHEET * size / written) if words >= SPEAKING else counted
        return most if run.length >= most else min(most, run.length + size)
    if words >= SPEAKING and written >= PARAGRAPH * max(1, _ends(run.unit)) and "</td>" not in run.unit:
        enough = max(ENOUGH * size / written / _width(run.unit), run.begun)
        return enough if run.length < enough or run.changed <= NEARLY else counted
    if words >= SPEAKING:
        return counted
    most = counted if words > 0 else COUNTING * size
    return most if run.counting else run.length + most


def _loop(run: Run, exact: bool) -> Loop:
    shown = run.written if len(run.written) <= _SHOWN else run.written[: _SHOWN - 1] + "…"
    return Loop(run.start, shown, _kind(run.unit), ceil(run.length / len(run.unit)) + 1, exact)


def _kind(unit: str) -> Kind:
    """What a person would call it."""
    lines = [line for line in unit.split("\n") if line.strip()]
    if len(set(unit)) == 1:
        return "character"
    if "</tr>" in unit or (lines and all(line.lstrip().startswith("|") for line in lines)):
        return "row"
    if len(lines) > 1 or len(unit) >= PARAGRAPH:
        return "paragraph"
    return "line" if "\n" in unit else "phrase"


def _is_long_paragraph(unit: str) -> bool:
    """Whether it is one paragraph that a reader would know again long before its end."""
    return own_words(unit) >= TELLING and "\n" not in unit.strip() and not _ends(unit.strip())


def _width(text: str) -> float:
    """Bytes for each character: 1 in English, 3 in Chinese, much as they take tokens."""
    return len(text.encode("utf-8", "replace")) / len(text)


def _ends(unit: str) -> int:
    """How many lines and rows end in it."""
    return len(_LINE_END.findall(unit))
