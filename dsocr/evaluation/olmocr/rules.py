"""The rules of olmOCR-bench, each with what it asks of a page's text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from dsocr.evaluation.needs import need
from dsocr.evaluation.olmocr.tables import DIRECTIONS, PlacedCell, PlacedTable, find_tables

_LINE_END = re.compile(r"<br/?>")
_EMPHASIS = (
    (re.compile(r"\*\*(.*?)\*\*"), r"\1"),
    (re.compile(r"__(.*?)__"), r"\1"),
    (re.compile(r"</?[bi]>"), ""),
    (re.compile(r"(\*\*|__)(.*?)\1"), r"\2"),
    (re.compile(r"(\*|_)(.*?)\1"), r"\2"),
)
_SPACES = re.compile(r"\s+")
_PLAIN = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201a", "'")
    | dict.fromkeys("\u201c\u201d\u201e", '"')
    | dict.fromkeys("\u2013\u2014\u2011\u2012\u2212", "-")
    | {"\uff3f": "_", "\u00b5": "\u03bc"}
)
_PICTURE = re.compile(r"!\[.*?\]\(.*?\)")
# Chinese, Japanese and pictures of feelings, of which the benchmark's pages have none.
_STRANGE = re.compile(
    "[\u4e00-\u9fff\u3040-\u309f\u30a0-\u30ff\U0001f600-\U0001f64f\U0001f300-\U0001f5ff\U0001f680-\U0001f6ff"
    "\U0001f1e0-\U0001f1ff]"
)
_LONGEST_REPEAT = 5  # characters
_BRACKETS = (r"\\\((.+?)\\\)", r"\\\[(.+?)\\\]")
_DOLLARS = (r"\$\$(.+?)\$\$", r"\$(.+?)\$")


@dataclass(frozen=True)
class Outcome:
    """Whether a test passed and, if not, why; None where it cannot be judged here (formulas that must be drawn)."""

    passed: bool | None
    reason: str = ""


PASSED = Outcome(True)


@dataclass(frozen=True)
class Text:
    """Something stands on the page, or must not; first, last: so many characters at the page's ends are looked at."""

    text: str
    present: bool
    differences: int = 0
    case_sensitive: bool = True
    first: int | None = None
    last: int | None = None

    def ask(self, page: str) -> Outcome:
        """Looks for the stretch of the page that is most alike."""
        wanted, there = plain(self.text), plain(page)
        if not self.case_sensitive:
            wanted, there = wanted.lower(), there.lower()
        there = _ends(there, self.first, self.last)
        found = self._is_in(wanted, there)
        if found == self.present:
            return PASSED
        return Outcome(False, f"{_cut(self.text)!r} is {'there' if found else 'not there'}")

    def _is_in(self, wanted: str, there: str) -> bool:
        # The measure takes the shorter one as what is looked for: one space would be found in any sentence.
        if len(there) < len(wanted) - self.differences:
            return False
        return _alike(need("rapidfuzz.fuzz").partial_ratio(wanted, there), wanted, self.differences)


@dataclass(frozen=True)
class Order:
    """One thing stands before another."""

    before: str
    after: str
    differences: int = 0

    def ask(self, page: str) -> Outcome:
        """Looks for the first place of the one and the last of the other."""
        there = plain(page)
        before, after = (list(self._starts(text, there)) for text in (self.before, self.after))
        for text, found in ((self.before, before), (self.after, after)):
            if not found:
                return Outcome(False, f"{_cut(text)!r} is not there")
        if min(before) < max(after):
            return PASSED
        return Outcome(False, f"{_cut(self.before)!r} does not stand before {_cut(self.after)!r}")

    def _starts(self, text: str, there: str) -> Iterator[int]:
        search = need("fuzzysearch").find_near_matches
        return (int(found.start) for found in search(plain(text), there, max_l_dist=self.differences))


