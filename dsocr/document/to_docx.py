"""A document as a word processor's file: headings, paragraphs, lists, tables and figures, to go on writing in."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Iterable
from html.parser import HTMLParser
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from dsocr.document.blocks import OK, Document, Transcript
from dsocr.document.figures import FIGURE_LABEL, figure_name, usable_boxes
from dsocr.document.files import OutputFile, figure_files
from dsocr.document.markup import block_html
from dsocr.document.tables import Cell, Table, split_tables
from dsocr.errors import InputError

if TYPE_CHECKING:
    from docx.text.paragraph import Paragraph

_MOST_COLUMNS = 63  # what word processors can open
_MOST_PLACES = 5_000  # of a table; beyond that it is written as lines
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")  # what XML forbids
_STYLES = {f"h{level}": f"Heading {level}" for level in range(1, 7)}
_LISTS = {"ul": "List Bullet", "ol": "List Number"}
_BLOCKS = frozenset({"p", "li", "hr", "pre", "div", "tr", "blockquote", *_STYLES})
_VOID = frozenset({"br", "hr"})
_LOOKS = {"strong": "bold", "b": "bold", "th": "bold", "em": "italic", "i": "italic", "u": "underline"}
_LOOKS |= {"s": "strike", "sup": "superscript", "sub": "subscript"}


def to_docx(
    pages: Document | Transcript, figures: Iterable[OutputFile] = (), drop: Collection[str] = frozenset()
) -> bytes:
    """One .docx file; each page of the document begins on a page of its own. This needs python-docx.

    Tables keep their spans, formulas are their LaTeX. Figures are in it where the transcript has its image or they are
    among `figures`, by the names that `figure_files` gives. A page that did not end well says so. Labels in `drop` are
    left out. Raises InputError without python-docx.
    """
    document = pages if isinstance(pages, Document) else Document("", (pages,))
    kept = {figure.name: figure.content for figure in figures}
    writer = _Writer()
    for number, page in enumerate(document.transcripts):
        if number:
            writer.break_page()
        _write_page(writer, page, kept, drop)
    return writer.close()


def _write_page(writer: _Writer, page: Transcript, kept: dict[str, bytes], drop: Collection[str]) -> None:
    if page.image is not None:
        kept = {figure.name: figure.content for figure in figure_files(page)}
    figures = 0
    for block in page.blocks:
        shown = page.labels_are_text or block.label not in drop
        if page.labels_are_text and block.label:
            writer.write(block.label)
        elif block.label == FIGURE_LABEL:
            for _ in usable_boxes(block.boxes, page.width, page.height):
                content = kept.get(figure_name(page.page, figures))
                figures += 1
                if content and shown:
                    writer.add_picture(content)
        if shown:
            for piece in split_tables(block.text):
                _write_piece(writer, piece)
    if page.status != OK:
        why = ": ".join(part for part in (f"page {page.page}", page.status, page.reason) if part)
        writer.write(f"[{' '.join(why.split())}]")


def _write_piece(writer: _Writer, piece: Table | str) -> None:
    if isinstance(piece, str):
        writer.feed(block_html(piece))
        writer.end_block()
        return
    if piece.caption:
        writer.write(piece.caption)
    if not piece.rows:
        return
    if piece.width > _MOST_COLUMNS or piece.width * len(piece.rows) > _MOST_PLACES:
        for row in piece.rows:
            writer.write("\t".join(cell.text for cell in row))
    else:
        writer.add_table(piece)


class _Writer(HTMLParser):
    """Fed with the few tags that `block_html` writes, it adds to one document."""

    def __init__(self) -> None:
        super().__init__()
        try:
            import docx
            from docx.oxml.shape import CT_Inline
        except ImportError as error:
            raise InputError("for docx, python-docx is needed: pip install 'dsocr[docx]'") from error
        self._document: Any = docx.Document()
        section: Any = self._document.sections[0]
        self._width = section.page_width - section.left_margin - section.right_margin
        self._inline, self._pictures = CT_Inline.new_pic_inline, 0
        self._paragraph: Paragraph | None = None
        self._style: str | None = None
        self._lists: list[str] = []
        self._tags: list[str] = []  # those that are open, the innermost last

    def write(self, text: str) -> None:
        """A paragraph of plain words."""
        self.end_block()
        self._document.add_paragraph(_clean(text))

    def break_page(self) -> None:
        """What follows stands on another page."""
        self.end_block()
        self._document.add_page_break()

    def add_picture(self, content: bytes) -> None:
        """A picture, not wider than the page."""
        self.end_block()
        run = self._document.add_paragraph().add_run()
        number, image = run.part.get_or_add_image(io.BytesIO(content))
        width, height = image.scaled_dimensions()
        if width > self._width:
            width, height = self._width, max(1, height * self._width // width)
        # Its own way of adding one looks at the whole document each time.
        self._pictures += 1
        run._r.add_drawing(self._inline(self._pictures, number, image.filename, width, height))

    def add_table(self, table: Table) -> None:
        """A table with its spans, as far as they do not lie across each other."""
        self.end_block()
        grid = table.grid()
        made = self._document.add_table(len(grid), max(1, table.width), style="Table Grid")
        places = [list(row.cells) for row in made.rows]
        taken: dict[tuple[int, int], Any] = {}  # places that an earlier cell stands over, and where that is
        for down, line in enumerate(grid):
            for across, cell in enumerate(line):
                if cell is None:
                    continue
                region = _free_region(places, taken, (down, across), cell)
                place = taken.get((down, across), places[down][across])
                if len(region) > 1:
                    last_down, last_across = region[-1]
                    place = place.merge(places[last_down][last_across])
                taken |= dict.fromkeys(region, place)
                place.paragraphs[0].add_run(_clean(cell.text)).bold = cell.header or None
        self._document.add_paragraph()

    def close(self) -> bytes:  # type: ignore[override]
        """The whole file."""
        super().close()
        buffer = io.BytesIO()
        self._document.core_properties.author = ""
        self._document.save(buffer)
        return buffer.getvalue()

    def end_block(self) -> None:
        """What follows is another paragraph."""
        self._paragraph = None

    def handle_starttag(self, tag: str, attributes: object) -> None:
        """A block begins, or words look different from here on."""
        if tag in _LISTS:
            self._lists.append(_LISTS[tag])
        if tag in _BLOCKS:
            self.end_block()
            quoted = "Quote" if "blockquote" in (tag, *self._tags) else None
            self._style = _STYLES.get(tag) or (self._lists[-1] if self._lists else quoted)
        if tag == "br" and self._paragraph:
            self._paragraph.add_run().add_break()
        if tag in ("td", "th") and self._paragraph:
            self._paragraph.add_run("\t")
        if tag not in _VOID:
            self._tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """The last one of that name ends, and all that began in it."""
        if tag in self._tags:
            del self._tags[len(self._tags) - 1 - self._tags[::-1].index(tag) :]
        if tag in _LISTS and self._lists:
            self._lists.pop()
        if tag in _BLOCKS:
            self.end_block()
            self._style = None

    def handle_data(self, data: str) -> None:
        """Words, in the looks that hold now; line ends between blocks are none."""
        text = _clean(data)
        if self._paragraph is None:
            text = text.lstrip()
            if not text:
                return
            self._paragraph = self._document.add_paragraph(style=self._style)
        # A line that ends here has its <br> before the newline.
        run = self._paragraph.add_run(text if "pre" in self._tags else text.removeprefix("\n").replace("\n", " "))
        for tag in self._tags:
            if tag in _LOOKS:
                setattr(run.font, _LOOKS[tag], True)


def _free_region(
    places: list[list[Any]], taken: Collection[tuple[int, int]], start: tuple[int, int], cell: Cell
) -> list[tuple[int, int]]:
    """The (row, column) places of a cell, as many as lie in the table and are free, in the order of rows."""
    down, across = start
    row = range(across, min(len(places[0]), across + cell.columns))
    free = list(takewhile(lambda column: (down, column) not in taken, row))
    rows = range(down, min(len(places), down + cell.rows))
    whole = takewhile(lambda number: all((number, column) not in taken for column in free), rows)
    return [(number, column) for number in whole for column in free] if free else []


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
