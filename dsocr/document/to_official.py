"""A document as the published scripts leave it: the same files under the same names, without what they lose."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

from dsocr.document.blocks import OK, Document, Transcript
from dsocr.document.figures import FIGURE_LABEL, usable_boxes
from dsocr.document.files import OutputFile, figure_files, jpeg
from dsocr.document.grounding import StreamParser, read_boxes
from dsocr.document.pdf.file import POINTS_PER_INCH, PdfFile
from dsocr.document.to_layout_pdf import add_layout_page
from dsocr.document.to_markdown import status_comment, with_plain_signs
from dsocr.document.to_picture import to_picture

PAGE_END = "\n\n<--- Page Split --->\n"
_MANY_LINE_ENDS = re.compile("\n{3,}")


def to_official(document: Document, name: str) -> Iterator[OutputFile]:
    """The files of the published image script for a picture, and those of its PDF script for all else.

    For a picture result_ori.mmd, result.mmd, result_with_boxes.jpg and images/INDEX.jpg; else NAME_det.mmd, NAME.mmd,
    NAME_layouts.pdf and images/PAGE_INDEX.jpg; all counted from 0. Their texts are the published ones, byte for byte,
    but for what is wrong there: no page is dropped, so that PAGE is always the page's number less one; every box of an
    image block has its link and the links are those of the crops; a box without area has none; the words of a prompt
    that asks for words are there; a page that did not end well says so in a comment. Figures are cropped where the
    transcripts have their images.
    """
    files = OfficialFiles(name)
    for page in document.transcripts:
        files.add(page)
    yield from files.end(document)


class OfficialFiles:
    """The file set of one document, its pictures kept as JPEGs page by page, written when all pages are read."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._figures: list[list[OutputFile]] = []
        self._picture: bytes | None = None
        self._buffer = io.BytesIO()
        self._layouts = PdfFile(self._buffer)

    def add(self, page: Transcript) -> None:
        """The next page, with its image where it was kept."""
        self._figures.append([] if page.image is None else list(figure_files(page)))
        if not self._picture and page.width and page.height:
            self._picture = jpeg(to_picture(page))
        add_layout_page(self._layouts, page, POINTS_PER_INCH)  # published: a point for each pixel

    def end(self, document: Document) -> Iterator[OutputFile]:
        """The files, once."""
        for page in document.transcripts[len(self._figures) :]:
            self.add(page)  # nobody read it: its place is kept
        self._layouts.close()
        if len(document.transcripts) == 1 and not document.source.lower().endswith(".pdf"):
            yield from self._picture_files(document.transcripts[0])
        else:
            yield from self._pdf_files(document.transcripts)

    def _picture_files(self, page: Transcript) -> Iterator[OutputFile]:
        yield _file("result_ori.mmd", page.raw)
        yield _file("result.mmd", _text(page, page.raw.strip(), closes_up=False, prefix=""))
        if self._picture:
            yield OutputFile("result_with_boxes.jpg", self._picture)
        for index, figure in enumerate(self._figures[0]):
            yield OutputFile(f"images/{index}.jpg", figure.content)

    def _pdf_files(self, pages: tuple[Transcript, ...]) -> Iterator[OutputFile]:
        yield _file(f"{self._name}_det.mmd", "".join(page.raw + PAGE_END for page in pages))
        texts = (_text(page, page.raw, closes_up=True, prefix=f"{page.page - 1}_") for page in pages)
        yield _file(f"{self._name}.mmd", "".join(text + PAGE_END for text in texts))
        yield OutputFile(f"{self._name}_layouts.pdf", self._buffer.getvalue())
        for page, figures in zip(pages, self._figures, strict=False):
            for index, figure in enumerate(figures):
                yield OutputFile(f"images/{page.page - 1}_{index}.jpg", figure.content)


def _text(page: Transcript, raw: str, *, closes_up: bool, prefix: str) -> str:
    """What the page's .mmd holds: links in place of image blocks, nothing in place of other tags."""
    parser, words, figures, others = StreamParser(), [], 0, 0
    pieces, (last, rest) = parser.feed(raw), parser.close()
    for piece in [*pieces, *last, rest]:
        if isinstance(piece, str):
            words.append(piece)
        elif page.labels_are_text:
            words.append(piece.label)
        elif piece.label == FIGURE_LABEL:
            boxes = usable_boxes(read_boxes(piece.det), page.width, page.height)
            words += [f"![](images/{prefix}{figures + index}.jpg)\n" for index in range(len(boxes))]
            figures += len(boxes)
        else:
            others += 1
    text = "".join(words)
    if others:  # published quirk: a page with no other tag is left as it is
        text = with_plain_signs(text)
        text = _MANY_LINE_ENDS.sub("\n\n", text) if closes_up else text
    if page.status == OK:
        return text
    return "\n\n".join(part for part in (text, status_comment(page.page, page.status, page.reason)) if part)


def _file(name: str, text: str) -> OutputFile:
    return OutputFile(name, text.encode("utf-8", "replace"))
