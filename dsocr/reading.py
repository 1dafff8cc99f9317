"""Pages being read: opened ahead in a thread, submitted as others end, and delivered in their order."""

from __future__ import annotations

import collections
import math
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias

import torch

from dsocr.document.blocks import BLANK, FAILED, LOOPED, OK, TRUNCATED, Transcript
from dsocr.document.grounding import parse
from dsocr.elsewhere import Elsewhere
from dsocr.elsewhere import Known as Known
from dsocr.engine.engine import Stream
from dsocr.engine.request import Delta, FinishReason, Stats
from dsocr.errors import InputError
from dsocr.pages import BrokenPage, Mode, Page, Source
from dsocr.pages.blank import is_blank
from dsocr.pages.sideways import looks_turned
from dsocr.pages.tiling import make_views
from dsocr.rescue import Rescued, Surest, is_unsure
from dsocr.views import Views, VisionLayout

# Degrees to turn every page by, clockwise, or to find them for pages whose lines run up or down.
Rotate: TypeAlias = int | Literal["auto"]
AUTO: Rotate = "auto"
OPENED_AHEAD = 2  # pages that wait to be submitted
_KEPT = 4  # times the batch: most pages that were submitted and not yet asked for
_POLL = 0.5  # seconds
NO_ROOM = "it does not fit in memory; choose a smaller mode"
# The status of a page and its reason, from how its text ended.
ENDINGS: dict[FinishReason, tuple[str, str | None]] = {
    "stop": (OK, None),
    "length": (TRUNCATED, "the limit of new tokens was reached"),
    "context": (TRUNCATED, "the model's context is full"),
    "loop": (LOOPED, "it repeated itself"),
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
        known: Known | None = None,
        rescue: Callable[[str, Callable[[], None]], Rescued] | None = None,
        again: Callable[[str, float, Callable[[], None]], Surest] | None = None,
    ) -> None:
        """A page and the stream of what is written about it; a broken page and a known one have an empty one.

        vision_tokens: those that see the page and not its padding, where this is known. known: what the page came to
        when it was read before, or without being read. rescue: what a page comes to that repeated itself, from its
        good text; it calls the other now and then. again: what one comes to of which the network was unsure, from its
        text and how sure it was.
        """
        self.page = page
        self.labels_are_text = labels_are_text
        self.tokens = 0
        self.attempts = 1
        self.between: Callable[[], None] = lambda: None  # called between deltas, and between the steps to the next
        self.ended: Callable[[Reading], None] = lambda _: None  # called once, when its text is whole
        self.key = ""  # under which a shelf keeps it
        self.known = known is not None and known.attempts > 0
        self._deltas, self._rescue, self._again = deltas, rescue, again
        self._logprobs, self._told = 0.0, 0
        self._surest: float | None = None  # of a page that was read again, or before
        self._early: collections.deque[Delta] = collections.deque()  # read already, and not yet asked for
        self._text: list[str] = []
        self._ending: tuple[str, str | None] = (FAILED, "reading was broken off")
        self._vision_tokens, self._render_seconds = vision_tokens, render_seconds
        self._taken = False
        if known:
            self._text, self._ending, self._taken = [known.raw], (known.status, known.reason), True
            self.tokens, self.attempts, self._surest = known.tokens, known.attempts, known.confidence

    def __iter__(self) -> Iterator[Delta]:
        """The deltas that have not been taken yet; a page that cannot be read to its end just ends."""
        while True:
            delta = self._early.popleft() if self._early else self._take()
            if delta is None:
                return
            yield delta
            self.between()

    def _take(self, *, later: bool = False) -> Delta | None:
        """The next delta, None after the last: the page's text is whole then.

        later: where it is to be read again, that is left for whoever asks for it.
        """
        if self._taken:
            return None
        try:
            delta = self._next()
            if delta is not None:
                self._text.append(delta.text)
                self.tokens += len(delta.ids)
                if delta.logprob is not None:
                    self._logprobs, self._told = self._logprobs + delta.logprob, self._told + 1
                if delta.finish_reason:
                    self._ending = ENDINGS[delta.finish_reason]
                return replace(delta, page=self.page.number)
            if isinstance(self._deltas, Elsewhere):
                self._accept(self._deltas.known)
            elif later and self._is_unsure():
                return None
            else:
                self._leave_loop()
                self._look_again()
        except InputError as error:
            self._ending = FAILED, str(error)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            self._ending = FAILED, NO_ROOM
        self._taken = True
        self.ended(self)
        return None

    def _accept(self, known: Known | None) -> None:
        """What the page came to elsewhere; nothing where that was broken off."""
        if known:
            self._text, self._ending = [known.raw], (known.status, known.reason)
            self.tokens, self.attempts, self._surest = known.tokens, known.attempts, known.confidence
            if isinstance(self.page, Page):
                self.page = self.page.turned(known.rotated - self.page.rotated)

    def _leave_loop(self) -> None:
        """Keep what is good of a text that repeats itself, and what trying again makes of it."""
        loop = self._deltas.loop if isinstance(self._deltas, Stream) else None
        if loop is None:
            return
        good = "".join(self._text)[: loop.start]
        self._told = 0  # of what repeats itself a network is very sure
        self._text, why = [good], loop.reason
        self._taken = True  # what goes on between the attempts may ask for it again
        if self._rescue:
            rescued = self._rescue(good, self.between)
            self._text, self.attempts = [rescued.text], rescued.attempts
            why = rescued.tell(why)
        self._ending = LOOPED, why

    def _look_again(self) -> None:
        """Where the network was unsure of a page that it ended itself, take what it is surest of."""
        sure = self.confidence
        if self._again is None or sure is None or not self._is_unsure():
            return
        self._taken = True  # as above
        try:
            best = self._again("".join(self._text), sure, self.between)
        except (InputError, MemoryError, RuntimeError) as error:
            if not isinstance(error, InputError) and not is_out_of_memory(error):
                raise
            return  # what has been read stands
        self._text, self.attempts, self._surest = [best.text], best.attempts, best.confidence

    def _is_unsure(self) -> bool:
        return self._again is not None and is_unsure(self._ending[0], self.confidence)

    @property
    def confidence(self) -> float | None:
        """How sure the network was of the text: the geometric mean of its tokens' probabilities, 0 to 1.

        None where nobody asked. 0 where the network ended a page, which is not blank, before it had written anything.
        """
        if self._surest is not None:
            return self._surest
        if isinstance(self._deltas, Stream) and self._ending == (OK, None) and not any(self._text):
            return 0.0
        return mean_probability(self._logprobs, self._told)

    @property
    def over(self) -> bool:
        """Whether nothing more will be written about the page; deltas may still wait to be taken."""
        if isinstance(self._deltas, (Stream, Elsewhere)):
            return self._deltas.over
        return self._taken or isinstance(self.page, BrokenPage)

    @property
    def stats(self) -> Stats:
        """What the page took so far; vision tokens without those of its padding, as the published figures have it."""
        written = self._deltas if isinstance(self._deltas, (Stream, Elsewhere)) else None
        stats = written.stats if written else Stats(tokens_out=self.tokens)
        if self._vision_tokens is not None:
            stats = replace(stats, vision_tokens=self._vision_tokens)
        return replace(stats, render_seconds=self._render_seconds)

    def settle(self, *, later: bool = False) -> None:
        """Take the text of a page that is over, so that `ended` is told of it before anybody asks for the page.

        later: but for one that is to be read again.
        """
        while delta := self._take(later=later):
            self._early.append(delta)

    def cancel(self) -> None:
        """Nobody will ask for the page any more."""
        if isinstance(self._deltas, (Stream, Elsewhere)):
            self._deltas.cancel()

    def _next(self) -> Delta | None:
        if isinstance(self._deltas, (Stream, Elsewhere)):
            while self._deltas.advance():
                self.between()
        return next(self._deltas, None)

    def transcript(self, *, keep_image: bool = True) -> Transcript:
        """The page as read, to its end; whoever stopped early gets the rest read first."""
        if isinstance(self.page, BrokenPage):
            return Transcript(self.page.number, 0, 0, "", (), FAILED, self.page.reason, attempts=0)
        self.settle()
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
            attempts=self.attempts,
            dpi=self.page.dpi,
            rotated=self.page.rotated,
            confidence=self.confidence,
        )


