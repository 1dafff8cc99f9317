"""CDM comes from the benchmark's own tool, or not at all."""

from __future__ import annotations

import json

import pytest

from dsocr.errors import InputError
from dsocr.evaluation import cdm, omnidocbench
from dsocr.evaluation.omnidocbench import Block, Page, Scores, score_page

TABLE = "<table><tr><td>a</td></tr></table>"


def scores() -> list[Scores]:
    formula = Block("equation_isolated", 2, "$$\\alpha x$$")
    blocks = (Block("text_block", 1, "Hello world"), formula, Block("table", 3, TABLE))
    page = Page("a.jpg", "english", "book", blocks)
    return [score_page(page, f"Hello world\n\n\\[\\alpha x\\]\n\n{TABLE}"), score_page(page, f"Hello world\n\n{TABLE}")]


def test_formulas_go_to_the_tool_as_they_stand(tmp_path):
    assert cdm.write_pairs(scores(), tmp_path / "pairs.json") == 2
    assert json.loads((tmp_path / "pairs.json").read_text()) == [
        {"img_id": "page1_formula1", "gt": "\\alpha x", "pred": "\\alpha x"},
        {"img_id": "page2_formula1", "gt": "\\alpha x", "pred": ""},
    ]


def test_without_the_tool_there_is_no_overall_score_and_nothing_in_its_place():
    table = omnidocbench.table(scores())
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["formula CDM"] == rows["overall (1.5)"] == (None, None)
    assert "no substitute" in table.note


def test_what_the_tool_says_completes_the_overall_score(tmp_path):
    found = {"page1_formula1": {"F1_score": 0.75}, "page2_formula1": {"F1_score": 0.0}}
    (tmp_path / "metrics_res.json").write_text(json.dumps({"mean_score": 0.375, "details": found}))
    measured = cdm.read_results(scores(), tmp_path / "metrics_res.json")
    assert [page.formula_cdm for page in measured] == [(0.75,), (0.0,)]
    # Text and tables are perfect: (100 + 100 + 37.5) / 3.
    assert omnidocbench.overall(measured) == pytest.approx(79.166667, abs=1e-6)
    assert "CDM" not in omnidocbench.table(measured).note.partition("from 0 to 100.")[2]


def test_results_of_other_formulas_are_refused(tmp_path):
    (tmp_path / "metrics_res.json").write_text(json.dumps({"details": {"page9_formula1": {"F1_score": 1}}}))
    with pytest.raises(InputError, match="not results for these formulas"):
        cdm.read_results(scores(), tmp_path / "metrics_res.json")
