"""The line that moves while pages are read: how many, how fast, and how long it will go on."""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dsocr.errors import InputError
from dsocr.jobs.manifest import Outcome
from dsocr.jobs.plan import sizes_of
from dsocr.jobs.summary import count, show_seconds
from dsocr.ocr import Options
from dsocr.pages.inputs import Input, show
from dsocr.reading import Reading

_WINDOW = 64  # pages over which a rate is taken: what was known from before is soon forgotten
_PAUSE = 0.2  # seconds between two lines


@dataclass(frozen=True)
class _Tick:
    """A moment when a page ended, and how many tokens there were by then."""

    seconds: float
    tokens: int


@dataclass
class Progress:
    """Tells `show_line` how a run goes, a few times a second; where there is none, nothing is told or counted."""

    show_line: Callable[[str], None] | None = None
    total: int | None = None  # pages, once they are counted
    done: int = 0
    _ticks: collections.deque[_Tick] = field(default_factory=lambda: collections.deque(maxlen=_WINDOW + 1))
    _shown: float = 0.0
    _stopped: threading.Event = field(default_factory=threading.Event)

    def begin(self, inputs: Sequence[Input], options: Options) -> None:
        """The reading starts now; all pages are counted beside it, in a thread."""
        self._ticks.append(_Tick(time.monotonic(), 0))
        if self.show_line:
            threading.Thread(target=self._count, args=(inputs, options), name="dsocr-counter").start()

    def writing(self, reading: Reading) -> None:
        """A page has got another token."""
        self._show(reading.page.source, reading.page.number, f", {reading.tokens} tokens")

    def ended(self, outcome: Outcome) -> None:
        """A page has ended, or an input without one."""
        if outcome.page is not None:
            self.done += 1
            before = self._ticks[-1].tokens if self._ticks else 0
            self._ticks.append(_Tick(time.monotonic(), before + outcome.tokens))
            self._show(outcome.input, outcome.page)

    def stop(self) -> None:
        """Nothing more will come; the thread counts no further."""
        self._stopped.set()

    def line(self) -> str:
        """How it goes."""
        done = count(self.done, "page") if self.total is None else f"{self.done:,} of {count(self.total, 'page')}"
        return " · ".join([done, *self._rates()])

    def _show(self, source: str, page: int, more: str = "") -> None:
        if self.show_line and time.monotonic() - self._shown > _PAUSE:
            self._shown = time.monotonic()
            self.show_line(f"{self.line()} · {show(source)} page {page}{more}")

    def _rates(self) -> list[str]:
        if len(self._ticks) < 2:
            return []
        first, last = self._ticks[0], self._ticks[-1]
        seconds = max(last.seconds - first.seconds, 1e-6)
        pages = (len(self._ticks) - 1) / seconds
        rates = [f"{pages:.3g} pages/s", f"{(last.tokens - first.tokens) / seconds:,.0f} tokens/s"]
        if self.total is not None:
            rates.append(f"{show_seconds(max(0, self.total - self.done) / pages)} left")
        return rates

    def _count(self, inputs: Sequence[Input], options: Options) -> None:
        """Sets the total, unless there is an input that cannot be counted."""
        total = 0
        for each in inputs:
            if self._stopped.is_set():
                return
            try:
                sizes = sizes_of(each.source, options)
            except InputError:
                continue  # it has no pages
            if sizes is None:
                return
            total += len(sizes)
        self.total = total
