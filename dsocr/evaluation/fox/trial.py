"""Fox read and scored: the paper's table of precision against compression, beside what is measured here."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dsocr.evaluation import fox
from dsocr.evaluation.predict import Wanted
from dsocr.evaluation.report import breakdown
from dsocr.evaluation.report.breakdown import Figure, PageFigures
from dsocr.evaluation.report.plots import Point, Series
from dsocr.evaluation.report.published import FOX, PAPER, FoxMode, FoxRow
from dsocr.evaluation.report.table import Cell, Column, Table
from dsocr.evaluation.report.writer import Section, write_file
from dsocr.evaluation.trial import TokenCounter, Trial

FIGURES = (
    Figure("precision as Fox prints it"),
    Figure("precision"),
    Figure("recall"),
    Figure("1 - edit distance"),
)
ANSWERS_FILE = "results_final.json"  # in the form that Fox's own scripts take
_NOTE = (
    "Fox's script calls precision what is recall: the share of the truth's distinct words that were written. The two "
    "columns after it are what their names say, over distinct words. "
)


@dataclass(frozen=True)
class FoxTrial:
    """The pages of Fox as a benchmark that can be read and scored."""

    pages: tuple[fox.Page, ...]
    title: str = "Fox"
    prompt: str = "free"  # the paper: without layout

    def wanted(self) -> tuple[Wanted, ...]:
        """One picture for each page."""
        return tuple(Wanted(_name(page), page.picture) for page in self.pages)

    def missing(self, folder: Path) -> list[str]:
        """Expected predictions that are not in the folder."""
        return [f"{_name(page)}.md" for page in self.pages if fox.read_prediction(page, folder) is None]

    def sections(self, trials: Sequence[Trial], counter: TokenCounter) -> tuple[Section, ...]:
        """The compression table first, then each trial's scores as published and corrected."""
        scores = [[fox.score(page, fox.read_prediction(page, trial.folder)) for page in self.pages] for trial in trials]
        tokens = [counter.count(page.truth) for page in self.pages]
        figures = [
            _figures(score, _name(page), trial, count)
            for trial, own in zip(trials, scores, strict=True)
            for page, score, count in zip(self.pages, own, tokens, strict=True)
        ]
        note = _NOTE + breakdown.RATIO.format(tokenizer=counter.name) + " " + breakdown.INTERVALS
        plots = (
            breakdown.plot("Precision as Fox prints it", figures, 0, FIGURES[0].name, paper_curves()),
            breakdown.plot("Precision", figures, 1, FIGURES[1].name, paper_curves()),
            breakdown.plot("What edit distance says", figures, 3, FIGURES[3].name),
            breakdown.plot_over_tokens("Precision by text tokens", figures, 1, FIGURES[1].name),
            breakdown.plot_over_tokens("Edit distance by text tokens", figures, 3, FIGURES[3].name),
        )
        kinds = breakdown.by_kind(figures, FIGURES, "language")
        english, others = ([page for page in figures if (page.kind == "en") is wanted] for wanted in (True, False))
        tables = [breakdown.by_mode(figures, FIGURES, note), beside_paper(english)]
        if others:
            tables += [breakdown.by_tokens(others, FIGURES, "Other pages by text tokens"), kinds]
        return (
            Section("Compression", tuple(tables), plots),
            *(Section(trial.name, (fox.table(own),)) for trial, own in zip(trials, scores, strict=True)),
        )

    def write_more(self, trials: Sequence[Trial], folder: Path) -> None:
        """results_final.json for each trial: image, question, label (the truth) and answer."""
        for trial in trials:
            answers = [_answer(page, trial.folder) for page in self.pages]
            write_file(
                folder / _safe(trial.name) / ANSWERS_FILE, json.dumps(answers, ensure_ascii=False, indent=1) + "\n"
            )


def open_fox(folder: Path, limit: int | None = None) -> FoxTrial:
    """The benchmark in a folder, its first pages where a limit is given; InputError where it is not there."""
    return FoxTrial(fox.read_truth(folder)[:limit])


def _safe(name: str) -> str:
    """A trial may be called by a whole path: here it is one folder."""
    return re.sub(r"[^\w-]+", "_", name)


def _name(page: fox.Page) -> str:
    return Path(page.image).stem


def beside_paper(pages: Sequence[PageFigures]) -> Table:
    """English pages by text tokens and mode, with the paper's row for the same tokens and mode where it has one."""
    own = breakdown.by_tokens(pages, FIGURES)
    rows = {(str(row[0]), str(row[1])): row for row in own.rows}
    paper = {(f"{row.low}–{row.high}", mode): (row, figures) for row in FOX for mode, figures in _modes(row).items()}
    keys = sorted({**rows, **paper}, key=lambda key: int(key[0].split("–")[0].split()[0]))
    nothing: tuple[Cell, ...] = (None,) * (len(own.columns) - 2)
    columns = Column("paper: pages"), Column("paper: ratio", ".1f"), Column("paper: precision", ".1%")
    return Table(
        "English pages by text tokens, beside the paper",
        (*own.columns, *columns),
        tuple((*rows.get(key, (*key, *nothing)), *_paper_cells(paper.get(key))) for key in keys),
        f"{PAPER}, table 2. What the paper calls precision is not defined there; Fox's script is the likeliest source.",
    )


def paper_curves() -> tuple[Series, ...]:
    """The paper's precision over compression, for its two modes."""
    names = _modes(FOX[0])
    return tuple(
        Series(
            f"{mode}, the paper's precision on Fox",
            tuple(Point(_modes(row)[mode].ratio, _modes(row)[mode].precision / 100) for row in FOX),
            published=True,
        )
        for mode in names
    )


def _modes(row: FoxRow) -> dict[str, FoxMode]:
    return {"tiny": row.tiny, "small": row.small}


def _paper_cells(found: tuple[FoxRow, FoxMode] | None) -> tuple[Cell, ...]:
    return (found[0].pages, found[1].ratio, found[1].precision / 100) if found else (None, None, None)


def _answer(page: fox.Page, folder: Path) -> dict[str, str]:
    answer = fox.read_prediction(page, folder) or ""
    return {"image": page.image, "question": page.question, "label": page.truth, "answer": answer}


def _figures(scores: fox.Scores, name: str, trial: Trial, text_tokens: int) -> PageFigures:
    printed, own = scores.as_published, scores.corrected
    values = (printed.precision if printed else None, own.precision, own.recall, 1 - own.edit_distance)
    return PageFigures(name, trial.name, scores.language, text_tokens, trial.vision_tokens(name), values)
