"""A table in the manner of GitHub's Markdown: lines of cells between bars."""

from __future__ import annotations

import re

from dsocr.document.tables import Cell, Table

_LINE_ENDS = re.compile(r"\s+")


def to_gfm(table: Table) -> str | None:
    r"""The table as lines of `| cell | cell |`, its first row as the head; None where GFM cannot hold it.

    It cannot hold a table in a cell, nor one without cells. It has no spans: a cell's text stands in the first of its
    places and the others are empty. A caption stands above, as a paragraph. Inside a cell all is as the model wrote
    it, but bars become `\|` and all stands on one line.
    """
    width = table.width
    if table.nested or not width:
        return None
    head, *body = table.grid()
    rule = "| " + " | ".join(["---"] * width) + " |"
    lines = [_line([*head, *[None] * (width - len(head))]), rule, *map(_line, body)]
    caption = [_on_one_line(table.caption), ""] if table.caption else []
    return "\n".join([*caption, *lines])


def _line(row: list[Cell | None]) -> str:
    cells = ("" if cell is None else _escaped(_on_one_line(cell.markup)) for cell in row)
    return "| " + " | ".join(cells) + " |"


def _escaped(words: str) -> str:
    # In LaTeX, an escaped bar is a double one: GFM would take its backslash for its own.
    return words.replace("\\|", "\\Vert ").replace("|", "\\|")


def _on_one_line(words: str) -> str:
    return _LINE_ENDS.sub(" ", words).strip()
