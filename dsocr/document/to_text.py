"""A document as plain text: no tags, no links to figures; a form feed between pages, as pdftotext does."""

from __future__ import annotations

from dsocr.document.blocks import OK, Document, Transcript
from dsocr.document.grounding import write
from dsocr.document.to_markdown import AS_WRITTEN, MarkdownStyle, StreamingMarkdown

PAGE_SEPARATOR = "\n\f"


def to_text(
    pages: Document | Transcript, page_separator: str = PAGE_SEPARATOR, style: MarkdownStyle = AS_WRITTEN
) -> str:
    """Text of a document or of one page; a page that did not end well says so in brackets after its text."""
    if isinstance(pages, Document):
        return page_separator.join(to_text(page, style=style) for page in pages.transcripts)
    stream = StreamingMarkdown(pages.page, pages.width, pages.height, None, pages.labels_are_text, style)
    text = stream.feed(write(pages.blocks)) + stream.close()
    return "\n\n".join(part for part in (text, _note(pages)) if part)


def _note(page: Transcript) -> str:
    if page.status == OK:
        return ""
    words = ": ".join(part for part in (f"page {page.page}", page.status, page.reason) if part)
    return f"[{' '.join(words.split())}]"
