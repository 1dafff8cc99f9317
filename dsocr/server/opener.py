"""Files opened in child processes, and whatever else would hold up the event loop done in threads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, TypeVar

from dsocr.errors import InputError
from dsocr.ocr import Options
from dsocr.pages import BrokenPage, Child, Page
from dsocr.pages.formats import PagedFile, Wish
from dsocr.pages.names import show
from dsocr.pages.page_ranges import parse_ranges, select_pages

T = TypeVar("T")
_LONGEST = 100  # characters of a file's name in what is said of it


class Opener:
    """A few child processes that open files, and a few threads; `close` ends both."""

    def __init__(self, children: int, threads: int) -> None:
        self._children = {Child(): 0 for _ in range(children)}
        self._threads = ThreadPoolExecutor(threads, "dsocr-opener")

    async def run(self, work: Callable[[], T]) -> T:
        """What a piece of work gives back, done in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    @asynccontextmanager
    async def open(self, source: bytes | Path, name: str, options: Options) -> AsyncIterator[OpenFile]:
        """A file of the server's own making, opened in the child that has fewest; InputError, in which it has its name.

        What the options say of pages, dpi, password and pixels is minded.
        """
        child = min(self._children, key=lambda each: self._children[each])
        self._children[child] += 1
        opening = asyncio.ensure_future(self.run(partial(_open, child, source, name_of(name), options)))
        try:
            # Shielded: a file that opens after all must still be closed.
            yield OpenFile(await asyncio.shield(opening), name_of(name), self)
        finally:
            self._children[child] -= 1
            opening.add_done_callback(_close)

    def close(self) -> None:
        """Ends the processes; what the threads are doing goes nowhere."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for child in self._children:
            child.close()


class OpenFile:
    """A file and its pages, none of which is drawn before it is asked for."""

    def __init__(self, opened: _Opened, name: str, opener: Opener) -> None:
        self.name = name  # fit to be shown
        self._opened, self._opener = opened, opener

    @property
    def numbers(self) -> list[int]:
        """The pages that are asked for."""
        return self._opened.numbers

    async def page(self, number: int) -> Page | BrokenPage:
        """One of its pages; InputError where it is the only one and cannot be shown."""
        try:
            return await self._opener.run(partial(self._opened.file.read, number))
        except InputError as error:
            if len(self._opened.file) > 1:
                return BrokenPage(self.name, number, str(error))
            raise type(error)(f"{self.name}: {error}") from error


def name_of(name: str) -> str:
    """A stranger's name for a file as it may stand in a line."""
    shown = show(name.replace("\\", "/").rpartition("/")[2]) or "file"
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


class _Opened:
    """What is open, here and in the child: one needs the other, should the child die."""

    def __init__(self, stream: BinaryIO, file: PagedFile, numbers: list[int]) -> None:
        self._stream, self.file, self.numbers = stream, file, numbers

    def close(self) -> None:
        self.file.close()
        self._stream.close()


def _open(child: Child, source: bytes | Path, name: str, options: Options) -> _Opened:
    stream = BytesIO(source) if isinstance(source, bytes) else source.open("rb")
    try:
        file = child.open(stream, name, Wish(options.dpi, options.password, options.max_pixels))
        return _Opened(stream, file, select_pages(parse_ranges(options.pages), len(file)))
    except InputError as error:
        stream.close()
        raise type(error)(f"{name}: {error}") from error


def _close(opening: asyncio.Future[_Opened]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
