"""Chats and documents of all dialects become one continuous batch, and their answers come back as events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from PIL import Image

from dsocr.engine.request import Delta, Request, Sampling, Stats
from dsocr.errors import InputError
from dsocr.ocr import DEFAULT_MODE, OCR, Options
from dsocr.pages import DEFAULT_MAX_PIXELS, BrokenPage, Mode, get_mode
from dsocr.pages.tiling import choose_layout, make_views
from dsocr.prompts import IMAGE, PROMPTS, resolve_prompt
from dsocr.server.line import Line
from dsocr.server.metrics import Metrics
from dsocr.server.opener import Opener
from dsocr.server.questions import ids_of, ids_of_beginning
from dsocr.server.runner import Runner, Written
from dsocr.server.sheets import Desk, Sheets
from dsocr.server.told import Busy as Busy
from dsocr.server.told import Event as Event
from dsocr.server.told import OutOfTime as OutOfTime
from dsocr.server.told import PageBegun as PageBegun
from dsocr.server.told import PageDone as PageDone
from dsocr.server.told import PageText as PageText
from dsocr.server.told import ReaderFailed as ReaderFailed
from dsocr.server.told import for_clients

DEFAULT_QUEUE = 64
DEFAULT_MAX_PAGES = 1000
DEFAULT_SECONDS = 3600.0
CHILDREN = 2  # processes that open files: one that is stuck holds up half of them
_AHEAD = 2  # pages that are made ready while a whole batch is being written


@dataclass(frozen=True)
class _Asked:
    """A full prompt, and all that goes with it."""

    prompt: str
    images: tuple[Image.Image | bytes, ...]
    mode: Mode
    sampling: Sampling
    begun: str


class Answer:
    """The deltas of one generation as they come. To close it ends the generation within a step."""

    def __init__(self, written: Written, deltas: AsyncGenerator[Delta, None]) -> None:
        self._written, self._deltas = written, deltas

    def __aiter__(self) -> Answer:
        return self

    async def __anext__(self) -> Delta:
        return await self._deltas.__anext__()

    async def aclose(self) -> None:
        """Nobody wants more of it."""
        await self._deltas.aclose()

    @property
    def stats(self) -> Stats:
        """What it took so far."""
        return self._written.stats


class Worker:
    """What all dialects ask. One thread runs the engine; files are opened in processes of their own.

    Called from one event loop at a time. What goes wrong is raised with the first event or later: InputError for
    what cannot be read, Busy, OutOfTime, and ReaderFailed for what nobody but the log should know more of.
    """

    def __init__(
        self,
        ocr: OCR,
        *,
        queue: int = DEFAULT_QUEUE,
        max_pages: int = DEFAULT_MAX_PAGES,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        seconds: float = DEFAULT_SECONDS,
        metrics: Metrics | None = None,
    ) -> None:
        """queue: requests that may wait beside a whole batch; the other limits are those of one request."""
        self.ocr, self.metrics, self.max_pixels = ocr, metrics or Metrics(), max_pixels
        self.line = Line(ocr.batch + _AHEAD, ocr.batch + queue)
        self._runner = Runner(ocr)
        self._opener = Opener(CHILDREN, self.line.seats + CHILDREN)
        self._desk = Desk(ocr, self._runner, self._opener, self.line, max_pages, seconds)
        self.metrics.watch("requests_here", "Requests that are answered or wait.", lambda: self.line.here)
        self.metrics.watch("queue", "Chats, and documents' next pages, that wait.", lambda: self.line.waiting)
        self.metrics.watch("running", "Pages and chats in the engine.", lambda: self._runner.running)

    def start(self) -> None:
        """Makes it ready; InputError where there is not memory enough."""
        self._runner.start()

    def stop(self) -> None:
        """Whatever is under way is told that the server ends; nothing is waited for."""
        self._runner.stop()

    def close(self) -> None:
        """Ends all that is under way."""
        self._runner.close()
        self._opener.close()

    @property
    def ready(self) -> bool:
        """Whether requests are answered."""
        return self._runner.alive

    def ask(
        self,
        prompt: str,
        images: tuple[Image.Image | bytes, ...] = (),
        mode: str = DEFAULT_MODE,
        sampling: Sampling | None = None,
        begun: str = "",
    ) -> Answer:
        """One answer to a prompt with an `<image>` for each image, in front where the prompt has none.

        images: pictures, or files of one page each, which are opened when the request's turn has come. Tags in the
        prompt other than those that prompts are made of are plain text. begun: the answer's own beginning; what is
        told comes after it.
        """
        written = Written()
        return Answer(written, self._ask(written, prompt, images, mode, sampling or Sampling(), begun))

    async def read(
        self, source: bytes | Path, name: str, options: Options | None = None
    ) -> AsyncGenerator[Event, None]:
        """A document's pages, each as it is written beside the others; every page asked for ends in a PageDone.

        name: what the document is called in what is said of it. To close it ends the reading within a step.
        """
        options = options or Options()
        options = replace(options, max_pixels=min(options.max_pixels, self.max_pixels))
        events = Sheets(self._desk, options).read(source, name)
        try:
            async for event in events:
                if isinstance(event, PageDone):
                    self.metrics.page(event.transcript.status, event.stats)
                    event = _for_clients(event)
                yield event
        finally:
            await events.aclose()

    async def _ask(
        self,
        written: Written,
        prompt: str,
        images: tuple[Image.Image | bytes, ...],
        mode: str,
        sampling: Sampling,
        begun: str,
    ) -> AsyncGenerator[Delta, None]:
        asked = _Asked(_with_images(prompt, len(images)), images, get_mode(mode), sampling, begun)
        began, to_first = time.monotonic(), None
        answering = asyncio.create_task(self._answer(written, asked))
        try:
            while deltas := await written.take():
                to_first = to_first or time.monotonic() - began
                for delta in deltas:
                    yield delta
        finally:
            answering.cancel()
            self.metrics.answer(written.stats, to_first)

    async def _answer(self, written: Written, asked: _Asked) -> None:
        """The whole of an answer, however slowly it is taken: a place and a seat are held no longer than that."""
        seconds = self._desk.seconds
        try:
            await asyncio.wait_for(self._write(written, asked), seconds)
        except asyncio.TimeoutError:
            written.put([], OutOfTime(seconds))
        except Exception as error:
            written.put([], error)
        finally:
            written.close()

    async def _write(self, written: Written, asked: _Asked) -> None:
        with self.line.place():
            async with self.line.seat():
                pictures = [await self._picture(image, number) for number, image in enumerate(asked.images, 1)]
                request = await self._opener.run(partial(self._request, asked, pictures))
                self._runner.submit(request, written)
                await written.end()

    async def _picture(self, image: Image.Image | bytes, number: int) -> Image.Image:
        if isinstance(image, Image.Image):
            return image
        async with self._opener.open(image, f"image {number}", Options(max_pixels=self.max_pixels)) as file:
            if len(file.numbers) > 1:
                raise InputError(f"{file.name}: it has {len(file.numbers):,} pages; an image has one, documents more")
            page = await file.page(1)
            assert not isinstance(page, BrokenPage)
            return page.image

    def _request(self, asked: _Asked, images: list[Image.Image]) -> Request:
        # Counted before the work of making views, which may be in vain.
        tokenizer, mode = self.ocr.tokenizer, asked.mode
        places = [len(choose_layout(*image.size, mode)) for image in images]
        ids = ids_of(tokenizer, asked.prompt, places) + ids_of_beginning(tokenizer, asked.begun)
        most = self.ocr.engine.context_limit
        if len(ids) > most:
            raise InputError(
                f"the prompt takes {len(ids)} places, the model holds {most}: choose a smaller mode, or fewer images"
            )
        return Request(ids, tuple(make_views(image, mode) for image in images), asked.sampling)


def _for_clients(done: PageDone) -> PageDone:
    reason = done.transcript.reason
    return replace(done, transcript=replace(done.transcript, reason=for_clients(reason))) if reason else done


def _with_images(prompt: str, count: int) -> str:
    """The full prompt, with the images in front where it does not say where they stand."""
    asked = resolve_prompt(prompt, with_image=False)
    if asked in PROMPTS.values() and count:
        asked = asked.removeprefix(f"{IMAGE}\n")
    return asked if IMAGE in asked else "\n".join([*[IMAGE] * count, asked])
