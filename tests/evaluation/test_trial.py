"""A benchmark is read and scored from its folder to its report, or scored as others have read it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from drawn_sets import small_set

from dsocr.errors import InputError
from dsocr.evaluation.drawn.layouts import write_fox, write_olmocr_bench, write_omnidocbench
from dsocr.evaluation.fox.trial import beside_paper, open_fox, paper_curves
from dsocr.evaluation.olmocr.trial import open_olmocr
from dsocr.evaluation.omnidocbench.trial import open_omnidocbench
from dsocr.evaluation.predict import WAY_FILE, Way
from dsocr.evaluation.report.breakdown import PageFigures
from dsocr.evaluation.report.table import Estimate, to_rows
from dsocr.evaluation.report.writer import Report, as_markdown
from dsocr.evaluation.trial import TokenCounter, find_trials, read_trials, report
from dsocr.ocr import Options, load

PAGES = small_set()
COUNTER = TokenCounter("its words", lambda text: len(text.split()))


def quiet(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A folder with every benchmark in a folder of its own."""
    folder = tmp_path_factory.mktemp("drawn")
    write_fox(PAGES, folder / "fox")
    write_omnidocbench(PAGES, folder / "omnidocbench")
    write_olmocr_bench(PAGES, folder / "olmocr")
    return folder


@pytest.fixture
def fox(drawn):
    return open_fox(drawn / "fox")


@pytest.fixture
def omnidocbench(drawn, tmp_path):
    return open_omnidocbench(drawn / "omnidocbench", tmp_path / "cdm")


@pytest.fixture
def olmocr(drawn):
    return open_olmocr(drawn / "olmocr")


def predictions(folder, benchmark, texts) -> None:
    """What somebody else might have read."""
    for wanted, text in zip(benchmark.wanted(), texts, strict=True):
        (folder / f"{wanted.name}.md").parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{wanted.name}.md").write_text(text)


def found(benchmark, *folders) -> Report:
    return report(benchmark, find_trials(benchmark, folders), COUNTER)


def rows(report: Report, title: str) -> list[dict]:
    return next(to_rows(table) for section in report.sections for table in section.tables if table.title == title)


def markdown(page) -> str:
    parts = {"formula": "\\[{}\\]"}
    return "\n\n".join(parts.get(piece.kind, "{}").format(piece.markup) for piece in page.pieces)


def test_the_truth_itself_scores_everything_on_fox(fox, tmp_path):
    predictions(tmp_path / "own", fox, [page.text for page in PAGES])
    (row,) = rows(found(fox, tmp_path / "own"), "By mode")
    assert row["recall"] == row["1 - edit distance"] == {"value": 1.0, "low": 1.0, "high": 1.0}


def test_the_truth_itself_scores_everything_on_omnidocbench(omnidocbench, tmp_path):
    predictions(tmp_path / "own", omnidocbench, map(markdown, PAGES))
    (row,) = rows(found(omnidocbench, tmp_path / "own"), "By mode")
    assert row["1 - text edit distance"]["value"] == pytest.approx(1.0)
    assert row["table TEDS"]["value"] == pytest.approx(1.0)
    assert row["formula edit distance"]["value"] == pytest.approx(0.0)


def test_the_truth_itself_passes_the_tests_of_olmocr_bench_that_can_be_judged(olmocr, tmp_path):
    texts = {page.name: markdown(page) for page in PAGES}
    for wanted in olmocr.wanted():
        name = wanted.file.stem
        path = tmp_path / "own" / f"{wanted.name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(texts[name])
    table = rows(found(olmocr, tmp_path / "own"), "By category")
    shares = {row["category"]: row["tests passed"]["value"] for row in table}
    assert len(shares) == len(PAGES)
    assert {shares[category] for category in ("long_tiny_text", "multi_column", "table_tests")} == {1.0}
    assert shares["headers_footers"] < 1  # the truth of a book has its header, which must be absent


def test_nothing_read_scores_nothing_and_a_missing_page_is_told(fox, tmp_path):
    predictions(tmp_path / "own", fox, [""] * len(PAGES))
    (tmp_path / "own" / "note_000.md").unlink()
    whole = found(fox, tmp_path / "own")
    (row,) = rows(whole, "By mode")
    assert row["recall"]["value"] == 0.0
    assert "own: 1 predictions are missing (note_000.md) and score nothing" in as_markdown(whole)


def test_trials_stand_side_by_side(fox, tmp_path):
    predictions(tmp_path / "good", fox, [page.text for page in PAGES])
    predictions(tmp_path / "bad", fox, [""] * len(PAGES))
    table = rows(found(fox, tmp_path / "good", tmp_path / "bad"), "By mode")
    assert [(row["mode"], row["recall"]["value"]) for row in table] == [("good", 1.0), ("bad", 0.0)]


def test_folders_of_one_name_are_told_apart(fox, tmp_path):
    folders = [tmp_path / "a" / "own", tmp_path / "b" / "own"]
    for folder in folders:
        predictions(folder, fox, [page.text for page in PAGES])
    assert [trial.name for trial in find_trials(fox, folders)] == [str(folder) for folder in folders]


def test_a_folder_without_predictions_is_refused_with_the_names_that_are_expected(fox, tmp_path):
    (tmp_path / "own").mkdir()
    expected = r"has none of the 5 predictions that are expected, such as note_000\.md, book_001\.md, .* and 2 more"
    with pytest.raises(InputError, match=expected):
        found(fox, tmp_path / "own")
    with pytest.raises(InputError, match="is no folder"):
        found(fox, tmp_path / "none")


