"""A document as one HTML page that needs nothing from outside and runs nothing: safe to open, whatever was read."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Collection, Iterable, Iterator
from html import escape
from pathlib import PurePath

from dsocr.document.blocks import GRID, OK, Block, Document, Transcript
from dsocr.document.figures import FIGURE_LABEL, figure_name, usable_boxes
from dsocr.document.files import OutputFile, figure_files
from dsocr.document.geometry import read_geometry
from dsocr.document.markup import block_html
from dsocr.document.stylesheet import STYLESHEET
from dsocr.document.to_svg import to_svg

# What HTML forbids, and half surrogate pairs, which no file can hold.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
# A second lock on the door: even if something slipped through, a browser would neither run nor fetch it.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def to_html(
    pages: Document | Transcript, figures: Iterable[OutputFile] = (), drop: Collection[str] = frozenset()
) -> str:
    """One self-contained page; each page of the document is a section with its number and status.

    What the model wrote is Markdown with tables and formulas; any other markup in it is shown as text, and nothing
    links, fetches or runs. Formulas stay LaTeX. Figures are part of the page where the transcript has its image or
    they are among `figures`, by the names that `figure_files` gives; else their place is marked. Every block has its
    label and its boxes, "left top right bottom" in the 0-999 grid, with commas between. Labels in `drop` are left out.
    """
    document = pages if isinstance(pages, Document) else Document("", (pages,))
    kept = {figure.name: figure.content for figure in figures}
    sections = "\n".join(_section(page, kept, drop) for page in document.transcripts)
    name = escape(PurePath(document.source).name)
    header = f"<header>{name}</header>\n" if name else ""
    return _FORBIDDEN.sub("\ufffd", f"{_head(name)}{header}<main>\n{sections}\n</main>\n</body>\n</html>")


def _head(name: str) -> str:
    return (
        '<!DOCTYPE html>\n<html>\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name or 'Page'}</title>\n<style>\n{STYLESHEET}</style>\n</head>\n<body>\n"
    )


def _section(page: Transcript, kept: dict[str, bytes], drop: Collection[str]) -> str:
    if page.image is not None:
        kept = {figure.name: figure.content for figure in figure_files(page)}
    blocks = "\n".join(_blocks(page, kept, drop))
    why = ": ".join(part for part in (page.status, page.reason) if part)
    status = "" if page.status == OK else f" <b>{escape(' '.join(why.split()))}</b>"
    return (
        f'<section id="page-{page.page}" data-status="{escape(page.status)}" '
        f'data-width="{page.width}" data-height="{page.height}">\n'
        f'<header><a href="#page-{page.page}">Page {page.page}</a>{status}</header>\n{blocks}\n</section>'
    )


def _blocks(page: Transcript, kept: dict[str, bytes], drop: Collection[str]) -> Iterator[str]:
    figures = 0
    for block in page.blocks:
        inside = ""
        if page.labels_are_text:
            inside = f"<p>{escape(block.label)}</p>\n" if block.label else ""
        elif block.label == FIGURE_LABEL:
            names = [figure_name(page.page, figures + index) for index in range(_count_figures(block, page))]
            figures += len(names)
            inside = "".join(_figure(name, kept.get(name)) for name in names)
        if page.labels_are_text or block.label not in drop:
            yield f"{_opening(block)}\n{inside}{_text(block.text)}</div>"


def _count_figures(block: Block, page: Transcript) -> int:
    return len(usable_boxes(block.boxes, page.width, page.height))


def _opening(block: Block) -> str:
    label = f' data-label="{escape(block.label)}"' if block.label else ""
    boxes = ", ".join(" ".join(map(str, box.to_pixels(GRID, GRID))) for box in block.boxes)
    return f'<div dir="auto"{label}' + (f' data-box="{boxes}">' if boxes else ">")


def _figure(name: str, content: bytes | None) -> str:
    if content is None:
        return f'<figure class="absent"><figcaption>figure {name} was not kept</figcaption></figure>\n'
    return f'<figure><img src="data:image/jpeg;base64,{b64encode(content).decode()}" alt="figure {name}"></figure>\n'


def _text(text: str) -> str:
    figure = read_geometry(text)
    if figure:
        words = f"<details><summary>as text</summary><pre>{escape(text.strip())}</pre></details>"
        return f"<figure>{to_svg(figure)}</figure>\n{words}\n"
    return block_html(text)