@dataclass(frozen=True)
class SourceEnd:
    """All pages of a source have been given; with an error, it ends early."""

    source: Source
    error: InputError | None = None


NOTHING = Known("", BLANK, None, 0, attempts=0)  # what a blank page comes to


class Shelf(Protocol):
    """Where pages are kept that have been read, so that they need not be read again."""

    def key(self, page: Page) -> str:
        """What tells this page, and the way it is read, from all others."""

    def find(self, key: str) -> Known | None:
        """A page that is kept; called in the thread that opens pages."""

    def keep(self, reading: Reading) -> None:
        """Keep a page whose text is whole, if it is worth it; called by whoever takes the readings."""


@dataclass(frozen=True)
class Opened:
    """A page with its views, ready to be submitted; a broken one and a known one have none.

    perhaps_turned: whether it is to be found out which way up it is.
    """

    page: Page | BrokenPage
    views: Views | None
    seconds: float
    key: str = ""
    known: Known | None = None
    perhaps_turned: bool = False


def confidence_of(deltas: Iterable[Delta]) -> float | None:
    """The geometric mean of the probabilities that the network gave to its tokens; None where they do not tell."""
    told = [delta.logprob for delta in deltas if delta.logprob is not None]
    return mean_probability(sum(told), len(told))


def mean_probability(logprobs: float, count: int) -> float | None:
    """Of so many tokens; None without any, or where the network's numbers were none."""
    mean = logprobs / count if count else math.nan
    return None if math.isnan(mean) else math.exp(min(0.0, mean))


