"""OmniDocBench scored, against figures worked out by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsocr.errors import InputError
from dsocr.evaluation import omnidocbench
from dsocr.evaluation.omnidocbench import Block, Page, score_page
from dsocr.evaluation.report.table import Estimate

TABLE = "<table><tr><td>a</td><td>b</td></tr></table>"
PARAGRAPHS = (
    "It was a bright cold day in April.",
    "Clocks were striking thirteen everywhere.",
    "Nobody had seen the harbour frozen before.",
    "Seven ships lay waiting beyond the mole.",
)


def page(*blocks: Block, image: str = "page.jpg", language: str = "english", source: str = "book") -> Page:
    return Page(image, language, source, blocks)


def text(words: str, order: int = 1, category: str = "text_block") -> Block:
    return Block(category, order, words)


TWO = page(text("Title", 1, "title"), text("Hello world", 2))


def test_text_is_all_edits_over_all_characters():
    # "Titel" is two edits from "Title"; 5 and 10 characters are compared, without the space.
    scores = score_page(TWO, "# Titel\n\nHello world")
    assert scores.text == 2 / 15
    assert scores.order == 0.0
    assert scores.formula is scores.table_edit is None


def test_a_lost_block_costs_all_its_characters_and_its_place():
    scores = score_page(TWO, "Hello world")
    assert (scores.text, scores.order) == (5 / 15, 1 / 2)


def test_order_is_by_what_comes_first():
    blocks = [text(words, number) for number, words in enumerate(PARAGRAPHS[:3], 1)]
    scores = score_page(page(*blocks), "\n\n".join([PARAGRAPHS[1], PARAGRAPHS[0], PARAGRAPHS[2]]))
    assert scores.text == 0.0
    assert scores.order == 2 / 3  # 2 1 3 for 1 2 3: two replaced of three


def test_headers_that_are_read_cost_nothing():
    truth = page(text("Running head", 1, "header"), text(PARAGRAPHS[0], 2), text(PARAGRAPHS[1], 3))
    scores = score_page(truth, f"Running head\n\n{PARAGRAPHS[0]}\n\n{PARAGRAPHS[1]}")
    assert (scores.text, scores.order, scores.unmatched) == (0.0, 0.0, 0.0)


def test_a_table_with_one_wrong_cell():
    scores = score_page(page(Block("table", 1, TABLE)), TABLE.replace(">b<", ">c<"))
    assert scores.table_teds == pytest.approx((1 - 1 / 3,))  # three tags below the table, one cell wholly wrong
    assert scores.table_teds_structure == (1.0,)
    # <html><body> 12, <table border="1" > 19, <tr> 4, two cells of 10, </tr> 5, </table> 8, </body></html> 14
    assert scores.table_edit == pytest.approx(1 / 82)


def test_a_table_that_was_not_read_scores_nothing():
    scores = score_page(page(Block("table", 1, TABLE)), "")
    assert (scores.table_teds, scores.table_edit) == ((0.0,), 1.0)


def test_tables_in_bars_count_and_tables_in_latex_do_not():
    truth = page(Block("table", 1, "<table><tr><td>a</td></tr><tr><td>b</td></tr></table>"))
    assert score_page(truth, "| a |\n|---|\n| b |").table_teds == (1.0,)
    assert score_page(truth, r"\begin{tabular}{l} a \\ b \end{tabular}").table_teds == (0.0,)


def test_a_formula_read_to_the_letter_is_perfect_only_when_corrected():
    truth = page(Block("equation_isolated", 1, "$$x^2\n=y$$"))
    scores = score_page(truth, "\\[x^2 = y\\]")
    assert scores.formula == 0.0
    assert scores.as_published is not None
    assert scores.as_published.formula == 1 / 6  # the truth keeps its line end
    old = score_page(truth, "\\[x^2 = y\\]", version="1.0").as_published
    assert old is not None
    assert old.formula == 5 / 10  # and in version 1.0 four dollar signs


def test_a_formula_read_as_text_counts_as_text():
    truth = page(Block("equation_isolated", 1, "$$x^2+y^2=z^2$$"), text(PARAGRAPHS[0], 2))
    scores = score_page(truth, f"x^2+y^2=z^2\n\n{PARAGRAPHS[0]}")
    assert scores.formula is None
    assert scores.text == 0.0
    assert score_page(truth, f"x^2+y^2=z^2\n\n{PARAGRAPHS[0]}", version="1.0").formula == 1.0


def test_lines_of_an_array_are_matched_one_by_one():
    truth = page(Block("equation_isolated", 1, r"$$\begin{array}{l} a=1 \\ b=2 \end{array}$$"))
    scores = score_page(truth, "$$a=1$$\n\n$$b=3$$")
    assert scores.formula == 1 / 6
    assert [pair.truth for pair in scores.formulas] == ["a=1", "b=2"]


def test_text_that_matches_nothing_is_free_in_version_1_5_and_told():
    scores = score_page(page(text("Hello world")), "Hello world\n\nThat is not on the page at all")
    assert scores.text == 0.0
    assert scores.unmatched == pytest.approx(23 / 33)
    assert (
        score_page(page(text("Hello world")), "Hello world\n\nThat is not on the page at all", version="1.0").text
        == 23 / 33
    )


def test_version_1_0_counts_what_was_not_read_twice():
    scores = score_page(TWO, "Hello world", version="1.0")
    assert scores.as_published is not None
    assert scores.text == 5 / 15
    assert scores.as_published.text == 10 / 20
    one_five = score_page(TWO, "Hello world").as_published
    assert one_five is not None
    assert one_five.text == 5 / 15


def test_a_page_without_a_prediction_is_left_out_as_published_and_the_worst_corrected():
    truth = page(text("Hello"), Block("table", 2, TABLE), Block("equation_isolated", 3, "$$x$$"))
    scores = score_page(truth, None)
    assert scores.as_published is None
    assert (scores.text, scores.formula, scores.table_edit, scores.order) == (1.0, 1.0, 1.0, 1.0)
    assert scores.table_teds == (0.0,)


def test_the_table_tells_what_a_missing_page_hides():
    scores = [score_page(TWO, "# Title\n\nHello world"), score_page(TWO, None)]
    table = omnidocbench.table(scores)
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["text edit distance"][0] == Estimate(0.0, 0.0, 0.0)
    assert isinstance(rows["text edit distance"][1], Estimate)
    assert rows["text edit distance"][1].value == 0.5
    assert "1 of 2 pages have no prediction" in table.note


def test_languages_and_types_of_document_are_told_apart():
    german = page(text("Hello"), language="german", source="newspaper")
    scores = [score_page(TWO, "# Title\n\nHello world"), score_page(german, "")]
    by_language = omnidocbench.language_table(scores).rows
    assert [row[:3] for row in by_language] == [
        ("English", "as published", 1),
        ("English", "corrected", 1),
        ("Chinese", "as published", 0),
        ("Chinese", "corrected", 0),
    ]
    perfect, worst, half = Estimate(0.0, 0.0, 0.0), Estimate(1.0, 1.0, 1.0), Estimate(0.5, 0.0, 1.0)
    assert by_language[0][3:] == (None, perfect, None, None, perfect)  # no overall without formulas and tables
    assert omnidocbench.source_table(scores).rows == (
        ("book", 1, perfect, perfect),
        ("newspaper", 1, worst, worst),
        ("all", 2, half, half),
    )


def test_the_overall_scores_have_intervals():
    formula, table = Block("equation_isolated", 3, "$$x$$"), Block("table", 2, TABLE)
    truth = page(text("Hello world"), table, formula)
    good = replace(score_page(truth, f"Hello world\n\n{TABLE}\n\n\\[x\\]"), formula_cdm=(1.0,))
    bad = replace(score_page(truth, ""), formula_cdm=(0.0,))
    row = next(row for row in omnidocbench.table([good, bad]).rows if row[0] == "overall (1.5)")
    assert row[1] == row[2] == Estimate(50.0, 0.0, 100.0)
    by_language = omnidocbench.language_table([good, bad]).rows
    assert by_language[1][3] == Estimate(0.5, 0.0, 1.0)


def test_an_unknown_version_is_refused():
    with pytest.raises(InputError, match=r"OmniDocBench '2' is unknown; known: 1\.0, 1\.5"):
        score_page(TWO, "", version="2")


def annotation(number: int, category: str, **fields: Any) -> dict[str, Any]:
    return {"anno_id": number, "category_type": category, "order": number, **fields}


def test_the_truth_is_read_from_the_benchmarks_own_file(tmp_path):
    entry = {
        "layout_dets": [
            annotation(1, "text_block", text="It goes "),
            annotation(2, "figure"),
            annotation(3, "text_block", text="on here"),
            annotation(4, "table", html=TABLE, latex="…"),
            annotation(5, "equation_isolated", latex="$$x$$"),
            annotation(6, "text_block", text=" and ends."),
        ],
        "extra": {
            "relation": [
                {"relation_type": "truncated", "source_anno_id": 1, "target_anno_id": 3},
                {"relation_type": "truncated", "source_anno_id": 3, "target_anno_id": 6},
                {"relation_type": "parent_son", "source_anno_id": 1, "target_anno_id": 2},
            ]
        },
        "page_info": {
            "image_path": "images/a.pdf_1.jpg",
            "page_attribute": {"language": "english", "data_source": "book"},
        },
    }
    (tmp_path / "OmniDocBench.json").write_text(json.dumps([entry]))
    (found,) = omnidocbench.read_truth(tmp_path)
    assert (found.image, found.language, found.source) == ("a.pdf_1.jpg", "english", "book")
    assert found.blocks == (
        Block("figure", 2, ""),
        Block("table", 4, TABLE),
        Block("equation_isolated", 5, "$$x$$"),
        Block("text_block", 1, "It goes on here and ends."),
    )


@pytest.mark.parametrize("name", ["a.pdf_1.md", "a_1.mmd", "a_1.md", "a.pdf_1.jpg.md"])
def test_predictions_are_found_under_all_the_benchmarks_names(tmp_path, name):
    (tmp_path / name).write_text("words")
    assert omnidocbench.read_prediction(page(image="a.pdf_1.jpg"), tmp_path) == "words"
    assert omnidocbench.read_prediction(page(image="b.jpg"), tmp_path) is None


def test_a_folder_without_the_benchmark_is_named():
    with pytest.raises(InputError, match="give the folder of OmniDocBench's data"):
        omnidocbench.read_truth(Path("nowhere"))


def written(blocks: list[Block]) -> str:
    return "\n\n".join(block.text for block in blocks)


@given(st.permutations(PARAGRAPHS))
def test_shuffled_blocks_move_only_the_order(shuffled):
    blocks = [text(words, number) for number, words in enumerate(PARAGRAPHS, 1)]
    scores = score_page(page(*blocks, Block("table", 9, TABLE)), "\n\n".join([*shuffled, TABLE]))
    assert (scores.text, scores.table_teds, scores.unmatched) == (0.0, (1.0,), 0.0)
    assert (scores.order == 0.0) == (list(shuffled) == list(PARAGRAPHS))


@given(st.lists(st.text("abcdefghij ", min_size=5, max_size=40).filter(str.strip), min_size=1, max_size=5, unique=True))
def test_the_truth_itself_is_perfect_and_nothing_is_the_worst(paragraphs):
    truth = page(*(text(words, number) for number, words in enumerate(paragraphs, 1)), Block("table", 9, TABLE))
    if len({words.replace(" ", "") for words in paragraphs}) < len(paragraphs):
        return
    for version in omnidocbench.VERSIONS:
        perfect = score_page(truth, written(list(truth.blocks)), version=version)
        assert (perfect.text, perfect.order, perfect.table_teds, perfect.table_edit) == (0.0, 0.0, (1.0,), 0.0)
        worst = score_page(truth, "", version=version)
        assert (worst.text, worst.order, worst.table_teds, worst.table_edit) == (1.0, 1.0, (0.0,), 1.0)


MIXED = (
    *(text(words) for words in PARAGRAPHS),
    Block("equation_isolated", 0, "$$E=mc^2$$"),
    Block("equation_isolated", 0, r"$$\sum_{i=1}^n x_i = y$$"),
    Block("table", 0, TABLE),
    Block("table", 0, "<table><tr><td>one</td></tr><tr><td>two</td></tr></table>"),
)


@settings(max_examples=25)
@given(st.permutations(MIXED), st.permutations(MIXED), st.sampled_from(omnidocbench.VERSIONS))
def test_shuffled_formulas_and_tables_move_only_the_order_as_well(true_order, read_order, version):
    truth = page(*(replace(block, order=number) for number, block in enumerate(true_order, 1)))
    scores = score_page(truth, written(list(read_order)), version=version)
    assert (scores.text, scores.formula, scores.table_edit, scores.unmatched) == (0.0, 0.0, 0.0, 0.0)
    assert scores.table_teds == scores.table_teds_structure == (1.0, 1.0)
    # Only text has an order.
    true_texts, read_texts = (
        [block for block in blocks if block.category == "text_block"] for blocks in (true_order, read_order)
    )
    assert (scores.order == 0.0) == (true_texts == read_texts)


@settings(max_examples=25)
@given(st.lists(st.sampled_from(MIXED), min_size=1, unique=True), st.sampled_from(omnidocbench.VERSIONS))
def test_pages_with_formulas_and_tables_are_perfect_read_whole_and_the_worst_unread(blocks, version):
    truth = page(*(replace(block, order=number) for number, block in enumerate(blocks, 1)))
    categories = {block.category for block in blocks}
    for prediction, distance in ((written(blocks), 0.0), ("", 1.0)):
        scores = score_page(truth, prediction, version=version)
        assert scores.text == (distance if "text_block" in categories else None)
        assert scores.formula == (distance if "equation_isolated" in categories else None)
        assert scores.table_edit == (distance if "table" in categories else None)
        assert set(scores.table_teds) == ({1 - distance} if "table" in categories else set())
