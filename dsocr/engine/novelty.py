"""Weighs how much is new in the last lines of a growing text: what mixes the same words anew compresses far."""

from __future__ import annotations

import re
import zlib
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass
from itertools import accumulate

# So many times smaller the last so many bytes become when nothing new is said.
DENSE = ((2400, 12.0), (9600, 10.0))
SPEAKING = 4  # words of its own that a table's row needs, or else it says little

_STRIDE = 400  # bytes from one compression to the next
_HISTORY = 2 * DENSE[-1][0]  # bytes in which the beginning is looked for
_FLUSHED = 5  # bytes that ending a line adds to what it compresses to
_LINE = 1000  # characters after which a line is taken as it is
_RECENT = 64  # lines that a line is compared with

_ASIAN = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[^\W\d_{_ASIAN}]{{2,}}|[{_ASIAN}]")
_TAG = re.compile(r"</?[a-z][^<>]*>|<\|/?(?:ref|det)\|>")
_BLANK = re.compile(r"_{3,}|\.{4,}|…{2,}|\[ ?\]|\( ?\)|[☐□○]|(?<=\S) {3,}|\u3000{2,}|<td[^<>]*>\s*</td>")
_NUMERALS = re.compile(r"\d+")


@dataclass(frozen=True)
class Stale:
    """The place in the text from which on little is new, and how many times smaller the last of it compresses."""

    start: int
    times: float


def own_words(text: str) -> int:
    """How many words a text has of its own, less two for each blank that is left to be filled in.

    A word that comes more than twice is not its own: twelve equal cells say no more than one.
    """
    words = Counter(_WORD.findall(_TAG.sub(" ", text)))
    return sum(count <= 2 for count in words.values()) - 2 * sum(1 for _ in _BLANK.finditer(text))


class Novelty:
    """Characters as they come, and the lines they make; complains when the lines up to now say nothing new.

    Lines without words, table rows that say little, and lines that differ from a recent one only in numbers are not
    weighed: there an honest page says nothing new either.
    """

    def __init__(self) -> None:
        self._line = ""
        self._begins = 0
        self._shapes: OrderedDict[str, str] = OrderedDict()
        self._lines: deque[tuple[int, bytes]] = deque()
        self._size = self._unweighed = 0

    def push(self, character: str, place: int) -> bool:
        """One more character and its place in the text; whether it ends a line, to be weighed or passed over."""
        if not self._line:
            self._begins = place
        self._line += character
        return character == "\n" or len(self._line) >= _LINE or (character == ">" and self._line.endswith("</tr>"))

    def pass_over(self) -> None:
        """Leaves the line that has ended out of account."""
        self._line = ""

    def weigh(self) -> Stale | None:
        """Takes the line that has ended, and looks how much is new in the last ones."""
        line, self._line = self._line, ""
        if not self._counts(line):
            return None
        self._lines.append((self._begins, line.encode("utf-8", "replace")))
        size = len(self._lines[-1][1])
        self._size += size
        self._unweighed += size
        while self._size - len(self._lines[0][1]) >= _HISTORY:
            self._size -= len(self._lines.popleft()[1])
        if self._unweighed < _STRIDE:
            return None
        self._unweighed = 0
        return self._weighed()

    def _counts(self, line: str) -> bool:
        row = "</td>" in line or line.lstrip().startswith("|")
        if len(line) >= _LINE and not row:
            return True
        if own_words(line) < (SPEAKING if row else 1):
            return False
        shape = _NUMERALS.sub("0", line)
        earlier = self._shapes.pop(shape, line)
        self._shapes[shape] = line
        if len(self._shapes) > _RECENT:
            self._shapes.popitem(last=False)
        return earlier == line

    def _weighed(self) -> Stale | None:
        text = b"".join(line for _, line in self._lines)
        for window, dense in DENSE:
            times = window / len(zlib.compress(text[-window:]))
            if len(text) >= window and times >= dense:
                return Stale(self._first_stale(dense), times)
        return None

    def _first_stale(self, dense: float) -> int:
        """The place of the line from which on lines take far less than they hold."""
        press = zlib.compressobj()
        taken = [len(press.compress(line) + press.flush(zlib.Z_SYNC_FLUSH)) - _FLUSHED for _, line in self._lines]
        gains = (len(line) - dense / 3 * new for (_, line), new in zip(self._lines, taken, strict=True))
        walk = list(accumulate(gains, initial=0.0))[:-1]
        return self._lines[min(range(len(walk)), key=walk.__getitem__)][0]
