"""OmniDocBench read and scored: the published measures, by language, by type of document, and against compression."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dsocr.errors import InputError
from dsocr.evaluation import omnidocbench
from dsocr.evaluation.omnidocbench import cdm
from dsocr.evaluation.predict import Wanted
from dsocr.evaluation.report import breakdown
from dsocr.evaluation.report.breakdown import Figure, PageFigures
from dsocr.evaluation.report.published import document_types_table, omnidocbench_table, overall_table
from dsocr.evaluation.report.table import Cell, Estimate, Table
from dsocr.evaluation.report.writer import Section
from dsocr.evaluation.trial import TokenCounter, Trial

FIGURES = (
    Figure("1 - text edit distance"),
    Figure("formula edit distance", ".3f"),
    Figure("table edit distance", ".3f"),
    Figure("order edit distance", ".3f"),
    Figure("table TEDS"),
)
_CORRECTED = "All figures here are corrected: a page without a prediction scores the worst."


@dataclass(frozen=True)
class OmniDocBenchTrial:
    """The pages of OmniDocBench as a benchmark that can be read and scored, matched as its version has it.

    cdm: the folder where formulas go to the tool that measures CDM and its answers are looked for, NAME.json and
    NAME/metrics_res.json for each trial.
    """

    pages: tuple[omnidocbench.Page, ...]
    images: Path
    cdm: Path
    version: str = "1.5"
    title: str = "OmniDocBench"
    prompt: str = "document"

    def wanted(self) -> tuple[Wanted, ...]:
        """One picture for each page."""
        return tuple(Wanted(Path(page.image).stem, self.images / page.image) for page in self.pages)

    def missing(self, folder: Path) -> list[str]:
        """Expected predictions that are not in the folder."""
        lost = [page for page in self.pages if omnidocbench.read_prediction(page, folder) is None]
        return [f"{Path(page.image).stem}.md" for page in lost]

    def sections(self, trials: Sequence[Trial], counter: TokenCounter) -> tuple[Section, ...]:
        """Each trial's scores as published and corrected, then all of them against compression."""
        scores = [self._score(trial) for trial in trials]
        tokens = [counter.count("\n".join(block.text for block in page.blocks)) for page in self.pages]
        figures = [
            _figures(score, page, trial, count)
            for trial, own in zip(trials, scores, strict=True)
            for page, score, count in zip(self.pages, own, tokens, strict=True)
        ]
        note = f"{_CORRECTED} {breakdown.RATIO.format(tokenizer=counter.name)} {breakdown.INTERVALS}"
        tables = (
            breakdown.by_mode(figures, FIGURES, note),
            breakdown.by_kind(figures, FIGURES, "type of document", _CORRECTED),
            breakdown.by_tokens(figures, FIGURES, note=_CORRECTED),
        )
        plots = (
            breakdown.plot("Text against compression", figures, 0, FIGURES[0].name),
            breakdown.bars("Text by type of document", figures, 0, FIGURES[0].name),
            breakdown.plot_over_tokens("Text by text tokens", figures, 0, FIGURES[0].name),
        )
        return (
            *(self._section(trial, own) for trial, own in zip(trials, scores, strict=True)),
            Section("Compression", tables, plots),
            Section("Beside what is published", beside_published(trials, scores, self.version)),
        )

    def write_more(self, trials: Sequence[Trial], folder: Path) -> None:
        """Nothing: the folders of predictions are what the benchmark's own scripts take."""

    def _score(self, trial: Trial) -> list[omnidocbench.Scores]:
        read = [omnidocbench.read_prediction(page, trial.folder) for page in self.pages]
        scores = [omnidocbench.score_page(*each, version=self.version) for each in zip(self.pages, read, strict=True)]
        return cdm.exchange(scores, self._pairs(trial)) if any(page.formulas for page in scores) else scores

    def _pairs(self, trial: Trial) -> Path:
        return self.cdm / f"{trial.name.replace(os.sep, '_')}.json"

    def _section(self, trial: Trial, scores: Sequence[omnidocbench.Scores]) -> Section:
        table = omnidocbench.table(scores)
        if omnidocbench.without_cdm(scores):
            pairs = self._pairs(trial)
            how = f"For CDM run the tool (`python evaluation.py -i {pairs} -o {self.cdm}`), then this command again."
            table = replace(table, note=f"{table.note} {how}")
        more = omnidocbench.language_table(scores), omnidocbench.source_table(scores)
        return Section(trial.name, (table, *more))


