"""olmOCR-bench: small tests of what must stand in a page's text, must not, in which order, and in which cell."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dsocr.errors import InputError
from dsocr.evaluation.files import Entry, read_lines, read_text
from dsocr.evaluation.olmocr.rules import Baseline, Cell, Maths, Order, Outcome, Rule, Text, Unknown, plain
from dsocr.evaluation.report import bootstrap
from dsocr.evaluation.report.table import Cell as TableCell
from dsocr.evaluation.report.table import Column, Estimate, Table

__all__ = ["Outcome", "PageTest", "Scores", "read_predictions", "read_tests", "run", "score", "table"]

BASELINE = "baseline"


@dataclass(frozen=True)
class PageTest:
    """One test of a page; category: the name of the file it comes from."""

    identifier: str
    category: str
    pdf: str
    page: int
    rule: Rule


@dataclass(frozen=True)
class Scores:
    """How a test came out over all readings of its page: passed when more than half of them pass."""

    test: PageTest
    passed: bool | None  # None where it cannot be judged here
    reason: str = ""


def read_tests(folder: Path) -> tuple[PageTest, ...]:
    """The tests of all .jsonl files of the folder, and the baseline test that every PDF of its pdfs has."""
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise InputError(f"{folder}: there is no .jsonl file; give the folder of olmOCR-bench's data")
    tests = [_read_test(entry, file.stem) for file in files for entry in read_lines(file)]
    pdfs = sorted(path.relative_to(folder / "pdfs").as_posix() for path in folder.glob("pdfs/**/*.pdf"))
    tested = {test.pdf for test in tests if isinstance(test.rule, Baseline)}
    baselines = [PageTest(f"{pdf}_baseline", BASELINE, pdf, 1, Baseline()) for pdf in pdfs if pdf not in tested]
    return (*tests, *baselines)


def read_predictions(test: PageTest, folder: Path) -> tuple[str, ...]:
    """The readings of the test's page, from <pdf>_pg<page>_repeat<n>.md in the folder."""
    path = PurePosixPath(test.pdf).with_suffix("")
    home = folder / path.parent
    name = re.compile(rf"{re.escape(path.name)}_pg{test.page}_repeat(\d+)\.md")
    found = sorted(file.name for file in home.glob("*_repeat*.md") if name.fullmatch(file.name))
    texts = (read_text(home, file) for file in found)
    return tuple(text for text in texts if text is not None)


def run(test: PageTest, text: str) -> Outcome:
    """The test's outcome on what was read."""
    return test.rule.ask(text)


def score(test: PageTest, predictions: Sequence[str]) -> Scores:
    """The test's outcome over all readings; without any it fails."""
    if not predictions:
        return Scores(test, False, "the page was not read")
    outcomes = [run(test, text) for text in predictions]
    reason = next((outcome.reason for outcome in outcomes if not outcome.passed), "")
    if 2 * sum(outcome.passed is True for outcome in outcomes) > len(outcomes):
        return Scores(test, True, reason)
    return Scores(test, None if any(outcome.passed is None for outcome in outcomes) else False, reason)


def table(scores: Sequence[Scores], *, seed: int = 0) -> Table:
    """One row for each category and their mean, with its interval.

    A category with tests that cannot be judged here has no score, only the share that is passed at least; then nor
    has the whole, and a last row has the mean of the categories that are judged in full.
    """
    categories = dict.fromkeys(score.test.category for score in scores)
    groups = {name: [score for score in scores if score.test.category == name] for name in categories}
    judged = [group for group in groups.values() if _is_judged(group)]
    rows = [_row(name, group, _estimate([group], seed)) for name, group in sorted(groups.items())]
    rows.append(_row("mean of categories", scores, _estimate(list(groups.values()), seed)))
    if 0 < len(judged) < len(groups):
        kept = [score for group in judged for score in group]
        rows.append(_row("mean of those judged in full", kept, _estimate(judged, seed)))
    columns = (Column("category"), Column("tests"), Column("passed"), Column("not judged"), Column("score, %", ".1f"))
    return Table(f"olmOCR-bench, {len(scores)} tests", columns, tuple(rows), _note(scores))


def _read_test(entry: Entry, category: str) -> PageTest:
    kind = entry.text("type")
    make = _RULES.get(kind, _unknown)
    page = entry.count("page")
    if not page:
        raise InputError(f'{entry.where}: "page" is no page number; is this the benchmark\'s own file?')
    return PageTest(entry.text("id"), category, entry.text("pdf"), page, make(entry))


def _unknown(entry: Entry) -> Rule:
    return Unknown(entry.text("type"))


def _text(entry: Entry) -> Rule:
    return Text(
        _words(entry, "text"),
        present=entry.text("type") == "present",
        differences=entry.count("max_diffs") or 0,
        case_sensitive=entry.flag("case_sensitive", True),
        first=entry.count("first_n"),
        last=entry.count("last_n"),
    )


def _order(entry: Entry) -> Rule:
    return Order(_words(entry, "before"), _words(entry, "after"), entry.count("max_diffs") or 0)


def _cell(entry: Entry) -> Rule:
    return Cell(
        entry.text("cell"),
        up=entry.maybe("up"),
        down=entry.maybe("down"),
        left=entry.maybe("left"),
        right=entry.maybe("right"),
        top_heading=entry.maybe("top_heading"),
        left_heading=entry.maybe("left_heading"),
        differences=entry.count("max_diffs") or 0,
        html_only=entry.flag("ignore_markdown_tables", False),
    )


def _maths(entry: Entry) -> Rule:
    return Maths(entry.text("math"), entry.flag("ignore_dollar_delimited", False))


def _baseline(entry: Entry) -> Rule:
    repeats = entry.count("max_repeats")
    return Baseline(
        entry.count("max_length"),
        entry.flag("max_length_skips_image_alt_tags", False),
        Baseline.max_repeats if repeats is None else repeats,
        entry.flag("check_disallowed_characters", True),
    )


_RULES: dict[str, Callable[[Entry], Rule]] = {
    "present": _text,
    "absent": _text,
    "order": _order,
    "table": _cell,
    "math": _maths,
    "baseline": _baseline,
}


def _words(entry: Entry, name: str) -> str:
    """A text of which something is left to look for when marks of emphasis are gone."""
    text = entry.text(name)
    if not plain(text).strip():
        raise InputError(f'{entry.where}: "{name}" has no words to look for; is this the benchmark\'s own file?')
    return text


def _is_judged(scores: Sequence[Scores]) -> bool:
    return all(score.passed is not None for score in scores)


def _estimate(groups: Sequence[Sequence[Scores]], seed: int) -> Estimate | None:
    """The mean over groups of the share that passed; None where one cannot be judged in full."""
    if not all(map(_is_judged, groups)):
        return None
    return bootstrap.macro_mean([[100.0 * bool(score.passed) for score in group] for group in groups], seed=seed)


def _row(name: str, scores: Sequence[Scores], estimate: Estimate | None) -> tuple[TableCell, ...]:
    passed = sum(score.passed is True for score in scores)
    return name, len(scores), passed, sum(score.passed is None for score in scores), estimate


def _note(scores: Sequence[Scores]) -> str:
    parts = ["The score is the share of tests that pass; of all, the mean of the categories, each counting alike."]
    if not _is_judged(scores):
        parts.append(
            "A formula that does not stand there to the letter would have to be drawn and compared by its looks; that "
            "is not done here, so that its category, and the whole, have no score."
        )
    return " ".join(parts)
