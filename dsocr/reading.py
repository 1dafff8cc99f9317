"""Pages being read: opened ahead in a thread, submitted as others end, and delivered in their order."""

from __future__ import annotations

import collections
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import torch

from dsocr.document.blocks import FAILED, OK, TRUNCATED, Transcript
from dsocr.document.grounding import parse
from dsocr.engine.engine import Stream
from dsocr.engine.request import Delta, FinishReason, Stats
from dsocr.errors import InputError
from dsocr.pages import BrokenPage, Mode, Page
from dsocr.pages.tiling import make_views
from dsocr.views import Views

OPENED_AHEAD = 2  # pages that wait to be submitted
_KEPT = 4  # times the batch: most pages that were submitted and not yet asked for
_POLL = 0.5  # seconds
_NO_ROOM = "it does not fit in memory; choose a smaller mode"
_ENDINGS: dict[FinishReason, tuple[str, str | None]] = {
    "stop": (OK, None),
    "length": (TRUNCATED, "the limit of new tokens was reached"),
    "context": (TRUNCATED, "the model's context is full"),
}


class Reading:
    """One page being read: iterate for the deltas, then ask for the transcript."""

    def __init__(
        self,
        page: Page | BrokenPage,
        deltas: Iterator[Delta],
        labels_are_text: bool = False,
        *,
        vision_tokens: int | None = None,
        render_seconds: float = 0.0,
    ) -> None:
        """A page and the stream of what is written about it; a broken page has an empty one.

        vision_tokens: those that see the page and not its padding, where this is known.
        """
        self.page = page
        self.labels_are_text = labels_are_text
        self.tokens = 0
        self.between: Callable[[], None] = lambda: None  # called between deltas, and between the steps to the next
        self._deltas = deltas
        self._text: list[str] = []
        self._ending: tuple[str, str | None] = (FAILED, "reading was broken off")
        self._vision_tokens, self._render_seconds = vision_tokens, render_seconds
        self._taken = False

    def __iter__(self) -> Iterator[Delta]:
        """The deltas that have not been taken yet; a page that cannot be read to its end just ends."""
        try:
            while delta := self._next():
                self._text.append(delta.text)
                self.tokens += len(delta.ids)
                if delta.finish_reason:
                    self._ending = _ENDINGS[delta.finish_reason]
                yield replace(delta, page=self.page.number)
                self.between()
            self._taken = True
        except InputError as error:
            self._ending, self._taken = (FAILED, str(error)), True
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            self._ending, self._taken = (FAILED, _NO_ROOM), True

    @property
    def over(self) -> bool:
        """Whether nothing more will be written about the page; deltas may still wait to be taken."""
        if isinstance(self._deltas, Stream):
            return self._deltas.over
        return self._taken or isinstance(self.page, BrokenPage)

    @property
    def stats(self) -> Stats:
        """What the page took so far; vision tokens without those of its padding, as the published figures have it."""
        stats = self._deltas.stats if isinstance(self._deltas, Stream) else Stats(tokens_out=self.tokens)
        if self._vision_tokens is not None:
            stats = replace(stats, vision_tokens=self._vision_tokens)
        return replace(stats, render_seconds=self._render_seconds)

    def cancel(self) -> None:
        """Nobody will ask for the page any more."""
        if isinstance(self._deltas, Stream):
            self._deltas.cancel()

    def _next(self) -> Delta | None:
        if isinstance(self._deltas, Stream):
            while self._deltas.advance():
                self.between()
        return next(self._deltas, None)

    def transcript(self, *, keep_image: bool = True) -> Transcript:
        """The page as read, to its end; whoever stopped early gets the rest read first."""
        if isinstance(self.page, BrokenPage):
            return Transcript(self.page.number, 0, 0, "", (), FAILED, self.page.reason)
        for _ in self:
            pass
        raw = "".join(self._text)
        status, reason = self._ending
        return Transcript(
            self.page.number,
            *self.page.size,
            raw,
            parse(raw),
            status,
            reason,
            self.page.image if keep_image else None,
            self.labels_are_text,
        )


@dataclass(frozen=True)
class Opened:
    """A page with its views, ready to be submitted; a broken one has none."""

    page: Page | BrokenPage
    views: Views | None
    seconds: float


def read_ahead(
    pages: Iterator[Page | BrokenPage],
    mode: Mode,
    begin: Callable[[Opened], Reading],
    batch: int,
    *,
    first_here: bool = False,
) -> Generator[Reading, None, None]:
    """A Reading for each page, in order; up to `batch` pages are written about at once.

    `begin` submits an opened page. Pages are opened in a thread, the first one by the caller where `first_here` says
    so. Closed early, it cancels every page that was not given away.
    """
    readings = _Readings(_OpenedAhead(pages, mode, first_here), begin, batch)
    try:
        while reading := readings.next():
            yield reading
    finally:
        readings.close()