def read_ahead(
    pages: Iterator[Page | BrokenPage | SourceEnd],
    mode: Mode,
    begin: Callable[[Opened], Reading],
    batch: int,
    shelf: Shelf | None = None,
    *,
    skip_blank: bool = False,
    rotate: Rotate = 0,
    elsewhere: bool = False,
) -> Generator[Reading | SourceEnd, None, None]:
    """A Reading for each page, in order; up to `batch` pages are written about at once.

    `begin` submits an opened page. Pages are opened in a thread; those that the shelf has are not read again, and the
    others are kept there as soon as they end. skip_blank: pages on which there is nothing are not shown to the network.
    rotate: degrees to turn every page by, clockwise; "auto" marks those that look turned.
    elsewhere: whoever reads the pages makes their views. Closed early, it cancels every page that was not given away.
    """
    opened = _OpenedAhead(_with_views(pages, mode, shelf, skip_blank, rotate, elsewhere))
    readings = _Readings(opened, begin, batch, shelf)
    try:
        while reading := readings.next():
            yield reading
    finally:
        readings.close()


class _Readings:
    """Several pages on their way at once, a Reading for each, in the order of the pages.

    New pages are submitted when the next Reading is asked for, and between the steps to a delta of any.
    """

    def __init__(
        self, opened: _OpenedAhead, begin: Callable[[Opened], Reading], batch: int, shelf: Shelf | None
    ) -> None:
        """`begin` submits an opened page; at most `batch` pages are being written about at once."""
        self._opened, self._begin, self._batch, self._shelf = opened, begin, batch, shelf
        self._kept: collections.deque[Reading | SourceEnd] = collections.deque()
        # Whoever was given a Reading may drop it: that it ends then is not for us to prevent.
        self._given: weakref.WeakSet[Reading] = weakref.WeakSet()

    def next(self) -> Reading | SourceEnd | None:
        """The next page's, None after the last; raises what opening the page raised."""
        self.refill()
        if not self._kept:
            opened = self._opened.next()
            if opened is None:
                return None
            self._submit(opened)
        step = self._kept.popleft()
        if isinstance(step, Reading):
            self._given.add(step)
        return step

    def refill(self) -> None:
        """Submit pages that are open already, as far as there is room; never waits."""
        for reading in self._readings():
            if reading.over:
                reading.settle(later=True)  # this may be called while another page is read again
        while self._has_room():
            opened = self._opened.next(wait=False)
            if opened is None:
                return
            self._submit(opened)

    def close(self) -> None:
        """Pages that were not given away are cancelled, and no more are opened."""
        self._opened.close()
        for reading in self._readings():
            reading.cancel()
        self._kept.clear()

    def _readings(self) -> list[Reading]:
        return [step for step in self._kept if isinstance(step, Reading)]

    def _submit(self, opened: Opened | SourceEnd) -> None:
        if isinstance(opened, SourceEnd):
            self._kept.append(opened)
            return
        reading = self._begin(opened)
        reading.between = self.refill
        if self._shelf and opened.key and not reading.known:
            reading.key, reading.ended = opened.key, self._shelf.keep
        self._kept.append(reading)

    def _has_room(self) -> bool:
        for reading in [reading for reading in self._given if reading.over]:
            self._given.discard(reading)
        kept = self._readings()
        writing = len(self._given) + sum(not reading.over for reading in kept)
        return writing < self._batch and len(kept) < _KEPT * self._batch


