"""olmOCR-bench read and scored: the share of its tests that pass, by category and against compression."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dsocr.evaluation import olmocr
from dsocr.evaluation.predict import Wanted
from dsocr.evaluation.report import breakdown
from dsocr.evaluation.report.breakdown import Figure, PageFigures
from dsocr.evaluation.report.published import olmocr_table
from dsocr.evaluation.report.table import Table
from dsocr.evaluation.report.writer import Section
from dsocr.evaluation.trial import TokenCounter, Trial

FIGURES = (Figure("tests passed"),)
_MEAN = "mean"  # how the rows over all categories begin
_NOTE = (
    "Text tokens are those that were written: what the pages hold is not part of this benchmark. The ratio is written "
    "tokens over vision tokens. Tests passed is the mean over pages here. "
)


@dataclass(frozen=True)
class OlmocrTrial:
    """The tests of olmOCR-bench and the PDFs they ask about, as a benchmark that can be read and scored."""

    tests: tuple[olmocr.PageTest, ...]
    pdfs: Path
    title: str = "olmOCR-bench"
    prompt: str = "document"

    def wanted(self) -> tuple[Wanted, ...]:
        """Each page that any test asks about, once."""
        pages = dict.fromkeys((test.pdf, test.page) for test in self.tests)
        return tuple(Wanted(_name(pdf, page), self.pdfs / pdf, page) for pdf, page in pages)

    def missing(self, folder: Path) -> list[str]:
        """Expected predictions that are not in the folder."""
        tests = {_name(test.pdf, test.page): test for test in self.tests}
        return [f"{name}.md" for name, test in tests.items() if not olmocr.read_predictions(test, folder)]

    def sections(self, trials: Sequence[Trial], counter: TokenCounter) -> tuple[Section, ...]:
        """Each trial's scores by category, then all of them against compression."""
        scores = [
            [olmocr.score(test, olmocr.read_predictions(test, trial.folder)) for test in self.tests] for trial in trials
        ]
        figures = [page for trial, own in zip(trials, scores, strict=True) for page in _figures(own, trial)]
        tables = (
            breakdown.by_mode(figures, FIGURES, _NOTE + breakdown.INTERVALS),
            breakdown.by_kind(figures, FIGURES, "category"),
            breakdown.by_tokens(figures, FIGURES),
        )
        plots = (
            breakdown.plot("Tests passed against compression", figures, 0, FIGURES[0].name),
            breakdown.bars("Tests passed by category", figures, 0, FIGURES[0].name),
        )
        return (
            *(Section(trial.name, (olmocr.table(own),)) for trial, own in zip(trials, scores, strict=True)),
            Section("Compression", tables, plots),
            Section("Beside what is published", (beside_published(trials, scores),)),
        )

    def write_more(self, trials: Sequence[Trial], folder: Path) -> None:
        """Nothing: the folders of predictions are what the benchmark's own scripts take."""


def open_olmocr(folder: Path, limit: int | None = None) -> OlmocrTrial:
    """The benchmark in a folder, the tests of its first pages where a limit is given; InputError if it is not there."""
    tests = olmocr.read_tests(folder)
    kept = set(list(dict.fromkeys((test.pdf, test.page) for test in tests))[:limit])
    return OlmocrTrial(tuple(test for test in tests if (test.pdf, test.page) in kept), folder / "pdfs")


def beside_published(trials: Sequence[Trial], scores: Sequence[Sequence[olmocr.Scores]]) -> Table:
    """The published scores, ours on top: of all categories, and of those that can be judged here."""
    published = olmocr_table()
    ours = [
        (f"here: {trial.name}, {row[0]}", row[-1])
        for trial, own in zip(trials, scores, strict=True)
        for row in olmocr.table(own).rows
        if str(row[0]).startswith(_MEAN)
    ]
    title = "olmOCR-bench, beside the published"
    return Table(title, published.columns, (*ours, *published.rows), published.note)


def _name(pdf: str, page: int) -> str:
    """What the benchmark calls a first reading of the page."""
    return f"{PurePosixPath(pdf).with_suffix('')}_pg{page}_repeat1"


def _figures(scores: Sequence[olmocr.Scores], trial: Trial) -> list[PageFigures]:
    """One for each page with a test that could be judged; its kind is the category of its first own test."""
    pages: dict[str, list[olmocr.Scores]] = {}
    for score in scores:
        pages.setdefault(_name(score.test.pdf, score.test.page), []).append(score)
    figures = []
    for name, own in pages.items():
        passed = [float(score.passed) for score in own if score.passed is not None]
        kind = next((score.test.category for score in own if score.test.category != olmocr.BASELINE), olmocr.BASELINE)
        value = statistics.mean(passed) if passed else None
        figures.append(PageFigures(name, trial.name, kind, trial.tokens(name), trial.vision_tokens(name), (value,)))
    return figures
