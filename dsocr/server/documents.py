"""Our own interface: a document goes in, its pages come back as they are written, and stay here for a while."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response, UploadFile
from fastapi.responses import StreamingResponse
from PIL import Image

from dsocr.document import (
    Block,
    Box,
    OutputFile,
    StreamParser,
    Tag,
    Transcript,
    figure_files,
    find_figures,
    jpeg,
    lay_out,
    read_geometry,
    to_html,
    to_json,
    to_markdown,
    to_pdf,
    to_svg,
    to_text,
)
from dsocr.document.blocks import GRID
from dsocr.document.grounding import read_boxes
from dsocr.document.markup import block_html
from dsocr.document.pdf.file import PdfFile
from dsocr.document.pdf.pictures import keep_jpeg
from dsocr.errors import InputError
from dsocr.ocr import Options
from dsocr.pages import MODES
from dsocr.prompts import PROMPTS, labels_are_text
from dsocr.server.kept import Documents, Kept
from dsocr.server.refusals import refuse
from dsocr.server.told import Busy, PageBegun, PageDone, PageText
from dsocr.server.whole import Refusal, called, refusal_of
from dsocr.server.worker import Worker

_PDF = b"%PDF-"
# What the files of this interface may do where a browser opens them: nothing.
_INERT = {"Content-Security-Policy": "sandbox; default-src 'none'", "X-Content-Type-Options": "nosniff"}
_EVENTS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def documents_router(
    worker: Worker, model: str, *, needs_key: bool = False, kept: Documents | None = None
) -> APIRouter:
    """`/api/about`, `/api/read` and `/api/documents/…`; model: what the reader is called."""
    router, documents, usual = APIRouter(), kept or Documents(), Options()

    @router.get("/api/about")
    async def about() -> dict[str, Any]:
        return {
            "model": model,
            "needs_key": needs_key,
            "modes": [
                {
                    "name": mode.name,
                    "overview_px": mode.overview_px,
                    "tile_px": mode.tile_px,
                    "max_tiles": mode.max_tiles,
                }
                for mode in MODES.values()
            ],
            "mode": usual.mode,
            "prompts": list(PROMPTS),
            "prompt": usual.prompt,
            "forms": list(FORMS),
        }

    @router.post("/api/read")
    async def read(
        request: Request,
        file: UploadFile,
        mode: Annotated[str, Form()] = usual.mode,
        prompt: Annotated[str, Form()] = usual.prompt,
        pages: Annotated[str | None, Form()] = None,
        dpi: Annotated[float, Form()] = usual.dpi,
        password: Annotated[str | None, Form()] = None,
    ) -> Response:
        try:
            if len((await request.form()).getlist("file")) > 1:
                raise InputError("there are several files; send one at a time")
            options = Options(mode, prompt, pages or None, dpi, password or None)
            options.check()
            worker.line.check()  # a stream that has begun has no status of its own any more
        except (InputError, Busy) as error:
            return refuse(refusal_of(error))
        document = documents.begin(called(file.filename), await file.read(), options.password)
        told = _tell(worker, documents, document, options)
        return StreamingResponse(told, media_type="text/event-stream", headers=_EVENTS)

    @router.get("/api/documents/{id}/pages/{number}.jpg")
    async def picture(id: str, number: int) -> Response:
        document = documents.find(id)
        if document is None:
            return _gone()
        content = document.pictures.get(number)
        if content is None:
            words = "the document is here, a picture of that page is not: it was not read, or there was no room for it"
            return refuse(Refusal(404, words))
        return Response(content, media_type="image/jpeg", headers={**_INERT, "Cache-Control": "private, max-age=3600"})

    @router.get("/api/documents/{id}/{name}")
    async def take(id: str, name: str) -> Response:
        document, form = documents.find(id), FORMS.get(name.rpartition(".")[2].lower())
        if document is None:
            return _gone()
        if form is None:
            return refuse(Refusal(404, f"there is no such form; known: {', '.join(FORMS)}"))
        try:
            content = await asyncio.to_thread(form.make, document)
        except InputError as error:
            return refuse(refusal_of(error))
        return Response(content, media_type=form.media_type, headers=_INERT)

    return router


@dataclass(frozen=True)
class _Form:
    """What a kept document can be had as."""

    media_type: str
    make: Callable[[Kept], bytes]


def _as_pdf(kept: Kept) -> bytes:
    """The pages as they were, with the text over them; a page whose picture was not kept is white."""
    if _PDF in kept.original[:1024]:
        return to_pdf(kept.document, kept.original, password=kept.password)
    buffer, own, pages = BytesIO(), keep_jpeg(kept.original), kept.document.transcripts
    pdf = PdfFile(buffer)
    for page in pages:
        fits = own is not None and own.size == (page.width, page.height) and not page.rotated
        # A JPEG of several pages has them one after the other, and viewers see only the first.
        picture = own if fits and len(pages) == 1 else keep_jpeg(kept.pictures.get(page.page, b""))
        pdf.add_page(
            (page.width, page.height), page.dpi, picture, (line for block in lay_out(page) for line in block.lines)
        )
    pdf.close()
    return buffer.getvalue()


def _figures(kept: Kept) -> Iterator[OutputFile]:
    """Cut from the pictures of the pages."""
    for page in kept.document.transcripts:
        if page.page in kept.pictures and any(find_figures(page)):
            with Image.open(BytesIO(kept.pictures[page.page])) as image:
                size = (page.width, page.height)  # a page too long for a JPEG is kept smaller
                yield from figure_files(replace(page, image=image if image.size == size else image.resize(size)))


def _bytes(text: str) -> bytes:
    # Half a surrogate pair, which no file can hold, becomes a question mark.
    return (text + "\n").encode("utf-8", "replace")


FORMS = {
    "md": _Form("text/markdown; charset=utf-8", lambda kept: _bytes(to_markdown(kept.document, None))),
    "html": _Form("text/html; charset=utf-8", lambda kept: _bytes(to_html(kept.document, _figures(kept)))),
    "json": _Form("application/json", lambda kept: _bytes(to_json(kept.document))),
    "txt": _Form("text/plain; charset=utf-8", lambda kept: _bytes(to_text(kept.document))),
    "pdf": _Form("application/pdf", _as_pdf),
}


async def _tell(worker: Worker, documents: Documents, kept: Kept, options: Options) -> AsyncGenerator[str, None]:
    """The events of a document, in the form of server-sent events; closed early, it ends the reading."""
    writers: dict[int, _Writer] = {}
    yield _event("document", id=kept.id, name=kept.name)
    try:
        async with aclosing(worker.read(kept.original, kept.name, options)) as told:
            async for event in told:
                if isinstance(event, PageBegun):
                    writers[event.number] = _Writer(event.number, labels_are_text(options.full_prompt()))
                    yield await _begin(documents, kept, event)
                elif isinstance(event, PageText):
                    for line in writers[event.number].feed(event.text):
                        yield line
                elif isinstance(event, PageDone):
                    kept.transcripts.append(replace(event.transcript, image=None))
                    writers.pop(event.transcript.page, None)
                    yield _end(event.transcript)
    except Exception as error:
        yield _event("error", message=refusal_of(error).words)
    else:
        yield _event("end")


async def _begin(documents: Documents, kept: Kept, begun: PageBegun) -> str:
    width, height = begun.size
    there = documents.add_picture(kept, begun.number, await asyncio.to_thread(jpeg, begun.image))
    image = f"/api/documents/{kept.id}/pages/{begun.number}.jpg" if there else None
    return _event("page", page=begun.number, of=begun.of, width=width, height=height, image=image)


class _Writer:
    """A page's blocks while they are written: each begins with its label and boxes, and ends as HTML."""

    def __init__(self, number: int, labels_are_text: bool) -> None:
        self._number, self._labels_are_text = number, labels_are_text
        self._parser = StreamParser()
        self._text: list[str] = []

    def feed(self, delta: str) -> Iterator[str]:
        for piece in self._parser.feed(delta):
            if isinstance(piece, Tag):
                yield from self._begin(piece)
            else:
                self._text.append(piece)
                yield _event("text", page=self._number, delta=piece)

    def _begin(self, tag: Tag) -> Iterator[str]:
        if self._text:
            yield _event("block_end", page=self._number, html=_html("".join(self._text)))
        label, words = ("", tag.label) if self._labels_are_text else (tag.label, "")
        self._text = [words] if words else []
        yield _event("block", page=self._number, label=label, boxes=_boxes(read_boxes(tag.det)))
        if words:
            yield _event("text", page=self._number, delta=words)


def _end(page: Transcript) -> str:
    blocks = [
        _block(block, page.labels_are_text) for block in page.blocks if block.label or block.boxes or block.text.strip()
    ]
    return _event("page_end", page=page.page, status=page.status, reason=page.reason, blocks=blocks)


def _block(block: Block, label_is_text: bool) -> dict[str, Any]:
    """A block as it is seen: where labels are the words themselves, they are text."""
    label, text = ("", block.label + block.text) if label_is_text else (block.label, block.text)
    return {"label": label, "text": text.strip(), "boxes": _boxes(block.boxes), "html": _html(text)}


def _boxes(boxes: tuple[Box, ...]) -> list[list[int]]:
    """[left, top, right, bottom] each, held to the grid."""
    return [list(box.to_pixels(GRID, GRID)) for box in boxes]


def _html(text: str) -> str:
    """What a text looks like, as HTML in which nothing runs, leads away or is fetched."""
    figure = read_geometry(text)
    return f"<figure>{to_svg(figure)}</figure>" if figure else block_html(text)


def _event(kind: str, **data: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"


def _gone() -> Response:
    return refuse(Refusal(404, "this document is not here any more; have it read again"))
