"""Fox: the words of dense pages in English and Chinese, scored as its script prints them and as they are meant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dsocr.errors import InputError
from dsocr.evaluation import edit
from dsocr.evaluation.files import Entry, read_list, read_text
from dsocr.evaluation.report import bootstrap
from dsocr.evaluation.report.table import Cell, Column, Table
from dsocr.evaluation.words import Overlap, bleu, counted_overlap, distinct_overlap, meteor, split_both

_LANGUAGES = ("en", "cn")


@dataclass(frozen=True)
class Page:
    """A page of the benchmark: its picture, the question asked about it, and all its words."""

    image: str
    picture: Path
    question: str
    truth: str
    language: str  # en, cn


@dataclass(frozen=True)
class Measures:
    """What Fox measures on a page, each from 0 to 1; all but the edit distance are better when higher."""

    precision: float
    recall: float
    f_measure: float
    bleu: float
    meteor: float | None  # needs WordNet, which does not come with the library
    meteor_without_synonyms: float
    edit_distance: float


@dataclass(frozen=True)
class Scores:
    """A page's score, twice; as_published is None where the benchmark's script would not have counted the page."""

    page: str
    language: str
    as_published: Measures | None
    corrected: Measures
    counted: Overlap  # precision and recall with every occurrence of a word, not only distinct words


NAMES: dict[str, Callable[[Measures], float | None]] = {
    "precision": lambda measures: measures.precision,
    "recall": lambda measures: measures.recall,
    "F1": lambda measures: measures.f_measure,
    "BLEU": lambda measures: measures.bleu,
    "METEOR": lambda measures: measures.meteor,
    "METEOR without synonyms": lambda measures: measures.meteor_without_synonyms,
    "edit distance": lambda measures: measures.edit_distance,
}


def read_truth(folder: Path) -> tuple[Page, ...]:
    """The pages of en_page_ocr.json and cn_page_ocr.json, whichever the folder has; InputError if it has neither."""
    found = [language for language in _LANGUAGES if (folder / f"{language}_page_ocr.json").is_file()]
    if not found:
        raise InputError(
            f"{folder}: neither en_page_ocr.json nor cn_page_ocr.json is here; give the folder of Fox's data"
        )
    return tuple(
        _read_page(entry, folder, language)
        for language in found
        for entry in read_list(folder / f"{language}_page_ocr.json")
    )


def read_prediction(page: Page, folder: Path) -> str | None:
    """What was read on the page, from <image name without suffix>.md in the folder; None where there is no file."""
    return read_text(folder, f"{Path(page.image).stem}.md", f"{Path(page.image).name}.md")


def score(page: Page, prediction: str | None) -> Scores:
    """The page's score; without a prediction it scores nothing."""
    truth, written = split_both(page.truth, prediction or "")
    corrected = _measure(truth, written, distinct_overlap(truth, written), page.truth, prediction or "")
    # The published script ends with an error on a page without words, so there is no such number to print.
    published = _measure(written, truth, distinct_overlap(truth, written).swapped, page.truth, prediction or "")
    counts = bool(prediction and truth and written)
    return Scores(page.image, page.language, published if counts else None, corrected, counted_overlap(truth, written))


def table(scores: Sequence[Scores], *, seed: int = 0) -> Table:
    """One row for each measure: as published, corrected, each with its interval."""
    published = [page.as_published for page in scores if page.as_published]
    corrected = [page.corrected for page in scores]
    rows: list[tuple[Cell, ...]] = [
        (name, _mean(published, take, seed), _mean(corrected, take, seed)) for name, take in NAMES.items()
    ]
    for name, values in (
        ("precision, every occurrence", [page.counted.precision for page in scores]),
        ("recall, every occurrence", [page.counted.recall for page in scores]),
    ):
        rows.append((name, None, bootstrap.mean(values, seed=seed)))
    columns = (Column("measure"), Column("as published", ".4f"), Column("corrected", ".4f"))
    return Table(f"Fox, {len(scores)} pages", columns, tuple(rows), _note(len(scores), len(published), rows))


def _read_page(entry: Entry, folder: Path, language: str) -> Page:
    image = entry.text("image")
    question, truth = (turn.text("value") for turn in entry.entries("conversations", at_least=2)[:2])
    return Page(image, folder / f"{language}_pdf_png" / image, question, truth, language)


def _measure(reference: list[str], candidate: list[str], overlap: Overlap, truth: str, written: str) -> Measures:
    return Measures(
        overlap.precision,
        overlap.recall,
        overlap.f_measure,
        bleu(reference, candidate),
        meteor(reference, candidate, synonyms=True),
        meteor(reference, candidate, synonyms=False) or 0.0,
        edit.normalised(truth, written),
    )


def _mean(measures: Sequence[Measures], take: Callable[[Measures], float | None], seed: int) -> Cell:
    values = [value for value in map(take, measures) if value is not None]
    return bootstrap.mean(values, seed=seed)


def _note(pages: int, published: int, rows: Sequence[tuple[Cell, ...]]) -> str:
    parts = [
        "As published, precision and recall are exchanged and BLEU and METEOR take the answer for the truth; "
        "corrected, they are what their names say, and a page without an answer scores nothing."
    ]
    if published < pages:
        parts.append(f"{pages - published} pages without an answer are not counted as published.")
    if any(name == "METEOR" and value is None for name, _, value in rows):
        parts.append(
            "METEOR needs WordNet, which is not on this machine; without synonyms it is another, lower number."
        )
    return " ".join(parts)
