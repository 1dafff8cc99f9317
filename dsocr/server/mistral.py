"""Mistral's OCR: `POST /v1/ocr`, as its own clients send and read it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, StrictInt

from dsocr.document import (
    Block,
    MarkdownStyle,
    OutputFile,
    Table,
    Transcript,
    find_figures,
    split_tables,
    to_gfm,
    to_markdown,
)
from dsocr.document.figures import FIGURE_LABEL, usable_boxes
from dsocr.document.markup import table_html
from dsocr.errors import InputError
from dsocr.ocr import Options
from dsocr.server.chats import parse
from dsocr.server.settings import Settings
from dsocr.server.whole import File, Read, Refusal, data_url, file_at, json_answer, read_whole, refusal_of, relink
from dsocr.server.worker import Worker

_UNKNOWN_DPI = 72
_RANGE = re.compile(r"\s*(?P<first>[0-9]{1,9})(?:\s*(?P<dash>-)\s*(?P<last>[0-9]{1,9})?)?\s*")
_HEADER, _FOOTERS = "header", ("footer", "page_number")
# The model's words for blocks, and Mistral's.
_TYPES = {
    "title": "title",
    "sub_title": "title",
    "image": "image",
    "table": "table",
    "equation": "equation",
    "header": "header",
    "footer": "footer",
    "page_number": "footer",
    "image_caption": "caption",
    "table_caption": "caption",
    "list": "list",
    "code": "code",
    "reference": "references",
    "references": "references",
}
_KINDS = {401: "authentication_error", 429: "rate_limited"}


class _Address(BaseModel):
    url: str


class _Document(BaseModel):
    type: Literal["document_url", "image_url", "file"] | None = None
    document_url: str | None = None
    document_name: str | None = None
    image_url: _Address | str | None = None


class Asked(BaseModel):
    """The body of a request; fields that are not known change nothing. Pages are counted from 0 here."""

    model: str | None = None
    document: _Document
    pages: list[StrictInt] | str | None = None
    include_image_base64: bool | None = False
    image_limit: int | None = None
    image_min_size: int | None = None
    table_format: Literal["markdown", "html"] | None = None
    extract_header: bool | None = False
    extract_footer: bool | None = False
    include_blocks: bool | None = False
    bbox_annotation_format: Any = None
    document_annotation_format: Any = None
    confidence_scores_granularity: str | None = None


def mistral_router(worker: Worker, settings: Settings) -> APIRouter:
    """`POST /v1/ocr`."""
    router = APIRouter()

    @router.post("/v1/ocr")
    async def ocr(request: Request) -> Response:
        try:
            asked = await asyncio.to_thread(parse, Asked, await request.body())
            _refuse_what_is_not_offered(asked)
            options = Options(pages=_pages(asked.pages))
            options.check()
            file = await _file(asked.document, settings)
            read = await read_whole(worker, file, options, figures=True)
        except Exception as error:
            return _refuse(refusal_of(error))
        return json_answer(await asyncio.to_thread(_answer, read, asked, settings.model, file))

    return router


def _refuse_what_is_not_offered(asked: Asked) -> None:
    """To leave these aside without a word would be a lie."""
    for name in ("bbox_annotation_format", "document_annotation_format", "confidence_scores_granularity"):
        if getattr(asked, name) is not None:
            raise InputError(f"{name} is not offered here; leave it out")


def _pages(asked: list[int] | str | None) -> str | None:
    """The pages as Options take them, counted from 1."""
    parts = asked.split(",") if isinstance(asked, str) else map(str, asked or ())
    return ",".join(map(_range, parts)) if asked else None


def _range(part: str) -> str:
    """A page, or a range of pages, counted from 1; what was sent is not repeated."""
    found = _RANGE.fullmatch(part)
    if found is None or int(found["last"] or found["first"]) < int(found["first"]):
        raise InputError("pages: they are counted from 0; write numbers and ranges, such as 0,2-4,7-")
    first, last = int(found["first"]) + 1, found["last"]
    return f"{first}-{int(last) + 1 if last else ''}" if found["dash"] else str(first)


async def _file(document: _Document, settings: Settings) -> File:
    image = document.image_url.url if isinstance(document.image_url, _Address) else document.image_url
    address = document.document_url or image
    if address is None:
        raise InputError("document: it needs a document_url or an image_url, such as data:application/pdf;base64,…")
    return await file_at(address, settings.web, document.document_name)


def _answer(read: Read, asked: Asked, model: str, file: File) -> dict[str, Any]:
    cut = {figure.name: figure for figure in read.figures}
    figures, tables = count(), count()
    pages = [_page(page, asked, cut, figures, tables) for page in read.document.transcripts]
    usage = {"pages_processed": len(pages), "doc_size_bytes": len(file.content)}
    return {"pages": pages, "model": model, "document_annotation": None, "usage_info": usage}


def _page(
    page: Transcript, asked: Asked, cut: dict[str, OutputFile], figures: Iterator[int], tables: Iterator[int]
) -> dict[str, Any]:
    boxes = dict(find_figures(page))
    names = {name: f"img-{next(figures)}.jpeg" for name in boxes}
    shown, taken = _take_tables(page, asked.table_format, tables) if asked.table_format else (page, [])
    return {
        "index": page.page - 1,
        "markdown": _markdown(shown, asked, names),
        "images": list(_images(boxes, names, cut, asked)),
        "tables": taken,
        "hyperlinks": [],
        "header": _text_of(page, (_HEADER,)) if asked.extract_header else None,
        "footer": _text_of(page, _FOOTERS) if asked.extract_footer else None,
        "dimensions": {"dpi": round(page.dpi or _UNKNOWN_DPI), "height": page.height, "width": page.width},
        "blocks": list(_blocks(page, names)) if asked.include_blocks else None,
    }


def _markdown(page: Transcript, asked: Asked, names: dict[str, str]) -> str:
    apart = [(_HEADER,)] * bool(asked.extract_header) + [_FOOTERS] * bool(asked.extract_footer)
    style = MarkdownStyle("gfm", "dollar", drop=frozenset(label for labels in apart for label in labels))
    return relink(to_markdown(page, "", style=style), names, lambda name: f"![{names[name]}]({names[name]})")


def _images(
    boxes: dict[str, tuple[int, int, int, int]], names: dict[str, str], cut: dict[str, OutputFile], asked: Asked
) -> Iterator[dict[str, Any]]:
    least = asked.image_min_size or 0
    large = [name for name, (left, top, right, bottom) in boxes.items() if min(right - left, bottom - top) >= least]
    for name in large[: asked.image_limit]:
        content = data_url(cut[name]) if asked.include_image_base64 and name in cut else None
        yield {"id": names[name], **_corners(boxes[name]), "image_base64": content, "image_annotation": None}


def _corners(pixels: tuple[int, int, int, int]) -> dict[str, int]:
    return dict(zip(("top_left_x", "top_left_y", "bottom_right_x", "bottom_right_y"), pixels, strict=True))


def _take_tables(
    page: Transcript, form: Literal["markdown", "html"], numbers: Iterator[int]
) -> tuple[Transcript, list[dict[str, str]]]:
    """The page with a link in the place of each table, and the tables."""
    tables: list[dict[str, str]] = []
    ending = "md" if form == "markdown" else "html"

    def show(piece: Table | str) -> str:
        if isinstance(piece, str):
            return piece
        name = f"tbl-{next(numbers)}.{ending}"
        content = to_gfm(piece) if form == "markdown" else None
        tables.append({"id": name, "content": content or _plain_table(piece), "format": form})
        return f"[{name}]({name})"

    blocks = [replace(block, text="".join(map(show, split_tables(block.text)))) for block in page.blocks]
    return replace(page, blocks=tuple(blocks)), tables


def _plain_table(table: Table) -> str:
    """The table as safe HTML, without what only a page needs."""
    return table_html(table).strip().removeprefix('<div class="scroll">').removesuffix("</div>")


def _text_of(page: Transcript, labels: tuple[str, ...]) -> str | None:
    """The text of the blocks that have one of the labels."""
    blocks = tuple(block for block in page.blocks if block.label in labels)
    return to_markdown(replace(page, blocks=blocks, status="ok"), None) or None


def _blocks(page: Transcript, names: dict[str, str]) -> Iterator[dict[str, Any]]:
    """One for each box; a block without any has no place on the page."""
    figures = iter(names.values())
    for block in page.blocks:
        for pixels in usable_boxes(block.boxes, page.width, page.height):
            kind = _TYPES.get(block.label, "text")
            image = {"image_id": next(figures)} if block.label == FIGURE_LABEL else {}
            yield {"type": kind, **_corners(pixels), "content": _content(block, page), **image}


def _content(block: Block, page: Transcript) -> str:
    alone = replace(page, blocks=(block,), status="ok")
    return to_markdown(alone, None, style=MarkdownStyle("gfm", "dollar"))


def _refuse(refusal: Refusal) -> Response:
    kind = _KINDS.get(refusal.status, "invalid_request_error" if refusal.status < 500 else "server_error")
    body = {"object": "error", "message": refusal.words, "type": kind, "param": None, "code": str(refusal.status)}
    return json_answer(body, refusal.status, refusal.headers)