class _OpenedAhead:
    """Pages opened by one thread while others are read, a few at a time: their library bears no second thread."""

    def __init__(self, pages: Generator[Opened | SourceEnd, None, None]) -> None:
        self._pages = pages
        self._waiting: collections.deque[Opened | SourceEnd] = collections.deque()
        self._change = threading.Condition()
        self._error: BaseException | None = None
        self._done = self._closed = False
        threading.Thread(target=self._work, name="dsocr-opener").start()

    def next(self, *, wait: bool = True) -> Opened | SourceEnd | None:
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
            while sum(isinstance(page, Opened) for page in self._waiting) >= OPENED_AHEAD and not self._closed:
                self._change.wait(_POLL)
                # Python waits for this thread before it ends, and nobody may be left to close it.
                self._closed = self._closed or not threading.main_thread().is_alive()
            return not self._closed


def _with_views(
    pages: Iterator[Page | BrokenPage | SourceEnd],
    mode: Mode,
    shelf: Shelf | None,
    skip_blank: bool,
    rotate: Rotate,
    elsewhere: bool,
) -> Generator[Opened | SourceEnd, None, None]:
    """The pages as they are to be shown to the network, with the time that this took; the shelf's without views."""
    while True:
        began = time.perf_counter()
        page = next(pages, None)
        if page is None:
            return
        if isinstance(page, SourceEnd):
            yield page
            continue
        views, key, known, perhaps_turned = None, "", None, False
        if isinstance(page, Page):
            try:
                page = page if rotate == AUTO else page.turned(int(rotate))
                if skip_blank and is_blank(page.image):
                    known = NOTHING
                elif shelf:
                    key = shelf.key(page)
                    known = shelf.find(key)
                    page = page.turned(known.rotated - page.rotated) if known else page
                perhaps_turned = rotate == AUTO and not known and looks_turned(page.image)
                views = None if known or elsewhere else make_views(page.image, mode)
            except MemoryError:
                page = BrokenPage(page.source, page.number, NO_ROOM)
        yield Opened(page, views, time.perf_counter() - began, key, known, perhaps_turned)


def tokens_on_page(size: tuple[int, int], layout: VisionLayout, mode: Mode) -> int:
    """How many vision tokens see the page (width, height) and not the padding beside it: the published count."""
    overview = layout.overview_side**2
    seen = overview if mode.squash else int(overview * min(size) / max(size))
    # The published count leaves out tiles that are not of 640 pixels; here they count like all others.
    return seen + layout.vision_tokens - overview


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is a device's or the machine's way to say that memory has run out."""
    words = str(error).lower()
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or ("memory" in words and "alloc" in words)