def open_omnidocbench(folder: Path, cdm: Path, limit: int | None = None, version: str = "1.5") -> OmniDocBenchTrial:
    """The benchmark in a folder, its first pages where a limit is given; InputError where it is not there.

    cdm: the folder through which formulas are exchanged with the tool that measures CDM.
    """
    if version not in omnidocbench.VERSIONS:
        raise InputError(f"version {version!r} is unknown; known: {', '.join(omnidocbench.VERSIONS)}")
    return OmniDocBenchTrial(omnidocbench.read_truth(folder)[:limit], folder / "images", cdm, version)


def beside_published(
    trials: Sequence[Trial], scores: Sequence[Sequence[omnidocbench.Scores]], version: str
) -> tuple[Table, ...]:
    """The published tables, our rows on top: by language, by type of document, and overall."""
    languages, types, overall = omnidocbench_table(), document_types_table(), overall_table()
    pairs = list(zip(trials, scores, strict=True))
    return (
        _with_ours(overall, [row for trial, own in pairs for row in _overall_rows(trial.name, own)], version),
        _with_ours(languages, [row for trial, own in pairs for row in _language_rows(trial, own)], version),
        _with_ours(types, [row for trial, own in pairs for row in _type_rows(trial.name, own, types)], version),
    )


def _with_ours(published: Table, rows: Sequence[tuple[Cell, ...]], version: str) -> Table:
    note = f"{published.note} Rows that begin with “here” are this run's, matched as in version {version}."
    return Table(
        published.title.replace("as published", "beside the published"),
        published.columns,
        (*rows, *published.rows),
        note,
    )


def _overall_rows(name: str, scores: Sequence[omnidocbench.Scores]) -> list[tuple[Cell, ...]]:
    """As published and corrected, in the order of the published table; without intervals, as there."""
    found = omnidocbench.table(scores)
    by_measure = {row[0]: row for row in found.rows}
    wanted = (
        *("overall (1.5)", "text edit distance", "formula CDM", "table TEDS", "table TEDS-S"),
        "order edit distance",
    )
    return [
        (
            f"here: {name}, {found.columns[index].name}",
            *(_value(by_measure[each][index]) for each in wanted),
            "this run",
        )
        for index in (1, 2)
    ]


def _value(cell: Cell) -> Cell:
    return cell.value if isinstance(cell, Estimate) else cell


def _language_rows(trial: Trial, scores: Sequence[omnidocbench.Scores]) -> list[tuple[Cell, ...]]:
    seen = [record.vision_tokens for record in trial.records.values() if record.vision_tokens]
    tokens = round(statistics.mean(seen)) if seen else None
    found = omnidocbench.language_table(scores).rows
    manners = dict.fromkeys(row[1] for row in found)
    return [
        (
            *(f"here: {trial.name}, {manner}", None, tokens),
            *(_value(cell) for row in found if row[1] == manner for cell in row[3:]),
        )
        for manner in manners
    ]


def _type_rows(name: str, scores: Sequence[omnidocbench.Scores], published: Table) -> list[tuple[Cell, ...]]:
    found = omnidocbench.source_table(scores)
    by_type = {row[0]: row for row in found.rows}
    nothing: tuple[Cell, ...] = (None,) * len(found.columns)
    types = [column.name for column in published.columns[1:]]
    return [
        (f"here: {name}, {found.columns[index].name}", *(_value(by_type.get(each, nothing)[index]) for each in types))
        for index in (2, 3)
    ]


def _figures(scores: omnidocbench.Scores, page: omnidocbench.Page, trial: Trial, text_tokens: int) -> PageFigures:
    name = Path(page.image).stem
    read = None if scores.text is None else 1 - scores.text
    teds = statistics.mean(scores.table_teds) if scores.table_teds else None
    values = (read, scores.formula, scores.table_edit, scores.order, teds)
    return PageFigures(name, trial.name, page.source, text_tokens, trial.vision_tokens(name), values)
