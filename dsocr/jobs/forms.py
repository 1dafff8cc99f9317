"""The forms of an answer by name: one text for a document, or files that are made as its pages come."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from dsocr.document import (
    AS_WRITTEN,
    Document,
    MarkdownStyle,
    OfficialFiles,
    OutputFile,
    Transcript,
    csv_files,
    figure_files,
    join_pages,
    jpeg,
    svg_files,
    to_html,
    to_json,
    to_markdown,
    to_picture,
    to_text,
)
from dsocr.document.pdf.file import PdfFile
from dsocr.document.to_alto import to_alto
from dsocr.document.to_docling import to_docling
from dsocr.document.to_docx import to_docx
from dsocr.document.to_hocr import to_hocr
from dsocr.document.to_layout_pdf import add_layout_page
from dsocr.document.to_pdf import ADD, REPLACE, SKIP, SearchablePdf
from dsocr.errors import InputError
from dsocr.pages.inputs import open_input

MARKDOWN, HTML, DOCLING, OFFICIAL = "md", "html", "docling", "official"
WITH_FIGURES = frozenset({HTML, DOCLING})  # texts that figures are in


@dataclass(frozen=True)
class Wishes:
    """How the answers are to be.

    style and join: how texts that are read from beginning to end are written, and whether what page breaks cut is
    joined in them. existing_text and password: of PDFs that get a layer of text, as `to_pdf` has them.
    """

    style: MarkdownStyle = AS_WRITTEN
    join: bool = False
    existing_text: str = SKIP
    password: str | None = None

    def __post_init__(self) -> None:
        if self.existing_text not in (SKIP, REPLACE, ADD):
            known = f"{SKIP}, {REPLACE}, {ADD}"
            raise InputError(f"existing-text {self.existing_text!r} is unknown; known: {known}")

    def apply(self, document: Document) -> Document:
        """The document as it is to be written."""
        return join_pages(document) if self.join else document


@dataclass(frozen=True)
class Beside:
    """Goes with a text: the folder where its figures lie, None where they lie nowhere, and the figures themselves."""

    images_dir: str | None = None
    figures: tuple[OutputFile, ...] = ()


TEXTS: dict[str, Callable[[Document, Wishes, Beside], str]] = {
    MARKDOWN: lambda document, wishes, beside: to_markdown(
        wishes.apply(document), beside.images_dir, style=wishes.style
    ),
    "json": lambda document, wishes, beside: to_json(document),
    HTML: lambda document, wishes, beside: to_html(wishes.apply(document), beside.figures, wishes.style.drop),
    "txt": lambda document, wishes, beside: to_text(wishes.apply(document), style=wishes.style),
    "hocr": lambda document, wishes, beside: to_hocr(document),
    "alto": lambda document, wishes, beside: to_alto(document),
    DOCLING: lambda document, wishes, beside: to_docling(wishes.apply(document), beside.figures),
}
ENDINGS = {name: name for name in TEXTS} | {"alto": "alto.xml", DOCLING: "docling.json"}


class Form(Protocol):
    """The files of one document in one form."""

    def add(self, page: Transcript) -> Iterable[OutputFile]:
        """Those of a page, made while its picture is there."""

    def end(self, document: Document) -> Iterable[OutputFile]:
        """Those of the whole; the pictures of its pages are gone."""


@dataclass(frozen=True)
class Kind:
    """How a form of a document begins, from its name, the wishes and its source; a pattern that its files have, {} for
    the name and * for numbers; and what a document needs to have one, where not every document does."""

    begin: Callable[[str, Wishes, str], Form]
    trace: str
    needs: str | None = None


class _Pictures:
    """NAME_layout_PAGE.jpg for every page that has a picture."""

    def __init__(self, name: str) -> None:
        self._name = name

    def add(self, page: Transcript) -> Iterator[OutputFile]:
        if page.image is not None:
            yield OutputFile(f"{self._name}_layout_{page.page}.jpg", jpeg(to_picture(page)))

    def end(self, document: Document) -> Iterable[OutputFile]:
        return ()


class _LayoutPdf:
    """NAME_layout.pdf: the same pictures in one file."""

    def __init__(self, name: str) -> None:
        self._name, self._buffer = name, io.BytesIO()
        self._pdf = PdfFile(self._buffer)

    def add(self, page: Transcript) -> Iterable[OutputFile]:
        add_layout_page(self._pdf, page)
        return ()

    def end(self, document: Document) -> Iterator[OutputFile]:
        self._pdf.close()
        yield OutputFile(f"{self._name}_layout.pdf", self._buffer.getvalue())


class _SearchablePdf:
    """NAME_text.pdf: the document with its text laid over it."""

    def __init__(self, name: str, wishes: Wishes, source: str) -> None:
        self._name, self._buffer = name, io.BytesIO()
        self._pdf = SearchablePdf(
            self._buffer, _content(source), existing_text=wishes.existing_text, password=wishes.password
        )

    def add(self, page: Transcript) -> Iterable[OutputFile]:
        self._pdf.add(page)
        return ()

    def end(self, document: Document) -> Iterator[OutputFile]:
        self._pdf.close()
        yield OutputFile(f"{self._name}_text.pdf", self._buffer.getvalue())


class _Official:
    """NAME/ as the published scripts would leave it."""

    def __init__(self, name: str) -> None:
        self._name, self._files = name, OfficialFiles(name)

    def add(self, page: Transcript) -> Iterable[OutputFile]:
        self._files.add(page)
        return ()

    def end(self, document: Document) -> Iterator[OutputFile]:
        for file in self._files.end(document):
            yield OutputFile(f"{self._name}/{file.name}", file.content)


class _AtTheEnd:
    """Files that need no pictures."""

    def __init__(self, name: str, wishes: Wishes, files: Callable[[Document, str], Iterable[OutputFile]]) -> None:
        self._name, self._wishes, self._files = name, wishes, files

    def add(self, page: Transcript) -> Iterable[OutputFile]:
        return ()

    def end(self, document: Document) -> Iterable[OutputFile]:
        return self._files(self._wishes.apply(document), self._name)


class _Docx:
    """NAME.docx: the figures of its pages are kept until it is written."""

    def __init__(self, name: str, wishes: Wishes) -> None:
        self._name, self._wishes, self._figures = name, wishes, list[OutputFile]()

    def add(self, page: Transcript) -> Iterable[OutputFile]:
        self._figures += figure_files(page) if page.image is not None else ()
        return ()

    def end(self, document: Document) -> Iterator[OutputFile]:
        content = to_docx(self._wishes.apply(document), self._figures, self._wishes.style.drop)
        yield OutputFile(f"{self._name}.docx", content)


KINDS: dict[str, Kind] = {
    "docx": Kind(lambda name, wishes, source: _Docx(name, wishes), "{}.docx"),
    "csv": Kind(lambda name, wishes, source: _AtTheEnd(name, wishes, csv_files), "{}_table_*.csv", "tables"),
    "svg": Kind(
        lambda name, wishes, source: _AtTheEnd(name, wishes, svg_files),
        "{}_figure_*.svg",
        "plane figures, which --prompt figure reads",
    ),
    "pdf": Kind(_SearchablePdf, "{}_text.pdf"),
    "picture": Kind(lambda name, wishes, source: _Pictures(name), "{}_layout_*.jpg", "pages that can be shown"),
    "layout": Kind(lambda name, wishes, source: _LayoutPdf(name), "{}_layout.pdf"),
    OFFICIAL: Kind(lambda name, wishes, source: _Official(name), "{}/*.mmd"),
}


def _content(source: str) -> bytes | None:
    """The file that a document was read from, where it is one of its own."""
    try:
        with open_input(source) as file:
            return file.read()
    except InputError:
        return None
