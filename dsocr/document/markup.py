"""The model's Markdown as HTML that is safe to show: all that is not in a short list of marks is text."""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableMapping, Sequence
from functools import cache
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererProtocol
from markdown_it.rules_block import StateBlock, paragraph
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

from dsocr.document.maths import Maths, split_maths
from dsocr.document.tables import Cell, Table, split_tables

# Links, pictures and HTML stay text: what a page says must not lead a reader away, nor fetch or run anything.
# Indented lines are no code and underlined ones no headings: on a page, they are just that.
_OFF = ["autolink", "code", "html_block", "html_inline", "image", "lheading", "link", "reference"]
_TAG = re.compile(r"<(?:(b|i|u|s|em|strong|sup|sub|small|center)|(br) ?/?)>")
_TAG_REACH = 2000  # characters in which such a tag must be closed
_DEEPEST = 14  # lists and quotes in one another, each of two levels; the library drops what lies deeper than 20
_FORMULA = re.compile(r"\\\(([^\\]*(?:\\[^()\[\]][^\\]*)*)\\\)")
# Molecules: a * in one is any atom, and marks no emphasis. Between two, words are words unless they cannot be.
_SMILES = re.compile(r"(?=.*[A-Za-z])(?:\[[^\[\]\s]{1,30}\]|Cl|Br|[BCNOPSFIbcnops*]|[-=#$:/\\.~()0-9%])+")
_EMPHASIS = re.compile(r"\*(?!.*(?:[=#\[]|\w\()).*\*")
_LONGEST = 1000  # characters of a molecule


def block_html(text: str) -> str:
    """Paragraphs, headings, lists, tables and formulas of a text."""
    return "".join(_block_pieces(text))


def _block_pieces(text: str) -> Iterator[str]:
    for piece in split_tables(text):
        yield table_html(piece) if isinstance(piece, Table) else "".join(_paragraphs(piece))


def _paragraphs(text: str) -> Iterator[str]:
    """A formula on its own is no business of Markdown: its minus signs begin no list."""
    words: list[str] = []
    for piece in split_maths(text):
        if isinstance(piece, Maths) and piece.display:
            yield _reader().render("".join(words))
            yield f'<div class="math display">{escape(piece.latex.strip())}</div>\n'
            words = []
        else:
            words.append(piece if isinstance(piece, str) else piece.source)
    yield _reader().render("".join(words))


def table_html(table: Table) -> str:
    """The table with its spans; a table in a cell is lines of text there."""
    caption = f"<caption>{_reader('entity').renderInline(table.caption)}</caption>" if table.caption else ""
    rows = "".join(f"<tr>{''.join(map(_cell_html, row))}</tr>\n" for row in table.rows)
    return f'<div class="scroll"><table>{caption}\n{rows}</table></div>\n'


def _cell_html(cell: Cell) -> str:
    name = "th" if cell.header else "td"
    columns = f' colspan="{cell.columns}"' if cell.columns > 1 else ""
    rows = f' rowspan="{cell.rows}"' if cell.rows > 1 else ""
    return f"<{name}{columns}{rows}>{_reader('entity').renderInline(cell.text)}</{name}>"


def _read_deep(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A rule for what lies so deep in lists and quotes that it is no page any more: it is text."""
    return state.level > _DEEPEST and paragraph(state, start, end, silent)


def _read_formula(state: StateInline, silent: bool) -> bool:
    r"""A rule for `\(…\)`; other brackets after a backslash are just that, as in SMILES, and no escapes."""
    pair = state.src[state.pos : state.pos + 2]
    if pair not in ("\\(", "\\)", "\\[", "\\]"):
        return False
    formula = _FORMULA.match(state.src, state.pos, state.posMax)
    if formula and not silent:
        state.push("formula", "span", 0).content = formula[1].strip()
    elif not silent:
        state.pending += pair
    state.pos = formula.end() if formula else state.pos + 2
    return True


def _read_star(state: StateInline, silent: bool) -> bool:
    """A rule for a star in SMILES: it is a star."""
    if state.src[state.pos] != "*":
        return False
    before = state.src[max(0, state.pos - _LONGEST) : state.pos].rsplit(maxsplit=1)
    start = len(before[-1]) if before and not state.src[state.pos - 1].isspace() else 0
    word = state.src[state.pos - start : state.pos + _LONGEST].split(maxsplit=1)[0].rstrip(",;")
    if not _SMILES.fullmatch(word) or _EMPHASIS.fullmatch(word):
        return False
    if not silent:
        state.pending += "*"
    state.pos += 1
    return True


def _read_tag(state: StateInline, silent: bool) -> bool:
    """A rule for the few plain tags that the model writes; one that is not closed is text."""
    tag = _TAG.match(state.src, state.pos, state.posMax)
    if tag is None:
        return False
    if tag[2]:
        if not silent:
            state.push("hardbreak", "br", 0)
        state.pos = tag.end()
        return True
    closing = f"</{tag[1]}>"
    end = state.src.find(closing, tag.end(), min(state.posMax, tag.end() + _TAG_REACH))
    if end < 0:
        return False
    if not silent:
        _push_tag(state, tag, end)
    state.pos = end + len(closing)
    return True


def _push_tag(state: StateInline, tag: re.Match[str], end: int) -> None:
    name = "span" if tag[1] == "center" else tag[1]
    opening, last = state.push("mark_open", name, 1), state.posMax
    if tag[1] == "center":
        opening.attrs = {"class": "centre"}
    state.pos, state.posMax = tag.end(), end
    state.md.inline.tokenize(state)
    state.posMax = last
    state.push("mark_close", name, -1)


def _show_formula(
    renderer: RendererProtocol,
    tokens: Sequence[Token],
    place: int,
    options: OptionsDict,
    env: MutableMapping[str, Any],
) -> str:
    return f'<span class="math inline">{escape(tokens[place].content)}</span>'


@cache
def _reader(*off: str) -> MarkdownIt:
    """A line that ends on the page ends here as well. Off: "entity" for cells, whose entities have been read.

    Made when HTML is first asked for: most runs write none.
    """
    reader = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable("table").disable([*_OFF, *off])
    reader.block.ruler.before("table", "deep", _read_deep)
    reader.inline.ruler.before("escape", "formula", _read_formula)
    reader.inline.ruler.before("escape", "tag", _read_tag)
    reader.inline.ruler.before("emphasis", "star", _read_star)
    reader.add_render_rule("formula", _show_formula)
    return reader
