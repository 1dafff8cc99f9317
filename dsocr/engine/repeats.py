"""Finds the piece that the end of a growing text is made of, again and again, and how far back it goes on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

SAME = 128  # characters that must have come again before a piece is followed
SEEN = 160  # and before it is judged, which takes longer
LONGEST = 2000  # characters of the longest piece whose repeats are noticed
BEGUN = 24  # characters of the next copy that must have come: two equal halves of a page are no loop
OVERLAP = 0.3  # of the smaller box: no two blocks of a page lie on each other like that

# What stands in a number's place where numbers shall not count; the second for those of boxes.
NUMBER, COORDINATE = "\ue000", "\ue001"

_KEPT = 2 * (LONGEST + SAME)  # characters: a copy and what followed it are at hand when they are judged
_NUMERAL = re.compile(r"\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|[,.]")
_DIGITS = 40  # characters of one number that are looked at
_ENDS = ("</tr>", "\n", "</td>", ". ", "。", " ")  # where a copy may end, the best first


@dataclass(frozen=True)
class Run:
    """One piece that came again and again. Lengths are in characters, numbers being one unless said otherwise.

    start: the place in the text where the first copy ends and the surplus begins; turn: how much of what comes again
    stands before it. unit: the piece, from a natural beginning. written: the same as it came last, numbers and all.
    length: what came again. changed: the share of that, in written characters, that are digits unlike those one copy
    before. counting: whether each number that changes is one more or less than a copy before. stacked: how many of the
    last boxes in a row lie on the box one copy before.
    """

    start: int
    unit: str
    written: str
    length: int
    turn: int = 0
    changed: float = 0.0
    counting: bool = False
    stacked: int = 0

    @property
    def begun(self) -> int:
        """The length at which one whole copy has come again, and the next has begun."""
        return len(self.unit) + BEGUN


class Repeats:
    """Characters as they come; a run as soon as it is longer than its allowance.

    The hash of the last characters tells where they stood before. From then on each character is only compared with
    the one a piece earlier, also where a part of the piece repeats for itself, as the equal cells of a row do.
    """

    def __init__(self, allowed: Callable[[Run], float], *, early: bool = False) -> None:
        """`allowed` says how many characters may come again in such a run; it is asked again when they have.

        early: it is asked before a whole copy has come again.
        """
        self._allowed, self._early = allowed, early
        self._characters: list[str] = []
        self._places: list[int] = []
        self._numbers: list[str] = []
        self._tail = ""
        self._read = 0
        self._young: dict[int, int] = {}
        self._old: dict[int, int] = {}
        self._period = self._length = 0
        self._needed: float = 0
        self._start: int | None = None
        self._turn = 0

    def push(self, character: str, place: int, number: str = "") -> Run | None:
        """One more character, its place in the text, and the number it stands for, if it does."""
        if self._read % LONGEST == 0:
            self._forget()
        characters = self._characters
        characters.append(character)
        self._places.append(place)
        self._numbers.append(number)
        self._tail = self._tail[1 - SAME :] + character
        key, read = hash(self._tail), self._read + 1
        self._read = read
        seen = self._young.get(key) or self._old.get(key, 0)
        self._young[key] = read
        if self._period and characters[-1 - self._period] == character:
            self._length += 1
            if self._length >= self._needed:
                return self._judged()
        elif seen and read - seen <= LONGEST and read > SAME:
            self._period, self._length, self._start = read - seen, SAME, None
            self._needed = SEEN if self._early else max(SEEN, self._period + BEGUN)
        else:
            self._period = self._length = 0
        return None

    def _forget(self) -> None:
        self._young, self._old = {}, self._young
        for kept in (self._characters, self._places, self._numbers):
            del kept[:-_KEPT]

    def repeats(self, mark: str) -> bool:
        """Whether the end is one piece at least three times, and this mark is part of it."""
        return 0 < 2 * self._period <= self._length and mark in self._characters[-self._period :]

    def _judged(self) -> Run | None:
        if self._start is None:
            first = self._find_first()
            if first is None:
                self._period = 0
                return None
            self._turn = natural_end("".join(self._characters[first - self._period : first]))
            if self._length <= self._turn:  # the first copy is yet to end
                self._needed = self._turn + 1
                return None
            self._start = self._places[first + self._turn]
        run = self._run(self._start)
        self._needed = self._allowed(run)
        return run if self._length >= self._needed else None

    def _find_first(self) -> int | None:
        """Goes back to the first character that came again. None: no run."""
        characters, period = self._characters, self._period
        if characters[-SAME:] != characters[-SAME - period : -period]:
            return None  # two texts of one hash
        first = len(characters) - self._length
        earliest = max(period, first - period)
        while first > earliest and characters[first - 1] == characters[first - 1 - period]:
            first -= 1
        self._length = len(characters) - first
        return first

    def _run(self, start: int) -> Run:
        period, places = self._period, self._places
        since = max(period, len(places) - self._length)
        unit, written = self._last(self._characters), self._last(self._numbers)
        changes = [
            (number, before)
            for mark, number, before in zip(
                self._characters[since:], self._numbers[since:], self._numbers[since - period : -period], strict=True
            )
            if mark == NUMBER and number != before
        ]
        return Run(
            start=start,
            unit="".join(unit),
            written="".join(number or mark for number, mark in zip(written, unit, strict=True)),
            length=self._length,
            turn=self._turn,
            changed=sum(len(number) for number, _ in changes) / (places[-1] - places[since] + 1),
            counting=bool(changes) and all(_next_to(number, before) for number, before in changes),
            stacked=self._stacked(since) if COORDINATE in unit else 0,
        )

    def _last(self, kept: list[str]) -> list[str]:
        """What was kept of the last copy, from its natural beginning."""
        turn = (self._turn - self._length) % self._period
        last = kept[-self._period :]
        return last[turn:] + last[:turn]

    def _stacked(self, since: int) -> int:
        begin = since - self._period
        boxes = list(_boxes(self._characters[begin:], self._numbers[begin:]))
        copies = (len(self._characters) - begin) / self._period
        apart = max(1, round(len(boxes) / copies))
        stacked = [_lies_on(box, earlier) for box, earlier in zip(boxes[apart:], boxes, strict=False)]
        return [*reversed(stacked), False].index(False)


def natural_end(piece: str) -> int:
    """How many characters of a piece that goes on in a circle come before the place where a reader would end it."""
    circle = piece + piece[: len("<|ref|>") - 1]
    if "<|ref|>" in circle:
        return circle.index("<|ref|>")
    for end in _ENDS:
        place = (piece[-len(end) :] + piece).find(end)  # 0: the copy before has ended just where this one begins
        if place >= 0:
            while end in ("</tr>", "\n") and place < len(piece) and piece[place] == "\n":
                place += 1
            return place % len(piece)
    return 0


def _next_to(number: str, other: str) -> bool:
    return number.isdecimal() and other.isdecimal() and abs(int(number) - int(other)) == 1


def _boxes(marks: list[str], numbers: list[str]) -> Iterator[list[int]]:
    """Every four numbers between brackets."""
    sides: list[int] = []
    for mark, number in zip(marks, numbers, strict=True):
        if mark == COORDINATE:
            sides.append(int(number))
        elif mark == "]" and len(sides) == 4:
            yield sides
        if mark in "[]":
            sides = []


def _lies_on(box: list[int], other: list[int]) -> bool:
    """Whether two boxes share a good part of the smaller one's area; boxes without area do when they are the same."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    smaller = min((right - left) * (bottom - top) for left, top, right, bottom in (box, other))
    return box == other or (width > 0 and height > 0 and width * height >= OVERLAP * smaller)


