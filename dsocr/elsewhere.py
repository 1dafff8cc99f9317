"""A page that is written elsewhere, by a server or another process: deltas as they come, then what it came to."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dsocr.engine.request import Delta, FinishReason, Stats

_MOMENT = 0.05  # seconds after which whoever waits for a delta looks after other pages


@dataclass(frozen=True)
class Known:
    """What a page came to when it was read before, or elsewhere, or without being read."""

    raw: str
    status: str
    reason: str | None
    tokens: int
    attempts: int = 1
    rotated: int = 0  # degrees, clockwise, by which the page was turned to be read
    confidence: float | None = None


class Elsewhere:
    """The deltas of one page: whoever writes it hands them in, from any thread, and whoever reads it takes them.

    What it came to is told at the end, for it may be another text than the deltas joined: one that was begun twice, or
    read again in another way.
    """

    def __init__(self, stop: Callable[[], None] = lambda: None) -> None:
        """stop: tells whoever writes the page that nobody wants it any more."""
        self._stop = stop
        self._deltas: collections.deque[Delta] = collections.deque()
        self._change = threading.Condition()
        self._cancelled = False
        self.known: Known | None = None
        self.stats = Stats()

    def write(self, text: str) -> None:
        """More of the page's text."""
        with self._change:
            self._deltas.append(Delta(text))
            self._change.notify_all()

    def end(self, known: Known, stats: Stats, reason: FinishReason | None = None) -> None:
        """Nothing more will come; reason: how the text ended, None where it could not be read to its end."""
        with self._change:
            if reason:
                self._deltas.append(Delta("", finish_reason=reason))
            self.stats, self.known = stats, known
            self._change.notify_all()

    @property
    def over(self) -> bool:
        """Whether nothing more will be written; deltas may still wait to be taken."""
        return self.known is not None or self._cancelled

    def advance(self) -> bool:
        """Wait a moment, if no delta can be taken yet; False if one can, or none will come."""
        with self._change:
            if self._deltas or self.over:
                return False
            self._change.wait(_MOMENT)
        return True

    def cancel(self) -> None:
        """Write no more; the deltas that were not taken are gone."""
        with self._change:
            if self.over:
                return
            self._cancelled = True
            self._deltas.clear()
            self._change.notify_all()
        self._stop()

    def __iter__(self) -> Iterator[Delta]:
        return self

    def __next__(self) -> Delta:
        with self._change:
            while not (self._deltas or self.over):
                self._change.wait(_MOMENT)  # not for ever: a signal is noticed in between
            if not self._deltas:
                raise StopIteration
            return self._deltas.popleft()