@pytest.mark.parametrize("open_it", [open_fox, partial(open_omnidocbench, cdm=Path()), open_olmocr])
def test_a_folder_that_is_no_benchmark_is_one_clear_line(open_it, tmp_path):
    with pytest.raises(InputError) as error:
        open_it(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_version_that_is_unknown_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"version '2' is unknown; known: 1\.0, 1\.5"):
        open_omnidocbench(tmp_path, tmp_path / "cdm", version="2")


@pytest.mark.parametrize("name", ["fox", "omnidocbench", "olmocr"])
def test_every_benchmark_is_read_in_each_mode_and_scored(name, request, checkpoint, dictate, tmp_path):
    benchmark = request.getfixturevalue(name)
    dictate("some text")
    way, options = Way("micro", "tiny", "free"), [Options(mode, "free") for mode in ("tiny", "small")]
    out = tmp_path / "out"
    trials = read_trials(benchmark, lambda: load(checkpoint), options, way, out, quiet, quiet)
    assert not any(benchmark.missing(trial.folder) for trial in trials)
    table = rows(report(benchmark, trials, COUNTER), "By mode")
    assert [(row["mode"], row["pages"], row["vision tokens, mean"]) for row in table] == [
        ("tiny", len(PAGES), 64),
        ("small", len(PAGES), 100),
    ]


def test_a_folder_of_another_way_is_found_before_anything_is_read(fox, tmp_path):
    def never():
        raise AssertionError("nothing may be read")

    (tmp_path / "predictions" / "small").mkdir(parents=True)
    (tmp_path / "predictions" / "small" / WAY_FILE).write_text('{"model": "other", "mode": "small", "prompt": "free"}')
    options = [Options(mode, "free") for mode in ("tiny", "small")]
    with pytest.raises(InputError, match="made with model 'other', not 'micro'"):
        read_trials(fox, never, options, Way("micro", "tiny", "free"), tmp_path, quiet, quiet)


def test_the_same_folder_twice_is_refused(fox, tmp_path):
    predictions(tmp_path / "own", fox, [page.text for page in PAGES])
    with pytest.raises(InputError, match="is given twice"):
        find_trials(fox, [tmp_path / "own", tmp_path / "other" / ".." / "own"])


def test_foxs_own_scripts_get_the_answers_in_their_form(fox, tmp_path):
    predictions(tmp_path / "own", fox, [page.text for page in PAGES])
    fox.write_more(find_trials(fox, [tmp_path / "own"]), tmp_path / "report")
    answers = json.loads((tmp_path / "report" / "own" / "results_final.json").read_text())
    assert [(each["image"], each["answer"] == each["label"]) for each in answers] == [
        (f"{page.name}.png", True) for page in PAGES
    ]


def test_pages_of_the_papers_length_stand_beside_the_papers_row():
    page = PageFigures("page", "tiny", "en", 640, 64, (0.9, 0.8, 0.7, 0.6))
    row = next(row for row in to_rows(beside_paper([page])) if row["pages"])
    assert (row["text tokens"], row["mode"], row["paper: pages"]) == ("600–700", "tiny", 7)
    assert row["paper: precision"] == pytest.approx(0.965)


def test_the_paper_is_shown_whole_even_where_nothing_was_read():
    assert len(beside_paper([]).rows) == 14
    assert [len(series.points) for series in paper_curves()] == [7, 7]


def test_a_limit_keeps_the_first_pages(tmp_path):
    write_fox(PAGES, tmp_path)
    write_olmocr_bench(PAGES, tmp_path)
    assert len(open_fox(tmp_path, 2).wanted()) == 2
    kept = open_olmocr(tmp_path, 2)
    assert len(kept.wanted()) == 2
    assert {test.pdf for test in kept.tests} == {
        wanted.file.relative_to(tmp_path / "pdfs").as_posix() for wanted in kept.wanted()
    }


def test_the_overall_rows_are_as_published_without_lost_pages_and_corrected(omnidocbench, tmp_path):
    predictions(tmp_path / "own", omnidocbench, map(markdown, PAGES))
    (tmp_path / "own" / "note_000.md").unlink()
    whole = found(omnidocbench, tmp_path / "own")
    table = rows(whole, "OmniDocBench, beside the published")
    assert [row["model"] for row in table[:3]] == ["here: own, as published", "here: own, corrected", "GLM-OCR"]
    assert table[0]["text edit distance"] == pytest.approx(0.0)
    assert table[1]["text edit distance"] == pytest.approx(1 / len(PAGES))
    notes = {each.title: each.note for section in whole.sections for each in section.tables}
    for title in ("By mode", "By type of document", "By text tokens"):
        assert "All figures here are corrected" in notes[title]


def test_types_of_document_have_bars_and_numbers_of_text_tokens_curves(omnidocbench, tmp_path):
    predictions(tmp_path / "own", omnidocbench, map(markdown, PAGES))
    plots = [plot for section in found(omnidocbench, tmp_path / "own").sections for plot in section.plots]
    shown = {plot.title: plot.groups for plot in plots if plot.shows}
    assert list(shown) == ["Text by type of document", "Text by text tokens"]  # nobody knows the vision tokens
    assert "magazine" in shown["Text by type of document"]


def test_our_row_stands_on_top_of_the_published_ones(omnidocbench, tmp_path):
    predictions(tmp_path / "own", omnidocbench, map(markdown, PAGES))
    table = rows(found(omnidocbench, tmp_path / "own"), "OmniDocBench by type of document, beside the published")
    assert table[0]["mode"] == "here: own, as published"
    assert table[0]["book"] == pytest.approx(0.0)
    assert table[2]["mode"] == "Tiny"
    assert not isinstance(table[0]["all"], Estimate)
