"""A document as Markdown: tags vanish, figures become links; page by page, or delta by delta while it is written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from dsocr.document.blocks import OK, Document, Transcript
from dsocr.document.figures import FIGURE_LABEL, figure_name, usable_boxes
from dsocr.document.gfm import to_gfm
from dsocr.document.grounding import StreamParser, Tag, half_written, read_boxes, write
from dsocr.document.maths import MathsParser, split_maths, to_dollars
from dsocr.document.tables import Table, TableParser
from dsocr.errors import InputError

IMAGES_DIR = "images"
PAGE_SEPARATOR = "\n\n<--- Page Split --->\n\n"  # the mark of the published scripts
NO_PAGE_MARK = "\n\n"
FURNITURE = frozenset({"header", "footer", "page_number"})  # what is printed on every page, by the model's own words
HTML, GFM = "html", "gfm"
LATEX, DOLLARS = "latex", "dollar"

# What begins or ends an HTML comment, for browsers and for older readers of HTML; an option such as --dpi does neither.
_COMMENT_MARK = re.compile("(?<=<!)--+|(?<!-)--+(?= ?!?>)")
# Commands that few Markdown viewers know, and the plain sign for each.
_PLAIN_SIGNS = {"\\coloneqq": ":=", "\\eqqcolon": "=:"}


@dataclass(frozen=True)
class MarkdownStyle:
    r"""How the Markdown is written, by default as the model does.

    tables: html, or gfm, where spans become empty cells and a table that gfm cannot hold stays html. maths: latex,
    `\(…\)` and `\[…\]`, or dollar, `$…$` and `$$…$$`. page_marks: whether a line stands between pages. drop: the labels
    of blocks that are left out, such as FURNITURE. Raises InputError for a word that is not known.
    """

    tables: str = HTML
    maths: str = LATEX
    page_marks: bool = True
    drop: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for name, value, known in (("tables", self.tables, (HTML, GFM)), ("maths", self.maths, (LATEX, DOLLARS))):
            if value not in known:
                raise InputError(f"{name} {value!r} is unknown; known: {', '.join(known)}")

    @property
    def page_separator(self) -> str:
        """What stands between two pages."""
        return PAGE_SEPARATOR if self.page_marks else NO_PAGE_MARK


AS_WRITTEN = MarkdownStyle()


def to_markdown(
    pages: Document | Transcript,
    images_dir: str | None = IMAGES_DIR,
    page_separator: str | None = None,
    style: MarkdownStyle = AS_WRITTEN,
) -> str:
    """Markdown of a document or of one page.

    Figures are linked as images_dir/NAME with the names that `crop_figures` gives; None leaves the links
    out. A page_separator takes the place of the style's own. A page that did not end well says so in an HTML
    comment after its text.
    """
    if isinstance(pages, Document):
        between = style.page_separator if page_separator is None else page_separator
        return between.join(to_markdown(page, images_dir, style=style) for page in pages.transcripts)
    stream = StreamingMarkdown(pages.page, pages.width, pages.height, images_dir, pages.labels_are_text, style)
    return stream.feed(write(pages.blocks)) + stream.close(pages.status, pages.reason)


def with_plain_signs(text: str) -> str:
    """The text with := and =: in place of commands that few viewers know, as the published scripts write them."""
    for command, sign in _PLAIN_SIGNS.items():
        text = text.replace(command, sign)
    return text


def status_comment(page: int, status: str, reason: str | None) -> str:
    """How a page ended, for people who read the source: an HTML comment that nothing in the reason ends early."""
    words = f"page {page}: {status}: {reason}" if reason else f"page {page}: {status}"
    return f"<!-- {_COMMENT_MARK.sub('-', ' '.join(words.split()))} -->"


class StreamingMarkdown:
    """Markdown of one page while the model writes it; joined, the pieces equal `to_markdown` of the page.

    page is its 1-based number, width and height its size in pixels: both decide the links to its figures.
    labels_are_text is the Transcript's. A style may hold back a table or a formula until it is whole.
    """

    def __init__(
        self,
        page: int,
        width: int,
        height: int,
        images_dir: str | None = IMAGES_DIR,
        labels_are_text: bool = False,
        style: MarkdownStyle = AS_WRITTEN,
    ) -> None:
        self._page, self._width, self._height = page, width, height
        self._labels_are_text = labels_are_text
        self._images_dir = images_dir
        self._figures = 0
        self._parser = StreamParser()
        self._tables = TableParser() if style.tables == GFM else None
        self._half_command = ""
        self._maths = MathsParser() if style.maths == DOLLARS else None
        self._drop = style.drop
        self._dropping = False
        self._spacing = _Spacing()

    def feed(self, delta: str) -> str:
        """The Markdown that has become certain; never half a tag."""
        return self._show_all(self._parser.feed(delta))

    def close(self, status: str = OK, reason: str | None = None) -> str:
        """The rest of the page, and a comment unless the page ended well."""
        pieces, rest = self._parser.close()
        # A tag that the end of the page cut short is no text; it stays in the blocks and the raw text.
        if len(rest) < 2 or "\n" in rest:
            pieces = [*pieces, rest]
        shown = self._show_all(pieces) + self._flush()
        if status == OK:
            return shown
        return shown + self._spacing.paragraph(status_comment(self._page, status, reason))

    def _show_all(self, pieces: Iterable[Tag | str]) -> str:
        return "".join(self._show_text(piece) if isinstance(piece, str) else self._show_tag(piece) for piece in pieces)

    def _show_text(self, text: str) -> str:
        if self._dropping:
            return ""
        if self._tables is None:
            return self._show_words(text)
        return "".join(map(self._show_piece, self._tables.feed(text)))

    def _show_piece(self, piece: Table | str) -> str:
        lines = None if isinstance(piece, str) else to_gfm(piece)
        if lines is None:
            return self._show_words(piece if isinstance(piece, str) else piece.source)
        before, lines = self._flush_words(), with_plain_signs(lines)
        if self._maths:
            lines = "".join(map(to_dollars, split_maths(lines)))
        return before + self._spacing.apart(lines)

    def _show_words(self, text: str) -> str:
        text = with_plain_signs(self._half_command + text)
        whole = len(text) - half_written(text, tuple(_PLAIN_SIGNS))
        self._half_command = text[whole:]
        return self._show_maths(text[:whole])

    def _show_maths(self, text: str) -> str:
        if self._maths:
            text = "".join(map(to_dollars, self._maths.feed(text)))
        return self._spacing.add(text)

    def _show_tag(self, tag: Tag) -> str:
        before = self._flush()
        self._spacing.touch()
        if self._labels_are_text:
            return before + self._spacing.add(tag.label)
        self._dropping = tag.label in self._drop
        if tag.label != FIGURE_LABEL or self._images_dir is None or self._dropping:
            return before
        links = "".join(f"![]({self._link()})\n" for _ in usable_boxes(read_boxes(tag.det), self._width, self._height))
        after = self._spacing.add(links)
        self._spacing.touch()
        return before + after

    def _link(self) -> str:
        name = figure_name(self._page, self._figures)
        self._figures += 1
        return f"{quote(self._images_dir, errors='surrogateescape')}/{name}" if self._images_dir else name

    def _flush(self) -> str:
        tables = self._tables.close() if self._tables else []
        return "".join(map(self._show_piece, tables)) + self._flush_words()

    def _flush_words(self) -> str:
        text, self._half_command = self._half_command, ""
        shown = self._show_maths(text)
        rest = self._maths.close() if self._maths else []
        return shown + self._spacing.add("".join(map(to_dollars, rest)))


class _Spacing:
    """Holds white space back until text follows: none at either end, one blank line where tags left several."""

    def __init__(self) -> None:
        self._waiting: list[str] = []
        self._touched = self._apart = False
        self._begun = False

    def touch(self) -> None:
        """A tag was removed here."""
        self._touched = True

    def add(self, text: str) -> str:
        body = text.rstrip()
        if not body:
            self._waiting.append(text)
            return ""
        start = len(body) - len(body.lstrip())
        gap = self._close_gap("".join(self._waiting) + body[:start])
        self._waiting = [text[len(body) :]]
        self._touched, self._apart, self._begun = False, False, True
        return gap + body[start:]

    def paragraph(self, text: str) -> str:
        self._waiting = ["\n\n"]
        return self.add(text)

    def apart(self, text: str) -> str:
        """A paragraph, and whatever follows is another."""
        shown = self.paragraph(text)
        self._apart = True
        return shown

    def _close_gap(self, gap: str) -> str:
        if not self._begun:
            return ""
        line_ends = gap.count("\n")
        if (self._touched and line_ends > 2) or (self._apart and line_ends < 2):
            return "\n\n" + gap[gap.rfind("\n") + 1 :] * (line_ends > 0)
        return gap