class Folding:
    """Puts one mark in the place of every number, so that texts that differ only in numbers become equal."""

    def __init__(self) -> None:
        self._held = ""
        self._begins = 0
        self._last = ""
        self._in_boxes = False

    def push(self, character: str, place: int) -> list[tuple[str, int, str]]:
        """What has become certain: characters or marks, their places, and the numbers behind the marks."""
        if character.isdecimal():
            if not self._held:
                self._begins = place
            if len(self._held) < _DIGITS:
                self._held += character
            return []
        if self._held and character in ",." and self._may_go_on():
            return self._hold(character)
        folded = self._release()
        folded.append((character, place, ""))
        self._last = self._last[-7:] + character
        if character == ">" and self._last.endswith(("<|det|>", "<|/det|>")):
            self._in_boxes = self._last.endswith("<|det|>")
        elif character == "\n":
            self._in_boxes = False
        return folded

    def _may_go_on(self) -> bool:
        """Whether a comma or point may belong to the number before it: 1,234.56."""
        return self._held[-1].isdecimal() and len(self._held) < _DIGITS and not self._in_boxes

    def _hold(self, separator: str) -> list[tuple[str, int, str]]:
        """Only the last number held can still grow."""
        last = list(_NUMERAL.finditer(self._held))[-1]
        grows, begins = self._held[last.start() :], self._begins + last.start()
        self._held = self._held[: last.start()]
        settled = self._release()
        self._held, self._begins = grows + separator, begins
        return settled

    def _release(self) -> list[tuple[str, int, str]]:
        mark = COORDINATE if self._in_boxes else NUMBER
        released = [
            (found[0], self._begins + found.start(), "")
            if found[0] in ",."
            else (mark, self._begins + found.start(), found[0])
            for found in _NUMERAL.finditer(self._held)
        ]
        self._held = ""
        return released
