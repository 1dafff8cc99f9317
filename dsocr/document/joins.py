"""Joins what a page break has cut: a paragraph that goes on, a table with more rows; when unsure, nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from dsocr.document.blocks import OK, Block, Document, Transcript
from dsocr.document.figures import FIGURE_LABEL
from dsocr.document.tables import Table, split_tables, write_table
from dsocr.document.to_markdown import FURNITURE

_TABLE, _TEXTS = "table", ("text", "")
# What may stand between two halves: notes at the foot of the first page stay where they are.
_BETWEEN = FURNITURE | {"footnote", "page_footnote"}
_BLANK_LINE = re.compile(r"\n[ \t]*\n")
_HYPHENS = "-\u2010\u00ad"
_GOES_ON = re.compile(rf"[^\W_]|[{_HYPHENS},;]")  # how a line ends that is not the last of its paragraph
_NO_PARAGRAPH = re.compile(r"#{1,6}\s|[|>]|```|~~~|<|\\\[|\$\$|!\[")
_ITEM = re.compile(r"(?:\w|[ivxlc]+)[.):](?:\s|\Z)")
_WORD = re.compile(r"[^\W\d_]+")
_WORD_AND_HYPHEN = re.compile(r"[^\W\d_]+\W\Z")
_LONGEST_WORD = 100


@dataclass(frozen=True)
class _Place:
    """A block: which page, and which on the page, both counted from 0."""

    page: int
    block: int


def join_pages(document: Document) -> Document:
    """The document with cut paragraphs and tables whole, on the page where they begin; no page and no block goes.

    A paragraph goes on when it ends in a letter, a digit, a comma, a semicolon or a hyphen and the next page begins
    with a small letter; a hyphen vanishes unless the document has the word with it elsewhere. A table goes on when the
    next page begins with one of as many columns, no caption and no other head; a head that is repeated is dropped.
    Headers, footers, page numbers and footnotes may stand between, nothing else; the first page must have ended well,
    and the second must be the next. Raw texts stay as they are.
    """
    if any(page.labels_are_text for page in document.transcripts):
        return document
    pages = [list(page.blocks) for page in document.transcripts]
    end: _Place | None = None  # the last block so far that is read on from
    for number, (before, page) in enumerate(zip((None, *document.transcripts), document.transcripts, strict=False)):
        places = _places(pages, number)
        start = places[0] if places else None
        if end and start and before and _follows(before, page):
            first, second = pages[end.page][end.block], pages[start.page][start.block]
            joined = _join(first, second, pages)
            if joined:
                pages[end.page][end.block], pages[start.page][start.block] = joined
        left = _places(pages, number)
        end = left[-1] if left else end if start else None
    transcripts = zip(document.transcripts, pages, strict=True)
    return replace(document, transcripts=tuple(replace(page, blocks=tuple(blocks)) for page, blocks in transcripts))


def _places(pages: list[list[Block]], page: int) -> list[_Place]:
    """The blocks of a page that are read one after another; a figure is one, though it has no text."""
    return [
        _Place(page, index)
        for index, block in enumerate(pages[page])
        if block.label not in _BETWEEN and (block.text.strip() or block.label == FIGURE_LABEL)
    ]


def _follows(first: Transcript, second: Transcript) -> bool:
    return first.status == OK and second.page == first.page + 1


def _join(first: Block, second: Block, pages: Iterable[Iterable[Block]]) -> tuple[Block, Block] | None:
    """The first with what belongs to it and the second without; None where nothing does."""
    if first.label != second.label or first.label not in (_TABLE, *_TEXTS):
        return None
    joined = _join_tables(first.text, second.text)
    if joined is None and first.label in _TEXTS:
        joined = _join_paragraphs(first.text, second.text, pages)
    if joined is None:
        return None
    # What followed the first half still does: a tag begins a line of its own.
    whole, rest = joined
    return replace(first, text=whole + first.text[len(first.text.rstrip()) :]), replace(second, text=rest)


def _join_paragraphs(first: str, second: str, pages: Iterable[Iterable[Block]]) -> tuple[str, str] | None:
    before, after = first.rstrip(), second.lstrip()
    last = _BLANK_LINE.split(before)[-1].lstrip()
    if not (_GOES_ON.fullmatch(before[-1]) and _WORD.search(last) and after[0].islower() and after[0].isalpha()):
        return None
    if _NO_PARAGRAPH.match(last) or _ITEM.match(after):
        return None
    gap = _BLANK_LINE.search(after)
    end = gap.start() if gap else len(after)
    words, rest = after[:end].rstrip(), after[end:]
    if before[-1] not in _HYPHENS:
        return f"{before} {words}", rest
    return (before if _is_written(before, words, pages) else before[:-1]) + words, rest


def _is_written(before: str, after: str, pages: Iterable[Iterable[Block]]) -> bool:
    """Whether the word that the hyphen cuts stands somewhere in one piece, with its hyphen."""
    left, right = _WORD_AND_HYPHEN.search(before[-_LONGEST_WORD:]), _WORD.match(after)
    if left is None or right is None:
        return False
    word = re.compile(rf"\b{re.escape(left[0] + right[0])}\b")
    return any(word.search(block.text) for blocks in pages for block in blocks)


def _join_tables(first: str, second: str) -> tuple[str, str] | None:
    above, below = split_tables(first.rstrip()), split_tables(second.lstrip())
    whole = _one_table(above[-1], below[0])
    return None if whole is None else (_source(above[:-1]) + whole, _source(below[1:]))


def _one_table(top: Table | str, bottom: Table | str) -> str | None:
    if isinstance(top, str) or isinstance(bottom, str):
        return None
    if top.width != bottom.width or top.width < 2 or bottom.caption:
        return None
    repeated = 0
    for upper, lower in zip(top.rows, bottom.rows, strict=False):
        if [cell.text for cell in upper] != [cell.text for cell in lower]:
            break
        repeated += 1
    more = bottom.rows[repeated:]
    if not more or any(cell.header for row in more for cell in row):
        return None
    return write_table(replace(top, rows=top.rows + more))


def _source(pieces: Iterable[Table | str]) -> str:
    return "".join(piece if isinstance(piece, str) else piece.source for piece in pieces)
