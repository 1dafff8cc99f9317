"""One page of OmniDocBench scored: how far what was read is from the truth, in text, formulas, tables and order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dsocr.errors import InputError
from dsocr.evaluation import edit
from dsocr.evaluation.omnidocbench import normal_forms, teds
from dsocr.evaluation.omnidocbench.comparison import VERSIONS, Compared, Comparison, Piece, Truth, compare
from dsocr.evaluation.omnidocbench.truth import FORMULA, Page

_EDGES = re.compile(r"^\s*(?:\${1,2}|\\\[)|(?:\${1,2}|\\\])\s*$")


@dataclass(frozen=True)
class Distances:
    """Normalised edit distances of a page, from 0 to 1, the lower the better; None where it has no such block."""

    text: float | None
    formula: float | None
    table: float | None
    order: float | None


@dataclass(frozen=True)
class FormulaPair:
    """A formula of the truth and the one that was read for it, in LaTeX; empty where none was."""

    truth: str
    read: str


@dataclass(frozen=True)
class Scores:
    """A page's score; None where the page has no such block. Distances are better when lower, TEDS and CDM higher."""

    page: str
    language: str
    source: str
    as_published: Distances | None  # None where nothing was predicted: the published script leaves such a page out
    text: float | None
    formula: float | None
    table_edit: float | None
    order: float | None
    table_teds: tuple[float, ...]  # one for each table
    table_teds_structure: tuple[float, ...]
    formulas: tuple[FormulaPair, ...]
    formula_cdm: tuple[float, ...] | None  # one for each formula; None until CDM is measured
    unmatched: float  # share of the read characters that match no block; version 1.5 does not count them


def score_page(page: Page, prediction: str | None, *, version: str = "1.5") -> Scores:
    """The page's score, matched as in version 1.0 or 1.5 of the benchmark; without a prediction, the worst."""
    if version not in VERSIONS:
        raise InputError(f"OmniDocBench {version!r} is unknown; known: {', '.join(VERSIONS)}")
    found = compare(page, prediction or "", version)
    tables = [(normal_forms.table(table.truth), normal_forms.table(table.read)) for table in found.tables]
    corrected = _corrected(found, tables)
    return Scores(
        page=page.image,
        language=page.language,
        source=page.source,
        as_published=None if prediction is None else _as_published(found, tables),
        text=corrected.text,
        formula=corrected.formula,
        table_edit=corrected.table,
        order=corrected.order,
        table_teds=tuple(teds.teds(*pair) for pair in tables),
        table_teds_structure=tuple(teds.teds_structure(*pair) for pair in tables),
        formulas=tuple(_latex(pair) for pair in found.blocks if pair.is_formula),
        formula_cdm=None,
        unmatched=found.unmatched,
    )


def _as_published(found: Comparison, tables: Sequence[tuple[str, str]]) -> Distances:
    blocks = [pair for pair in found.blocks for _ in range(1 + pair.twice)]
    return Distances(
        text=_distance(pair.texts for pair in blocks if pair.is_text),
        formula=_distance(pair.texts for pair in blocks if pair.is_formula),
        table=_distance(tables),
        order=_order(blocks),
    )


def _corrected(found: Comparison, tables: Sequence[tuple[str, str]]) -> Distances:
    return Distances(
        text=_distance(pair.texts for pair in found.blocks if pair.is_text),
        formula=_distance(_tidy(*pair.texts) for pair in found.blocks if pair.is_formula),
        table=_distance(tables),
        order=_order(found.blocks),
    )


def _distance(pairs: Iterable[tuple[str, str]]) -> float | None:
    """All edits of the page over the sum of the longer sides; None where there is nothing to compare."""
    kept = [pair for pair in pairs if any(pair)]
    longest = sum(max(map(len, pair)) for pair in kept)
    return sum(edit.distance(*pair) for pair in kept) / longest if longest else None


def _tidy(truth: str, read: str) -> tuple[str, str]:
    return normal_forms.tidy_formula(truth), normal_forms.tidy_formula(read)


def _order(blocks: Sequence[Compared]) -> float | None:
    """How far the numbers of the text blocks, in the order in which they were read, are from those of the truth."""
    texts = [pair for pair in blocks if pair.category != FORMULA]
    truth = sorted(number for pair in texts for number in _numbers(pair))
    found = sorted((pair for pair in texts if pair.pieces), key=lambda pair: pair.pieces[0].place)
    read = [number for pair in found for number in _numbers(pair)]
    return edit.normalised(truth, read) if truth else None


def _numbers(pair: Compared) -> list[float]:
    return [truth.order for truth in pair.truths if truth.order]


def _latex(pair: Compared) -> FormulaPair:
    return FormulaPair(_joined(pair.truths), _joined(pair.pieces))


def _joined(formulas: Sequence[Truth] | Sequence[Piece]) -> str:
    """Formulas without the signs around them; several are the lines of one."""
    lines = [_EDGES.sub("", formula.source).strip() for formula in formulas]
    if len(lines) < 2:
        return "".join(lines)
    return "\\begin{array}{l} " + " \\\\ ".join(f"{{{line}}}" for line in lines) + " \\end{array}"