class _Readings:
    """Several pages on their way at once, a Reading for each, in the order of the pages.

    New pages are submitted when the next Reading is asked for, and between the steps to a delta of any.
    """

    def __init__(self, opened: _OpenedAhead, begin: Callable[[Opened], Reading], batch: int) -> None:
        """`begin` submits an opened page; at most `batch` pages are being written about at once."""
        self._opened, self._begin, self._batch = opened, begin, batch
        self._kept: collections.deque[Reading] = collections.deque()
        # Whoever was given a Reading may drop it: that it ends then is not for us to prevent.
        self._given: weakref.WeakSet[Reading] = weakref.WeakSet()

    def next(self) -> Reading | None:
        """The next page's, None after the last; raises what opening the page raised."""
        self.refill()
        if not self._kept:
            opened = self._opened.next()
            if opened is None:
                return None
            self._submit(opened)
        reading = self._kept.popleft()
        self._given.add(reading)
        return reading

    def refill(self) -> None:
        """Submit pages that are open already, as far as there is room; never waits."""
        while self._has_room():
            opened = self._opened.next(wait=False)
            if opened is None:
                return
            self._submit(opened)

    def close(self) -> None:
        """Pages that were not given away are cancelled, and no more are opened."""
        self._opened.close()
        for reading in self._kept:
            reading.cancel()
        self._kept.clear()

    def _submit(self, opened: Opened) -> None:
        reading = self._begin(opened)
        reading.between = self.refill
        self._kept.append(reading)

    def _has_room(self) -> bool:
        for reading in [reading for reading in self._given if reading.over]:
            self._given.discard(reading)
        writing = len(self._given) + sum(not reading.over for reading in self._kept)
        return writing < self._batch and len(self._kept) < _KEPT * self._batch


class _OpenedAhead:
    """Pages opened by one thread while others are read, a few at a time: their library bears no second thread."""

    def __init__(self, pages: Iterator[Page | BrokenPage], mode: Mode, first_here: bool) -> None:
        """first_here: the first page is opened by the caller, before the thread begins."""
        self._pages = _with_views(pages, mode)
        self._waiting: collections.deque[Opened] = collections.deque()
        self._change = threading.Condition()
        self._error: BaseException | None = None
        self._done = self._closed = False
        if first_here:
            self._waiting.extend(page for page in [next(self._pages, None)] if page)
        threading.Thread(target=self._work, name="dsocr-opener").start()

    def next(self, *, wait: bool = True) -> Opened | None:
        """The next page; None after the last, or where it is not to be waited for. Raises what opening it raised."""
        with self._change:
            if wait:
                self._change.wait_for(lambda: self._waiting or self._done)
                if not self._waiting and self._error is not None:
                    raise self._error
            if not self._waiting or self._closed:
                return None
            self._change.notify_all()
            return self._waiting.popleft()

    def close(self) -> None:
        """No more pages are opened; the one that is being opened is not waited for."""
        with self._change:
            self._closed = True
            self._change.notify_all()

    def _work(self) -> None:
        error: BaseException | None = None
        try:
            with closing(self._pages):
                while self._wanted() and (page := next(self._pages, None)):
                    with self._change:
                        self._waiting.append(page)
                        self._change.notify_all()
        except BaseException as raised:  # raised again where the page is asked for
            error = raised
        with self._change:
            self._error, self._done = error, True
            self._change.notify_all()

    def _wanted(self) -> bool:
        """Waits until another page is wanted; False when none ever will be."""
        with self._change:
            while len(self._waiting) >= OPENED_AHEAD and not self._closed:
                self._change.wait(_POLL)
                # Python waits for this thread before it ends, and nobody may be left to close it.
                self._closed = self._closed or not threading.main_thread().is_alive()
            return not self._closed


def _with_views(pages: Iterator[Page | BrokenPage], mode: Mode) -> Generator[Opened, None, None]:
    """The pages as they are to be shown to the network, with the time that this took."""
    while True:
        began = time.perf_counter()
        page = next(pages, None)
        if page is None:
            return
        views = None
        if isinstance(page, Page):
            try:
                views = make_views(page.image, mode)
            except MemoryError:
                page = BrokenPage(page.source, page.number, _NO_ROOM)
        yield Opened(page, views, time.perf_counter() - began)


def tokens_on_page(size: tuple[int, int], views: Views, mode: Mode) -> int:
    """How many vision tokens see the page (width, height) and not the padding beside it: the published count."""
    layout = views.layout
    overview = layout.overview_side**2
    seen = overview if mode.squash else int(overview * min(size) / max(size))
    # The published count leaves out tiles that are not of 640 pixels; here they count like all others.
    return seen + layout.vision_tokens - overview


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is a device's or the machine's way to say that memory has run out."""
    words = str(error).lower()
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or ("memory" in words and "alloc" in words)
