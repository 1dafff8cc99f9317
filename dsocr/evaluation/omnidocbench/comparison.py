"""Which block of a page's truth was read as what, by the rules of one version of OmniDocBench or the other."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from dsocr.evaluation.omnidocbench import matching, normal_forms
from dsocr.evaluation.omnidocbench.truth import FORMULA, SCORED, TABLE, UNSCORED, Block, Page
from dsocr.evaluation.omnidocbench.written_blocks import (
    DISPLAYED,
    HTML_TABLE,
    INLINE,
    LATEX_TABLE,
    TEXT,
    WrittenBlock,
    written_blocks,
)

VERSIONS = ("1.0", "1.5")

_ARRAY = re.compile(r"\\begin\{array\}\{([^}]*)\}(.*?)\\end\{array\}", re.DOTALL)
_NO_COLUMN = re.compile(r"\s|\||[@!]\{[^}]*\}")
_CELL = re.compile(r"<td\b[^>]*>(.*?)</td>", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Truth:
    """A block of the truth in the form in which it is compared."""

    category: str
    order: float | None
    source: str
    normal: str


@dataclass(frozen=True)
class Piece:
    """A piece of what was read in the form in which it is compared."""

    kind: str
    place: int
    source: str
    normal: str


@dataclass(frozen=True)
class Compared:
    """Truth and pieces that were found to belong together."""

    category: str  # of most of the truth; empty where pieces match nothing
    truths: tuple[Truth, ...]
    pieces: tuple[Piece, ...]
    twice: bool = False  # as published, version 1.0 counts it twice
    as_text: bool = False  # a formula that was read as text is compared as text, in version 1.5

    @property
    def is_text(self) -> bool:
        """Whether it counts as text."""
        return self.category != FORMULA or self.as_text

    @property
    def is_formula(self) -> bool:
        """Whether it counts as a formula."""
        return not self.is_text

    @property
    def texts(self) -> tuple[str, str]:
        """What is compared: the truth, and what was read."""
        read = "".join(piece.normal for piece in self.pieces)
        if self.as_text:
            return normal_forms.bare(normal_forms.shown_text(" ".join(truth.source for truth in self.truths))), read
        return "".join(truth.normal for truth in self.truths), read


@dataclass(frozen=True)
class ComparedTable:
    """A table of the truth and the one that was read for it, as HTML; empty where none was."""

    truth: str
    read: str


@dataclass(frozen=True)
class Comparison:
    """All that is scored on a page; unmatched: the share of the read characters that stand for nothing in the truth."""

    blocks: tuple[Compared, ...]
    tables: tuple[ComparedTable, ...]
    unmatched: float


def compare(page: Page, prediction: str, version: str) -> Comparison:
    """What was read on a page beside its truth."""
    written = written_blocks(prediction)
    tables, cells = _tables(page, written)
    blocks, unmatched = _apart(page, written) if version == "1.0" else _mixed(page, [*written, *cells])
    return Comparison(tuple(blocks), tuple(tables), unmatched)


def _mixed(page: Page, written: Sequence[WrittenBlock]) -> tuple[list[Compared], float]:
    """Version 1.5: text and formulas in one pool; pieces that are surely read from what is not scored are set aside."""
    truths = _truths(_split_arrays(_of(page, (*SCORED, *UNSCORED, FORMULA))), "1.5")
    in_place = sorted(written, key=lambda block: (block.kind == INLINE, block.place))
    pieces = _pieces(_split_written_arrays(in_place), "1.5")
    kept = pieces
    if len(truths) > 1 or len(pieces) > 1:
        hidden = [truth.normal for truth in truths if truth.category in UNSCORED]
        aside = matching.surely_alike(hidden, [piece.normal for piece in pieces])
        kept = [piece for number, piece in enumerate(pieces) if number not in aside]
        truths = [truth for truth in truths if truth.category not in UNSCORED]
    compared = _compared(truths, kept)
    scored = [
        replace(pair, twice=False, as_text=_is_read_as_text(pair))
        for pair in compared
        if pair.truths and pair.category not in UNSCORED
    ]
    return scored, _unmatched(compared, kept, pieces)


def _apart(page: Page, written: Sequence[WrittenBlock]) -> tuple[list[Compared], float]:
    """Version 1.0: text with text and formulas with formulas; text that matches nothing counts as wrong."""
    truths = _truths(_of(page, (*SCORED, *UNSCORED)), "1.0")
    pieces = _pieces((block for block in written if block.kind == TEXT), "1.0")
    latex = _truths(_of(page, (FORMULA,)), "1.0")
    read_latex = _pieces((block for block in written if block.kind in (DISPLAYED, INLINE)), "1.0")
    texts = _compared(truths, pieces) if truths else []
    formulas = _compared(latex, read_latex)
    scored = [pair for pair in texts if pair.category not in UNSCORED] + [pair for pair in formulas if pair.truths]
    return scored, _unmatched(texts, pieces, pieces)


def _tables(page: Page, written: Sequence[WrittenBlock]) -> tuple[list[ComparedTable], list[WrittenBlock]]:
    """Each table of the truth with the one that was read, and the cells of read tables that are left over."""
    truths = [block.text for block in _of(page, (TABLE,)) if block.text]
    if not truths:
        return [], []
    html = [block for block in written if block.kind == HTML_TABLE]
    # published quirk: where most tables are LaTeX, none counts as read.
    if sum(block.kind == LATEX_TABLE for block in written) > len(html):
        html = []
    groups = matching.pair(truths, [block.text for block in html])
    found = [group for group in groups if group.truths]
    left = [html[number] for group in groups if not group.truths for number in group.pieces]
    reads = ["".join(html[number].text for number in group.pieces) for group in found]
    tables = [ComparedTable(truths[group.truths[0]], read) for group, read in zip(found, reads, strict=True)]
    return tables, [replace(block, kind=TEXT, text=cell) for block in left for cell in _CELL.findall(block.text)]


def _of(page: Page, categories: Sequence[str]) -> list[Block]:
    """Blocks of these kinds in reading order, those of one place in the order of the kinds."""
    blocks = [block for category in categories for block in page.blocks if block.category == category]
    return sorted(blocks, key=lambda block: block.order or 0)


def _split_arrays(blocks: Iterable[Block]) -> Iterator[Block]:
    """Formulas of several lines become one for each line."""
    for block in blocks:
        lines = _lines(block.text) if block.category == FORMULA else []
        if not lines:
            yield block
        for number, line in enumerate(lines, 1):
            yield replace(block, text=line, order=round((block.order or 0) + number / 10, 1))


def _split_written_arrays(blocks: Iterable[WrittenBlock]) -> Iterator[WrittenBlock]:
    for block in blocks:
        lines = [] if block.kind == TEXT else _lines(block.text)
        yield from (replace(block, text=line) for line in lines) if lines else (block,)


def _lines(latex: str) -> list[str]:
    r"""The lines of an array of one column, each in \[ \]; none where it is something else."""
    array = _ARRAY.search(latex)
    if array is None or _NO_COLUMN.sub("", array[1]) not in ("l", "c", "r"):
        return []
    return [f"\\[{line.strip()}\\]" for line in array[2].split("\\\\") if line.strip()]


def _truths(blocks: Iterable[Block], version: str) -> list[Truth]:
    """Those that have a normal form."""
    normals = ((block, _normal(block.text, block.category == FORMULA, version)) for block in blocks)
    return [Truth(block.category, block.order, block.text, normal) for block, normal in normals if normal]


def _pieces(blocks: Iterable[WrittenBlock], version: str) -> list[Piece]:
    """Those that have a normal form, tables left out."""
    kept = (block for block in blocks if block.kind in (TEXT, DISPLAYED, INLINE))
    normals = ((block, _normal(block.text, block.kind != TEXT, version)) for block in kept)
    return [Piece(block.kind, block.place, block.text, normal) for block, normal in normals if normal]


def _normal(text: str, is_formula: bool, version: str) -> str:
    return normal_forms.formula(text, version) if is_formula else normal_forms.plain_text(text)


def _compared(truths: Sequence[Truth], pieces: Sequence[Piece]) -> list[Compared]:
    groups = matching.match([truth.normal for truth in truths], [piece.normal for piece in pieces])
    return [
        Compared(
            category=_category([truths[number].category for number in group.truths]),
            truths=tuple(truths[number] for number in group.truths),
            pieces=tuple(pieces[number] for number in group.pieces),
            twice=group.twice,
        )
        for group in groups
    ]


def _category(categories: Sequence[str]) -> str:
    """What most of them are, those that are scored before those that are not; empty where there is none."""
    counts = Counter([category for category in categories if category not in UNSCORED] or categories)
    return counts.most_common(1)[0][0] if counts else ""


def _is_read_as_text(pair: Compared) -> bool:
    return pair.category == FORMULA and bool(pair.pieces) and pair.pieces[0].kind == TEXT


def _unmatched(compared: Sequence[Compared], kept: Sequence[Piece], pieces: Sequence[Piece]) -> float:
    """Which share of all read characters, but for formulas in lines, stands for nothing in the truth."""
    used = {id(piece) for pair in compared if pair.truths for piece in pair.pieces}
    lost = sum(len(piece.normal) for piece in kept if piece.kind != INLINE and id(piece) not in used)
    whole = sum(len(piece.normal) for piece in pieces if piece.kind != INLINE)
    return lost / whole if whole else 0.0