@dataclass(frozen=True)
class Cell:
    """A cell of some table has these beside it, and these as headings; empty: whatever."""

    cell: str
    up: str = ""
    down: str = ""
    left: str = ""
    right: str = ""
    top_heading: str = ""
    left_heading: str = ""
    differences: int = 0
    html_only: bool = False

    def ask(self, page: str) -> Outcome:
        """Looks through every table for such a cell."""
        tables = find_tables(page, html_only=self.html_only)
        if not tables:
            return Outcome(False, "there is no table")
        found = [(table, cell) for table in tables for cell in table.cells if self._is(cell, self.cell)]
        if not found:
            return Outcome(False, f"no cell is {_cut(self.cell)!r}")
        if any(self._has_neighbours(table, cell) for table, cell in found):
            return PASSED
        return Outcome(False, f"{_cut(self.cell)!r} stands beside other cells")

    def _has_neighbours(self, table: PlacedTable, cell: PlacedCell) -> bool:
        wanted = {name: getattr(self, name) for name in DIRECTIONS}
        return all(
            any(self._is(other, text) for other in DIRECTIONS[name](table, cell))
            for name, text in wanted.items()
            if text
        )

    def _is(self, cell: PlacedCell, text: str) -> bool:
        wanted = plain(text)
        return _alike(need("rapidfuzz.fuzz").ratio(wanted, plain(cell.text)), wanted, self.differences, least=0.5)


@dataclass(frozen=True)
class Maths:
    """A formula stands on the page."""

    latex: str
    no_dollars: bool = False

    def ask(self, page: str) -> Outcome:
        """Passes where it stands there to the letter; else the benchmark draws both, which is not done here."""
        for pattern in _BRACKETS if self.no_dollars else (*_BRACKETS, *_DOLLARS):
            if any(found.strip() == self.latex for found in re.findall(pattern, page, re.DOTALL)):
                return PASSED
            page = re.sub(pattern, "", page, flags=re.DOTALL)
        return Outcome(
            None, f"{_cut(self.latex)!r} does not stand there to the letter; whether it looks alike is not judged"
        )


@dataclass(frozen=True)
class Baseline:
    """The page has text, does not end in a loop, and has no letters that it cannot have; or it must be blank."""

    max_length: int | None = None  # of a page that should be blank
    skips_pictures: bool = False
    max_repeats: int = 30
    checks_letters: bool = True

    def ask(self, page: str) -> Outcome:
        """Looks at the whole text."""
        if self.max_length is not None:
            return self._ask_blank(_PICTURE.sub("", page) if self.skips_pictures else page, self.max_length)
        if not any(map(str.isalnum, page)):
            return Outcome(False, "there is no letter and no digit")
        text = _SPACES.sub(" ", page)
        repeats = max((_repeats(text, size) for size in range(1, _LONGEST_REPEAT + 1)), default=0)
        if repeats > self.max_repeats:
            return Outcome(False, f"it ends with {repeats} times the same")
        strange = _STRANGE.search(page) if self.checks_letters else None
        return Outcome(False, f"{strange[0]!r} does not belong there") if strange else PASSED

    def _ask_blank(self, page: str, max_length: int) -> Outcome:
        letters = sum(map(str.isalnum, page))
        return PASSED if letters <= max_length else Outcome(False, f"{letters} letters on a page that should be blank")


@dataclass(frozen=True)
class Unknown:
    """A rule of a kind that is not known here."""

    kind: str

    def ask(self, page: str) -> Outcome:
        """It cannot be judged."""
        return Outcome(None, f"tests of the kind {self.kind!r} are not known here")


Rule = Text | Order | Cell | Maths | Baseline | Unknown


def plain(text: str) -> str:
    """Without emphasis, on one line, with plain quotes and dashes: how the benchmark compares texts."""
    text = _LINE_END.sub(" ", text)
    for mark, kept in _EMPHASIS:
        text = mark.sub(kept, text)
    return unicodedata.normalize("NFC", _SPACES.sub(" ", text)).translate(_PLAIN)


def _ends(text: str, first: int | None, last: int | None) -> str:
    """So many characters of the beginning and of the end, of both, or all of it."""
    if first and last:
        return text[:first] + text[-last:]
    if first:
        return text[:first]
    return text[-last:] if last else text


def _alike(percent: float, wanted: str, differences: int, least: float = 0.0) -> bool:
    """Whether a likeness in per cent allows for no more than so many different characters."""
    return percent / 100 >= max(least, 1 - differences / max(1, len(wanted)))


def _repeats(text: str, size: int) -> int:
    """How often the last so many characters stand at the end, one after another."""
    if len(text) < size:
        return 0
    last, count, place = text[-size:], 0, len(text) - size
    while place >= 0 and text[place : place + size] == last:
        count, place = count + 1, place - size
    return count


def _cut(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"
