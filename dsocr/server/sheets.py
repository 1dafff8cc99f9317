"""One document on its way through the server: a few of its pages at once, told of as they are written."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

from dsocr.document.blocks import FAILED, Transcript
from dsocr.document.grounding import parse
from dsocr.engine.loops import Loop
from dsocr.engine.request import Delta, Request, Sampling, Stats
from dsocr.errors import InputError
from dsocr.ocr import OCR, Options, sureness, trial_of
from dsocr.pages import BrokenPage, Page, get_mode
from dsocr.pages.blank import is_blank
from dsocr.pages.sideways import TURNS, choose_turn, looks_turned
from dsocr.pages.tiling import make_views
from dsocr.prompts import labels_are_text
from dsocr.reading import AUTO, NOTHING, Reading, confidence_of, tokens_on_page
from dsocr.rescue import Attempt, Said, climb, is_unsure, look_again
from dsocr.server.line import Line
from dsocr.server.opener import Opener, OpenFile
from dsocr.server.questions import ids_of
from dsocr.server.runner import Runner, Written, in_general_words
from dsocr.server.told import Event, OutOfTime, PageBegun, PageDone, PageText, ReaderFailed
from dsocr.views import Views

T = TypeVar("T")
_End = TypeVar("_End")
_FEWEST = 2  # pages of one document on their way, however many documents there are


@dataclass(frozen=True)
class Desk:
    """What every document is read with."""

    ocr: OCR
    runner: Runner
    opener: Opener
    line: Line
    max_pages: int
    seconds: float


@dataclass(frozen=True)
class _Looked:
    """A page as the network will see it: without views where it is blank."""

    page: Page
    views: Views | None
    perhaps_turned: bool


@dataclass(frozen=True)
class _Wrote:
    """What came of one request, whatever ended it."""

    deltas: list[Delta]
    error: Exception | None
    loop: Loop | None
    stats: Stats

    @property
    def text(self) -> str:
        """What is good of it."""
        text = "".join(delta.text for delta in self.deltas)
        return text[: self.loop.start] if self.loop else text

    @property
    def whole(self) -> bool:
        """Whether the model ended it itself."""
        return bool(self.deltas) and self.deltas[-1].finish_reason == "stop"


class Sheets:
    """The pages of one document that were begun and not yet told of to their end."""

    def __init__(self, desk: Desk, options: Options) -> None:
        """InputError for options that no page could be read with."""
        options.check()
        self._desk, self._options = desk, options
        self._asked, self._mode = options.full_prompt(), get_mode(options.mode)
        self._sampling = replace(options.sampling or Sampling(), stop_loops=options.loops != "keep", logprobs=True)
        self._events: asyncio.Queue[Event | Exception | None] = asyncio.Queue()  # None is the document's end
        self._told, self._pending = asyncio.Event(), 0

    async def read(self, source: bytes | Path, name: str) -> AsyncGenerator[Event, None]:
        """All that is told of the document; whoever takes it slowly has fewer pages read ahead."""
        begin = asyncio.create_task(self._begin_in_time(source, name))
        try:
            while (event := _unwrap(await self._events.get())) is not None:
                yield event
                if isinstance(event, PageDone):
                    self._pending -= 1
                    self._told.set()
        finally:
            begin.cancel()

    async def _begin_in_time(self, source: bytes | Path, name: str) -> None:
        try:
            await asyncio.wait_for(self._begin(source, name), self._desk.seconds)
            self._events.put_nowait(None)
        except asyncio.TimeoutError:
            self._events.put_nowait(OutOfTime(self._desk.seconds))
        except Exception as error:
            self._events.put_nowait(error)

    async def _begin(self, source: bytes | Path, name: str) -> None:
        """One page after another joins as there are seats, and as those before are told of."""
        tasks = list[asyncio.Task[None]]()
        try:
            with self._desk.line.place():
                async with self._desk.opener.open(source, name, self._options) as file:
                    self._check(file)
                    for number in file.numbers:
                        await self._wait_for_room()
                        await self._desk.line.sit_down()
                        task = asyncio.create_task(self._fill(file, number))
                        # A task that is cancelled before it begins has no chance to clean up.
                        task.add_done_callback(lambda _: self._desk.line.stand_up())
                        tasks.append(task)
                    await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    def _check(self, file: OpenFile) -> None:
        count, most = len(file.numbers), self._desk.max_pages
        if count > most:
            raise InputError(f"{file.name}: {count:,} pages are more than the limit of {most:,}; ask for fewer at once")

    async def _wait_for_room(self) -> None:
        line = self._desk.line
        while self._pending >= max(_FEWEST, line.seats // max(1, line.here)):
            self._told.clear()
            await self._told.wait()
        self._pending += 1

    async def _fill(self, file: OpenFile, number: int) -> None:
        try:
            self._events.put_nowait(await self._read_page(file, number))
        except InputError as error:  # it is the file or what was asked for that is wrong
            self._events.put_nowait(error)
        except Exception as error:  # it must not cost the other pages
            reason = str(in_general_words(error))
            failed = Transcript(number, 0, 0, "", (), FAILED, reason, attempts=0)
            self._events.put_nowait(PageDone(failed, Stats(), len(file.numbers)))

    async def _read_page(self, file: OpenFile, number: int) -> PageDone:
        began, of = time.perf_counter(), len(file.numbers)
        page = await file.page(number)
        if isinstance(page, BrokenPage):
            failed = Transcript(number, 0, 0, "", (), FAILED, page.reason, attempts=0)
            return PageDone(failed, Stats(render_seconds=time.perf_counter() - began), of)
        looked = await self._desk.opener.run(partial(self._look, page))
        if looked.perhaps_turned:
            looked = await self._turn(looked)
        stats = Stats(render_seconds=time.perf_counter() - began)
        self._events.put_nowait(PageBegun(number, looked.page.image, looked.page.dpi, of))
        if looked.views is None:
            return PageDone(Reading(looked.page, iter(()), known=NOTHING).transcript(), stats, of)
        wrote = await self._write(
            await self._request(looked), lambda text: self._events.put_nowait(PageText(number, text))
        )
        tokens = tokens_on_page(looked.page.size, looked.views.layout, self._mode)
        stats = replace(wrote.stats, vision_tokens=tokens, render_seconds=stats.render_seconds)
        return PageDone(await self._conclude(looked.page, wrote), stats, of)

    def _look(self, page: Page) -> _Looked:
        rotate = self._options.rotate
        page = page if rotate == AUTO else page.turned(int(rotate))
        if self._options.skip_blank and is_blank(page.image):
            return _Looked(page, None, False)
        return _Looked(page, make_views(page.image, self._mode), rotate == AUTO and looks_turned(page.image))

    async def _turn(self, looked: _Looked) -> _Looked:
        """The page the way up in which the network is surest of its first words."""
        trial = trial_of(self._sampling)
        sure = dict[int, float]()
        for turn in TURNS:
            turned = await self._desk.opener.run(partial(self._turned, looked, turn))
            wrote = await self._write(await self._request(turned, trial))
            if wrote.error is not None:
                return looked  # what is wrong, the page itself will say
            sure[turn] = sureness(wrote.deltas)
        best = choose_turn(sure)
        return await self._desk.opener.run(partial(self._turned, looked, best))

    def _turned(self, looked: _Looked, degrees: int) -> _Looked:
        page = looked.page.turned(degrees)
        return _Looked(page, make_views(page.image, self._mode), False) if degrees else looked

    async def _request(self, looked: _Looked, sampling: Sampling | None = None) -> Request:
        assert looked.views is not None
        make = partial(self._make_request, looked.views, sampling or self._sampling, looked.page.text)
        return await self._desk.opener.run(make)

    def _make_request(self, views: Views, sampling: Sampling, layer: str | None = None, begun: str = "") -> Request:
        tokenizer = self._desk.ocr.tokenizer
        request = self._desk.ocr.request(self._asked, (views,), sampling, layer)
        ids = ids_of(tokenizer, self._asked, [len(views.layout)])
        return replace(request, ids=ids + tuple(tokenizer.encode(begun, allow_special=True)))

    async def _write(self, request: Request, tell: Callable[[str], None] = lambda _: None) -> _Wrote:
        """One request to its end; `tell` hears the text as it comes."""
        written, deltas, error = Written(), list[Delta](), None
        try:
            self._desk.runner.submit(request, written)
            while taken := await written.take():
                deltas += taken
                if text := "".join(delta.text for delta in taken):
                    tell(text)
        except InputError as raised:
            error = raised
        except ReaderFailed as raised:  # it costs this page and no other
            error = InputError(str(raised))
        finally:
            written.close()
        return _Wrote(deltas, error, written.loop, written.stats)

    async def _conclude(self, page: Page, wrote: _Wrote) -> Transcript:
        """What the page comes to; one that repeated itself, or of which the network was unsure, is read again."""
        labels = labels_are_text(self._asked)
        transcript = Reading(page, _replay(wrote.deltas, wrote.error), labels).transcript()
        if wrote.loop is None:
            return await self._be_surer(page, transcript)
        text, why, attempts = wrote.text, wrote.loop.reason, 1
        if self._options.loops == "rescue":
            rescued = await self._follow(climb(page, text, self._mode, self._sampling))
            text, attempts = rescued.text, rescued.attempts
            why = rescued.tell(why)
        return replace(transcript, raw=text, blocks=parse(text), reason=why, attempts=attempts, confidence=None)

    async def _be_surer(self, page: Page, transcript: Transcript) -> Transcript:
        """A page that was read with little confidence, or what the network is surest of."""
        sure, text = transcript.confidence, transcript.raw
        if sure is None or not is_unsure(transcript.status, sure) or not self._options.reads_again:
            return transcript
        try:
            best = await self._follow(look_again(page, text, sure, self._mode, self._sampling))
        except (InputError, MemoryError):
            return transcript  # what has been read stands
        return replace(
            transcript, raw=best.text, blocks=parse(best.text), attempts=best.attempts, confidence=best.confidence
        )

    async def _follow(self, ladder: Generator[Attempt, Said, _End]) -> _End:
        """One attempt after another, to what they come to."""
        said: Said | None = None
        while True:
            step, end = await self._desk.opener.run(partial(_climb_on, ladder, said))
            if step is None:
                return cast(_End, end)
            make = partial(self._try_again, step)
            wrote = await self._write(await self._desk.opener.run(make))
            said = Said(wrote.text, wrote.whole, confidence_of(wrote.deltas))

    def _try_again(self, attempt: Attempt) -> Request:
        return self._make_request(make_views(attempt.image, attempt.mode), attempt.sampling, begun=attempt.begun)


def _climb_on(ladder: Generator[Attempt, Said, _End], said: Said | None) -> tuple[Attempt | None, _End | None]:
    """The next attempt, or what they have come to."""
    try:
        return (ladder.send(said) if said else next(ladder)), None
    except StopIteration as end:
        return None, end.value


def _replay(deltas: Iterable[Delta], error: Exception | None) -> Iterator[Delta]:
    yield from deltas
    if error is not None:
        raise error


def _unwrap(told: T | Exception) -> T:
    if isinstance(told, Exception):
        raise told
    return told
