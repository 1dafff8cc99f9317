"""OmniDocBench: text, formulas, tables and reading order of pages, each block matched to its truth and compared."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence

from dsocr.evaluation.omnidocbench.page import Distances, Scores
from dsocr.evaluation.report import bootstrap
from dsocr.evaluation.report.table import Cell, Column, Estimate, Table

LANGUAGES = {"english": "English", "simplified_chinese": "Chinese"}
# The benchmark's names for types of documents, and the paper's.
SOURCES = {
    "book": "book",
    "PPT2PDF": "slides",
    "research_report": "financial report",
    "colorful_textbook": "textbook",
    "exam_paper": "exam paper",
    "magazine": "magazine",
    "academic_literature": "academic paper",
    "note": "notes",
    "newspaper": "newspaper",
}
Take = Callable[[Scores], float | None]
_DISTANCES: dict[str, Callable[[Distances], float | None]] = {
    "text": lambda page: page.text,
    "formula": lambda page: page.formula,
    "table": lambda page: page.table,
    "order": lambda page: page.order,
}


def table(scores: Sequence[Scores], *, seed: int = 0) -> Table:
    """One row for each measure and the overall score of version 1.5: as published, corrected, each with its interval.

    As published, pages without a prediction are left out; corrected, they score the worst.
    """
    read = [page for page in scores if page.as_published]
    published, corrected = _published(scores), list(map(_corrected, scores))
    rows: list[tuple[Cell, ...]] = [
        (f"{name} edit distance", *(_estimate(map(take, pages), seed) for pages in (published, corrected)))
        for name, take in _DISTANCES.items()
    ]
    for name, measure in (("table TEDS", _teds), ("table TEDS-S", _structure), ("formula CDM", _cdm)):
        rows.append((name, *(_estimate(map(measure, pages), seed, 100) for pages in (read, scores))))
    rows.append(("overall (1.5)", *(_overall(pages, seed) for pages in (read, scores))))
    rows.append(("read text that matches nothing, %", None, _estimate((page.unmatched for page in read), seed, 100)))
    columns = (Column("measure"), Column("as published", ".3f"), Column("corrected", ".3f"))
    return Table(f"OmniDocBench, {len(scores)} pages", columns, tuple(rows), _note(scores))


def overall(scores: Sequence[Scores]) -> float | None:
    """Version 1.5's: the mean of (1 - text edit distance) · 100, table TEDS · 100 and formula CDM · 100.

    Each is a mean over the pages that have it. None where one of them is not there, most often CDM: nothing is put in
    its place.
    """
    found = _overall(scores, 0)
    return found.value if found else None


def without_cdm(scores: Iterable[Scores]) -> bool:
    """Whether there are formulas that CDM has not been measured for."""
    return any(page.formula is not None and page.formula_cdm is None for page in scores)


def language_table(scores: Sequence[Scores], *, seed: int = 0) -> Table:
    """Edit distances of English and of Chinese pages, as in the paper's table of version 1.0, with their intervals.

    Overall is the mean of the four; None where one of them is not there.
    """
    rows: list[tuple[Cell, ...]] = []
    for language, name in LANGUAGES.items():
        pages = [page for page in scores if page.language == language]
        for label, counted in (("as published", _published(pages)), ("corrected", list(map(_corrected, pages)))):
            values = [[take(page) for take in _DISTANCES.values()] for page in counted]
            columns = (_estimate((page[index] for page in values), seed) for index in range(len(_DISTANCES)))
            rows.append((name, label, len(counted), bootstrap.mean_of_parts(values, seed=seed), *columns))
    names = ("overall", *_DISTANCES)
    heads = (Column("language"), Column("manner"), Column("pages"), *(Column(name, ".3f") for name in names))
    note = "Edit distances, the lower the better. Pages in other languages, or in both, are left out, as in the paper."
    return Table("OmniDocBench by language", heads, tuple(rows), note)


def source_table(scores: Sequence[Scores], *, seed: int = 0) -> Table:
    """Text edit distance for each type of document, with its interval."""
    rows: list[tuple[Cell, ...]] = []
    kinds = [*SOURCES, *sorted({page.source for page in scores} - set(SOURCES))]
    for source in kinds:
        pages = [page for page in scores if page.source == source]
        if pages:
            rows.append((SOURCES.get(source, source), len(pages), *_text_means(pages, seed)))
    rows.append(("all", len(scores), *_text_means(scores, seed)))
    columns = (Column("document"), Column("pages"), Column("as published", ".3f"), Column("corrected", ".3f"))
    return Table("OmniDocBench by type of document", columns, tuple(rows), "Text edit distance, the lower the better.")


def _text_means(pages: Sequence[Scores], seed: int) -> tuple[Cell, Cell]:
    return _estimate((page.text for page in _published(pages)), seed), _estimate((page.text for page in pages), seed)


def _overall(scores: Sequence[Scores], seed: int) -> Estimate | None:
    if without_cdm(scores):
        return None
    return bootstrap.mean_of_parts([_percentages(page) for page in scores], seed=seed)


def _percentages(page: Scores) -> list[float | None]:
    """The three parts of the overall score."""
    text = None if page.text is None else 1 - page.text
    return [None if part is None else 100 * part for part in (text, _teds(page), _cdm(page))]


def _published(scores: Iterable[Scores]) -> list[Distances]:
    return [page.as_published for page in scores if page.as_published]


def _corrected(page: Scores) -> Distances:
    return Distances(page.text, page.formula, page.table_edit, page.order)


def _teds(page: Scores) -> float | None:
    return statistics.mean(page.table_teds) if page.table_teds else None


def _structure(page: Scores) -> float | None:
    return statistics.mean(page.table_teds_structure) if page.table_teds_structure else None


def _cdm(page: Scores) -> float | None:
    return statistics.mean(page.formula_cdm) if page.formula_cdm else None


def _estimate(values: Iterable[float | None], seed: int, scale: float = 1) -> Estimate | None:
    return bootstrap.mean([scale * value for value in values if value is not None], seed=seed)


def _note(scores: Sequence[Scores]) -> str:
    parts = ["Edit distances are better when lower, all else when higher; TEDS and CDM run from 0 to 100."]
    missing = sum(page.as_published is None for page in scores)
    if missing:
        parts.append(
            f"{missing} of {len(scores)} pages have no prediction: as published they are left out, corrected they "
            "score the worst."
        )
    if without_cdm(scores):
        parts.append(
            "CDM was not measured (the benchmark's tool for it draws formulas with TeX), so there is no overall score; "
            "the formula edit distance is no substitute for it."
        )
    return " ".join(parts)
