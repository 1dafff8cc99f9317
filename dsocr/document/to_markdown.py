"""A document as Markdown: tags vanish, figures become links; page by page, or delta by delta while it is written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

from dsocr.document.blocks import OK, Document, Transcript
from dsocr.document.figures import FIGURE_LABEL, figure_name, usable_boxes
from dsocr.document.grounding import StreamParser, Tag, half_written, read_boxes, write

IMAGES_DIR = "images"
PAGE_SEPARATOR = "\n\n<--- Page Split --->\n\n"  # the mark of the published scripts

# Commands that few Markdown viewers know, and the plain sign for each.
_PLAIN_SIGNS = {"\\coloneqq": ":=", "\\eqqcolon": "=:"}


def to_markdown(
    pages: Document | Transcript, images_dir: str | None = IMAGES_DIR, page_separator: str = PAGE_SEPARATOR
) -> str:
    """Markdown of a document or of one page.

    Figures are linked as images_dir/NAME with the names that `crop_figures` gives; None leaves the links
    out. A page that did not end well says so in an HTML comment after its text.
    """
    if isinstance(pages, Document):
        return page_separator.join(to_markdown(page, images_dir) for page in pages.transcripts)
    stream = StreamingMarkdown(pages.page, pages.width, pages.height, images_dir, pages.labels_are_text)
    return stream.feed(write(pages.blocks)) + stream.close(pages.status, pages.reason)


class StreamingMarkdown:
    """Markdown of one page while the model writes it; joined, the pieces equal `to_markdown` of the page.

    page is its 1-based number, width and height its size in pixels: both decide the links to its figures.
    labels_are_text is the Transcript's.
    """

    def __init__(
        self,
        page: int,
        width: int,
        height: int,
        images_dir: str | None = IMAGES_DIR,
        labels_are_text: bool = False,
    ) -> None:
        self._page, self._width, self._height = page, width, height
        self._labels_are_text = labels_are_text
        self._images_dir = images_dir
        self._figures = 0
        self._parser = StreamParser()
        self._half_command = ""
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
        return shown + self._spacing.paragraph(_comment(self._page, status, reason))

    def _show_all(self, pieces: Iterable[Tag | str]) -> str:
        return "".join(self._show_text(piece) if isinstance(piece, str) else self._show_tag(piece) for piece in pieces)

    def _show_text(self, text: str) -> str:
        text = self._half_command + text
        for command, sign in _PLAIN_SIGNS.items():
            text = text.replace(command, sign)
        whole = len(text) - half_written(text, tuple(_PLAIN_SIGNS))
        self._half_command = text[whole:]
        return self._spacing.add(text[:whole])

    def _show_tag(self, tag: Tag) -> str:
        before = self._flush()
        self._spacing.touch()
        if self._labels_are_text:
            return before + self._spacing.add(tag.label)
        if tag.label != FIGURE_LABEL or self._images_dir is None:
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
        text, self._half_command = self._half_command, ""
        return self._spacing.add(text)


class _Spacing:
    """Holds white space back until text follows: none at either end, one blank line where tags left several."""

    def __init__(self) -> None:
        self._waiting: list[str] = []
        self._touched = False
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
        self._touched, self._begun = False, True
        return gap + body[start:]

    def paragraph(self, text: str) -> str:
        self._waiting = ["\n\n"]
        return self.add(text)

    def _close_gap(self, gap: str) -> str:
        if not self._begun:
            return ""
        if self._touched and gap.count("\n") > 2:
            return "\n\n" + gap[gap.rfind("\n") + 1 :]
        return gap


def _comment(page: int, status: str, reason: str | None) -> str:
    words = f"page {page}: {status}: {reason}" if reason else f"page {page}: {status}"
    # Two hyphens could end the comment early.
    return f"<!-- {re.sub('--+', '-', ' '.join(words.split()))} -->"
