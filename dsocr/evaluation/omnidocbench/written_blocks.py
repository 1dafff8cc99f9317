"""A page's Markdown taken apart as OmniDocBench does it: tables, formulas on their own and in lines, paragraphs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

TEXT, DISPLAYED, INLINE = "text", "displayed formula", "formula in a line"
HTML_TABLE, LATEX_TABLE = "HTML table", "LaTeX table"

_PICTURE = re.compile(r"!\[.*?\]\(.*?\)")
_FENCE = re.compile(r"^```(?:markdown|html|latex)\n?|```\n?$|</?(?:html|body)>", re.MULTILINE)
_MANY_SIGNS = re.compile(r"([^a-zA-Z0-9])\1{10,}")
_LATEX_TABLE = re.compile(r"\\begin\{(table|tabular)\}.*?\\end\{\1\}", re.DOTALL)
_TABLE_EDGE = re.compile(r"<(/?)table\b[^>]*>", re.IGNORECASE)
_FORMULA = re.compile(r"\$\$(.*?)\$\$|\\\[(.*?)\\\]|\$(.*?)\$|\\\((.*?)\\\)", re.DOTALL)
_BARS = re.compile(r"(?:^[ \t]*\|.*\|[ \t]*(?:\n|$))+", re.MULTILINE)
_RULE = re.compile(r"[ \t|:-]*-[ \t|:-]*")
_HEADING = re.compile(r"\\(?:title|text|section\*?)\s*\{\s*(.*?)\s*\}", re.DOTALL)


@dataclass(frozen=True)
class WrittenBlock:
    """A piece of what was read; place: where it begins, in characters."""

    kind: str
    place: int
    text: str


def written_blocks(markdown: str) -> tuple[WrittenBlock, ...]:
    r"""The blocks in the order of their places.

    A paragraph ends at an empty line, or at each line's end where there is no empty line. A formula in a line is
    given as a block of its own and stays in its paragraph. Every formula comes in \[ \], on one line.
    """
    page = _Page(_shortened(_FENCE.sub("", _PICTURE.sub("", markdown))))
    blocks = [*_latex_tables(page), *_html_tables(page), *_formulas(page), *_bar_tables(page), *_paragraphs(page)]
    return tuple(sorted(blocks, key=lambda block: block.place))


@dataclass
class _Page:
    """What is left of the text; what has been taken leaves spaces, so that places stay."""

    text: str

    def take(self, start: int, end: int) -> str:
        taken = self.text[start:end]
        self.text = self.text[:start] + " " * (end - start) + self.text[end:]
        return taken


def _shortened(text: str) -> str:
    """Long runs of one sign, such as dotted leaders, become four of them."""
    text = re.sub("_{4,}", "____", text)
    text = re.sub(" {4,}", "    ", text)
    return _MANY_SIGNS.sub(r"\1\1\1\1", text)


def _latex_tables(page: _Page) -> Iterator[WrittenBlock]:
    for found in list(_LATEX_TABLE.finditer(page.text)):
        yield WrittenBlock(LATEX_TABLE, found.start(), page.take(*found.span()))


def _html_tables(page: _Page) -> Iterator[WrittenBlock]:
    """Tables that are closed, a table in a cell being part of its table; one that is not closed is text."""
    opened: list[int] = []
    for edge in list(_TABLE_EDGE.finditer(page.text)):
        if not edge[1]:
            opened.append(edge.start())
        elif opened:
            start = opened.pop()
            if not opened:
                yield WrittenBlock(HTML_TABLE, start, page.take(start, edge.end()))


def _formulas(page: _Page) -> Iterator[WrittenBlock]:
    for found in list(_FORMULA.finditer(page.text)):
        displayed = found[1] if found[1] is not None else found[2]
        latex = displayed if displayed is not None else found[3] if found[3] is not None else found[4]
        latex = " ".join(latex.split())
        if displayed is not None:
            page.take(*found.span())
        if latex:
            yield WrittenBlock(INLINE if displayed is None else DISPLAYED, found.start(), f"\\[{latex}\\]")


def _bar_tables(page: _Page) -> Iterator[WrittenBlock]:
    """Tables in the manner of GitHub, as HTML."""
    for found in list(_BARS.finditer(page.text)):
        lines = found[0].strip().split("\n")
        if len(lines) > 1 and _RULE.fullmatch(lines[1].strip()):
            page.take(*found.span())
            yield WrittenBlock(HTML_TABLE, found.start(), _as_html([lines[0], *lines[2:]]))


def _as_html(lines: list[str]) -> str:
    rows = ([cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines)
    return f"<table>{''.join(f'<tr>{_cells(row)}</tr>' for row in rows)}</table>"


def _cells(row: list[str]) -> str:
    return "".join(f"<td>{cell}</td>" for cell in row)


def _paragraphs(page: _Page) -> Iterator[WrittenBlock]:
    text = page.text
    gap = "\n\n" if "\n\n" in text else "\n"
    place = 0
    for piece in text.split(gap):
        lines = [line.strip() for line in _HEADING.sub(r"\1", piece).split("\n")]
        words = "\n".join(line for line in lines if line)
        if words:
            yield WrittenBlock(TEXT, place + len(piece) - len(piece.lstrip()), words)
        place += len(piece) + len(gap)
