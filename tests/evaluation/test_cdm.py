"""CDM comes from the benchmark's own tool, or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dsocr.errors import InputError
from dsocr.evaluation import omnidocbench
from dsocr.evaluation.omnidocbench import Block, Page, Scores, cdm, score_page
from dsocr.evaluation.omnidocbench.trial import OmniDocBenchTrial
from dsocr.evaluation.report.table import Table
from dsocr.evaluation.trial import TokenCounter, find_trials

TABLE = "<table><tr><td>a</td></tr></table>"


def scores() -> list[Scores]:
    formula = Block("equation_isolated", 2, "$$\\alpha x$$")
    blocks = (Block("text_block", 1, "Hello world"), formula, Block("table", 3, TABLE))
    page = Page("a.jpg", "english", "book", blocks)
    return [score_page(page, f"Hello world\n\n\\[\\alpha x\\]\n\n{TABLE}"), score_page(page, f"Hello world\n\n{TABLE}")]


def answer(pairs: Path, *values: float) -> None:
    """What the tool writes for pairs."""
    names = [pair["img_id"] for pair in json.loads(pairs.read_text())]
    found = {name: {"F1_score": value} for name, value in zip(names, values, strict=True)}
    pairs.with_suffix("").mkdir(exist_ok=True)
    (pairs.with_suffix("") / "metrics_res.json").write_text(json.dumps({"mean_score": 0, "details": found}))


def test_formulas_go_to_the_tool_as_they_stand(tmp_path):
    cdm.exchange(scores(), tmp_path / "new" / "pairs.json")
    assert json.loads((tmp_path / "new" / "pairs.json").read_text()) == [
        {"img_id": "page1_formula1", "gt": "\\alpha x", "pred": "\\alpha x"},
        {"img_id": "page2_formula1", "gt": "\\alpha x", "pred": ""},
    ]


def test_without_the_tool_there_is_no_overall_score_and_nothing_in_its_place():
    table = omnidocbench.table(scores())
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["formula CDM"] == rows["overall (1.5)"] == (None, None)
    assert "no substitute" in table.note


def test_what_the_tool_says_completes_the_overall_score(tmp_path):
    pairs = tmp_path / "pairs.json"
    assert [page.formula_cdm for page in cdm.exchange(scores(), pairs)] == [None, None]
    answer(pairs, 0.75, 0.0)
    measured = cdm.exchange(scores(), pairs)
    assert [page.formula_cdm for page in measured] == [(0.75,), (0.0,)]
    # Text and tables are perfect: (100 + 100 + 37.5) / 3.
    assert omnidocbench.overall(measured) == pytest.approx(79.166667, abs=1e-6)
    assert "CDM" not in omnidocbench.table(measured).note.partition("from 0 to 100.")[2]


def test_what_the_tool_said_of_other_predictions_does_not_count(tmp_path):
    pairs = tmp_path / "pairs.json"
    cdm.exchange(scores(), pairs)
    answer(pairs, 0.75, 0.0)
    os.utime(pairs.with_suffix("") / "metrics_res.json", (1, 1))  # before the pairs were written
    other = scores()[::-1]
    for _ in range(2):
        assert [page.formula_cdm for page in cdm.exchange(other, pairs)] == [None, None]
    answer(pairs, 0.5, 1.0)
    assert [page.formula_cdm for page in cdm.exchange(other, pairs)] == [(0.5,), (1.0,)]


def test_the_report_takes_what_the_tool_said_beside_it(tmp_path):
    formula = Block("equation_isolated", 2, "$$\\alpha x$$")
    page = Page("a.jpg", "english", "book", (Block("text_block", 1, "Hello world"), formula))
    benchmark = OmniDocBenchTrial((page,), tmp_path, tmp_path / "cdm")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "a.md").write_text("Hello world\n\n\\[\\alpha y\\]")

    def first_table() -> Table:
        counter = TokenCounter("letters", len)
        return benchmark.sections(find_trials(benchmark, [tmp_path / "own"]), counter)[0].tables[0]

    assert f"-i {tmp_path / 'cdm' / 'own.json'} -o {tmp_path / 'cdm'}" in first_table().note
    answer(tmp_path / "cdm" / "own.json", 0.5)
    rows = {row[0]: row[-1] for row in first_table().rows}
    assert rows["formula CDM"].value == 50
    assert "evaluation.py" not in first_table().note


def test_results_of_other_formulas_are_refused(tmp_path):
    (tmp_path / "metrics_res.json").write_text(json.dumps({"details": {"page9_formula1": {"F1_score": 1}}}))
    with pytest.raises(InputError, match="not results for these formulas"):
        cdm.read_results(scores(), tmp_path / "metrics_res.json")
