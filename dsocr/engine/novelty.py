"""Weighs how much is new in the last lines of a growing text: what mixes the same words anew compresses far."""

from __future__ import annotations

import re
import zlib
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass

# So many times smaller the last so many bytes become when nothing new is said.
DENSE = ((1200, 11.0), (1600, 12.0), (2400, 13.0), (4800, 12.0), (9600, 10.0))
SPEAKING = 4  # words of its own that a table's row needs, or else it says little

_LIVELY = 3.0  # times smaller at most where text is new beyond doubt: no need to look further back
_STRIDE = 200  # bytes from one compression to the next
_HISTORY = 2 * DENSE[-1][0]  # bytes in which the beginning is looked for
_FLUSHED = 6  # bytes that ending a piece adds to what it compresses to
_LINE = 400  # characters after which a line is looked at though it has not ended
_ENDLESS = 2400  # characters after which a line counts though it has no words
_RECENT = 64  # lines that a line is compared with

_ASIAN = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[^\W\d_{_ASIAN}]{{2,}}|[{_ASIAN}]")
_TAG = re.compile(r"</?[a-z][^<>]*>|<\|/?(?:ref|det)\|>")
_BLANK = re.compile(r"_{3,}|\.{4,}|…{2,}|\[ ?\]|\( ?\)|[☐□○]|(?<=\S) {3,}|\u3000{2,}|<td[^<>]*>\s*</td>")
_NUMERALS = re.compile(r"\d+")
_HELD = 80  # characters, at least, of the pieces at one of which it begins
_PIECE = re.compile(rf".{{{_HELD},}}?[\s。]|.+", re.S)


@dataclass(frozen=True)
class Stale:
    """The place in the text from which on little is new, and how many times smaller the last of it compresses."""

    start: int
    times: float


def own_words(text: str) -> int:
    """How many words a text has of its own, less two for each blank that is left to be filled in.

    A word that comes more than twice is not its own: twelve equal cells say no more than one.
    """
    return sum(count <= 2 for count in Counter(_words(text)).values()) - 2 * _blanks(text)


def _words(text: str) -> list[str]:
    return _WORD.findall(_TAG.sub(" ", text.lower()))


def _blanks(text: str) -> int:
    return len(_BLANK.findall(text))


class Novelty:
    """Characters as they come, and the lines they make; complains when the lines up to now say nothing new.

    Lines without words, table rows that say little, and lines that differ from a recent one only in numbers are not
    weighed: there an honest page says nothing new either.
    """

    def __init__(self) -> None:
        self._line = ""
        self._begins = 0
        self._wordless: list[tuple[int, str]] = []
        self._shapes: OrderedDict[str, str] = OrderedDict()
        self._lines: deque[tuple[int, str]] = deque()
        self._size = self._unweighed = 0

    def push(self, character: str, place: int) -> bool:
        """One more character and its place in the text; whether it ends a line, to be weighed or passed over."""
        if not self._line:
            self._begins = place
        self._line += character
        return len(self._line) >= _LINE or _ended(self._line)

    def pass_over(self) -> None:
        """Leaves the line that has ended out of account."""
        self._line = ""

    def weigh(self) -> Stale | None:
        """Takes the line that has ended, and looks how much is new in the last ones."""
        line, self._line = self._line, ""
        if self._counts(line):
            self._take(self._begins, line)
        elif not _is_row(line):
            self._wordless.append((self._begins, line))
        if len(self._wordless) * _LINE > _ENDLESS:
            for begins, earlier in self._wordless:
                self._take(begins, earlier)
        if _ended(line) or len(self._wordless) * _LINE > _ENDLESS:
            self._wordless = []
        if self._unweighed < _STRIDE:
            return None
        self._unweighed = 0
        return self._weighed()

    def _counts(self, line: str) -> bool:
        if _is_row(line):
            counts = own_words(line) >= SPEAKING
        elif _ended(line):
            counts = own_words(line) > 0
        else:
            counts = len(_words(line)) > 2 * _blanks(line)
        if not counts:
            return False
        shape = _NUMERALS.sub("0", line)
        earlier = self._shapes.pop(shape, line)
        self._shapes[shape] = line
        if len(self._shapes) > _RECENT:
            self._shapes.popitem(last=False)
        return earlier == line

    def _take(self, begins: int, line: str) -> None:
        self._lines.append((begins, line))
        self._size += len(_encode(line))
        self._unweighed += len(_encode(line))
        while (without := self._size - len(_encode(self._lines[0][1]))) >= _HISTORY:
            self._lines.popleft()
            self._size = without

    def _weighed(self) -> Stale | None:
        text = _encode("".join(line for _, line in self._lines))
        for window, dense in DENSE:
            times = window / len(zlib.compress(text[-window:]))
            if len(text) < window or times < _LIVELY:
                return None
            if times >= dense:
                return Stale(self._first_stale(dense), times)
        return None

    def _first_stale(self, dense: float) -> int:
        """The place from which on the text takes far less than it holds."""
        press, gained, lowest, start = zlib.compressobj(), 0.0, 0.0, self._lines[0][0]
        for place, piece in self._pieces():
            if gained < lowest:
                lowest, start = gained, place
            taken = len(press.compress(piece) + press.flush(zlib.Z_SYNC_FLUSH)) - _FLUSHED
            gained += len(piece) - dense / 2 * taken
        return start

    def _pieces(self) -> Iterator[tuple[int, bytes]]:
        """The lines, long ones cut and short ones joined, with their places."""
        begins, held = 0, ""
        for place, line in self._lines:
            for piece in _PIECE.finditer(line):
                if held and len(piece[0]) >= _HELD:
                    yield begins, _encode(held)
                    held = ""
                begins = begins if held else place + piece.start()
                held += piece[0]
                if len(held) >= _HELD:
                    yield begins, _encode(held)
                    held = ""


def _is_row(line: str) -> bool:
    return "</td>" in line or line.lstrip().startswith("|")


def _ended(line: str) -> bool:
    return line[-1] == "\n" or (line[-1] == ">" and line.endswith("</tr>"))


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "replace")
