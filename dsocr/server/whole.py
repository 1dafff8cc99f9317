"""A whole document for one answer: where its file comes from, how it is read, and what went wrong in words."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote_to_bytes

from fastapi import Response
from starlette.exceptions import HTTPException

from dsocr.document import BLANK, OK, Document, OutputFile, Transcript, figure_files
from dsocr.errors import InputError
from dsocr.ocr import Options
from dsocr.pages.fetch import Web, fetch
from dsocr.pages.names import tame
from dsocr.pages.urls import name_of_url
from dsocr.server.told import Busy, OutOfTime, PageDone, ReaderFailed, ServerEnds, for_clients
from dsocr.server.worker import Worker

LOG = logging.getLogger("dsocr.server")
_LINK = re.compile(r"!\[\]\(([0-9]+_[0-9]+\.jpg)\)")
_WORST = 500  # characters of what is wrong with a request: some of them are its own
_DATA = re.compile(r"data:([^,;]*)((?:;[^,;]*)*),", re.IGNORECASE)


@dataclass(frozen=True)
class File:
    """A document's bytes and what it is called."""

    name: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Read:
    """A document as it was read, without the pictures of its pages, and the figures that were cut from them."""

    document: Document
    figures: tuple[OutputFile, ...] = ()

    @property
    def unwell(self) -> tuple[Transcript, ...]:
        """The pages that did not end well."""
        return tuple(page for page in self.document.transcripts if page.status not in (OK, BLANK))


@dataclass(frozen=True)
class Refusal:
    """What an error is called over HTTP: a status, the reason in words, and after how many seconds to try again."""

    status: int
    words: str
    retry_after: int | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What the answer says besides."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


def refusal_of(error: Exception) -> Refusal:
    """An error in words that tell nothing of the server's inside; those go to the log."""
    if isinstance(error, Busy):
        return Refusal(429, str(error), error.seconds)
    if isinstance(error, OutOfTime):
        return Refusal(504, str(error))
    if isinstance(error, ServerEnds):
        return Refusal(503, str(error))
    if isinstance(error, InputError):
        return Refusal(400, _shorten(for_clients(str(error))))
    if isinstance(error, HTTPException):  # a form that cannot be taken apart
        return Refusal(error.status_code, _shorten(str(error.detail)))
    if not isinstance(error, ReaderFailed):  # which is in the log already
        LOG.error("a request failed", exc_info=error)
    return Refusal(500, "the server failed to read this; its log says more")


async def read_whole(worker: Worker, file: File, options: Options, *, figures: bool = False) -> Read:
    """The document, read to its end, with its pages in their order; raises what the worker raises."""
    pages: list[tuple[Transcript, list[OutputFile]]] = []
    async with aclosing(worker.read(file.content, file.name, options)) as events:
        async for event in events:
            if isinstance(event, PageDone):
                page = event.transcript
                cut = figures and page.image is not None
                files = await asyncio.to_thread(list, figure_files(page)) if cut else []
                pages.append((replace(page, image=None), files))
    pages.sort(key=lambda read: read[0].page)
    return Read(Document(file.name, tuple(page for page, _ in pages)), tuple(file for _, cut in pages for file in cut))


def relink(markdown: str, figures: Iterable[str], link: Callable[[str], str]) -> str:
    """Markdown in which `link` has written the links to figures, each from its name, in place of `![](NAME)`."""
    known = frozenset(figures)
    return _LINK.sub(lambda found: link(found[1]) if found[1] in known else found[0], markdown)


def data_url(figure: OutputFile) -> str:
    """The figure as an address that holds it."""
    return f"data:image/jpeg;base64,{base64.b64encode(figure.content).decode()}"


async def file_at(address: str, web: Web | None, name: str | None = None) -> File:
    """The file that an address leads to: a data: URL, or, where the server's settings allow any, http(s).

    web: the limits of what is fetched, None where nothing is. Raises InputError.
    """
    if _DATA.match(address):
        return File(called(name), await asyncio.to_thread(read_data_url, address))
    if web is None or not address.lower().startswith(("http:", "https:")):
        allowed = "data: URLs" if web is None else "data: and http(s) URLs"
        raise InputError(f"this server takes documents by {allowed} only; send the file itself")
    content = await asyncio.to_thread(_fetch, address, web)
    return File(called(name or name_of_url(address)), content)


def read_data_url(address: str) -> bytes:
    """The bytes in a data: URL; InputError where it is none."""
    head = _DATA.match(address)
    if head is None:
        raise InputError("this is no data: URL; one reads data:application/pdf;base64,…")
    rest = address[head.end() :]
    if ";base64" not in head[2].lower():
        return unquote_to_bytes(rest)
    return read_base64(rest)


def read_base64(text: str) -> bytes:
    """The bytes of base64 with or without line breaks; InputError where it is none."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InputError("the document is not valid base64") from None


def json_answer(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON that can always be written, also where half a surrogate pair is in it."""
    return Response(json.dumps(data, separators=(",", ":")), status, headers, "application/json")


def called(name: str | None, otherwise: str = "document") -> str:
    """A stranger's name for a file, without folders; one that can be shown and saved."""
    return tame(name or otherwise).rpartition("/")[2]


def _shorten(words: str) -> str:
    return words if len(words) <= _WORST else f"{words[: _WORST - 1]}…"


def _fetch(address: str, web: Web) -> bytes:
    with fetch(address, web) as file:
        return file.read()
