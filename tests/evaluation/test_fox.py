"""Fox scored as its script prints it and as it is meant, against figures worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsocr.errors import InputError
from dsocr.evaluation import fox
from dsocr.evaluation.report.table import Estimate

TEXTS = st.lists(st.sampled_from(["a", "b", "c", "the", "cat", "sat"]), min_size=4, max_size=12).map(" ".join)


def page(truth: str, image: str = "en_1.png") -> fox.Page:
    return fox.Page(image, Path("en_pdf_png") / image, "OCR:", truth, "en")


def test_the_published_script_calls_recall_precision():
    # Half of the words are missing; what is there is right.
    scores = fox.score(page("a b c d"), "a b")
    assert scores.as_published is not None
    assert (scores.corrected.precision, scores.corrected.recall) == (1.0, 0.5)
    assert (scores.as_published.precision, scores.as_published.recall) == (0.5, 1.0)


def test_invented_words_leave_the_published_precision_perfect():
    scores = fox.score(page("a b c d"), "a b c d w x y z")
    assert scores.as_published is not None
    assert (scores.corrected.precision, scores.as_published.precision) == (0.5, 1.0)


def test_every_measure_to_the_digit():
    scores = fox.score(page("a b c d e"), "a b c d")
    assert scores.as_published is not None
    published, corrected = scores.as_published, scores.corrected
    # F = 2 · 4 / (5 + 4) and "a b c d" lacks two of nine characters: the same both ways.
    assert published.f_measure == corrected.f_measure == pytest.approx(8 / 9)
    assert published.edit_distance == corrected.edit_distance == pytest.approx(2 / 9)
    # BLEU and METEOR are worked out in test_words.py.
    assert (published.bleu, corrected.bleu) == pytest.approx((0.668740, 0.778801), abs=1e-6)
    assert published.meteor_without_synonyms == pytest.approx(0.967988, abs=1e-6)
    assert corrected.meteor_without_synonyms == pytest.approx(0.809949, abs=1e-6)


def test_a_page_without_an_answer_scores_nothing_and_is_not_counted_as_published():
    for prediction in (None, ""):
        scores = fox.score(page("a b c d"), prediction)
        assert scores.as_published is None
        assert scores.corrected.f_measure == scores.corrected.bleu == scores.corrected.meteor_without_synonyms == 0.0
        assert scores.corrected.edit_distance == 1.0


def test_the_table_stands_both_beside_each_other():
    scores = [fox.score(page("a b c d"), "a b"), fox.score(page("a b c d"), None)]
    rows = {row[0]: row[1:] for row in fox.table(scores).rows}
    published, corrected = rows["precision"]
    assert published == Estimate(0.5, 0.5, 0.5)
    assert isinstance(corrected, Estimate)
    assert corrected.value == 0.5  # 1.0 and nothing
    assert isinstance(rows["recall"][1], Estimate)
    assert rows["recall"][1].value == 0.25  # 0.5 and nothing
    assert "1 pages without an answer" in fox.table(scores).note


def test_the_truth_is_read_from_the_benchmarks_own_files(tmp_path):
    turns = [{"from": "human", "value": "OCR:"}, {"from": "gpt", "value": "深度学习"}]
    (tmp_path / "cn_page_ocr.json").write_text(json.dumps([{"image": "cn_1.png", "conversations": turns}]))
    (found,) = fox.read_truth(tmp_path)
    assert found == fox.Page("cn_1.png", tmp_path / "cn_pdf_png" / "cn_1.png", "OCR:", "深度学习", "cn")


def test_predictions_are_called_as_their_pictures(tmp_path):
    (tmp_path / "en_1.md").write_text("words")
    assert fox.read_prediction(page("a"), tmp_path) == "words"
    assert fox.read_prediction(page("a", "en_2.png"), tmp_path) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "this is no JSON"),
        ("{}", "this is no list of pages"),
        ('[{"image": 1}]', 'page 1: "image" is not a text'),
        ('[{"image": "a.png", "conversations": []}]', 'page 1: "conversations" is not a list of objects'),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, content, message):
    (tmp_path / "en_page_ocr.json").write_text(content)
    with pytest.raises(InputError) as caught:
        fox.read_truth(tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_without_the_benchmark_is_named(tmp_path):
    with pytest.raises(InputError, match="give the folder of Fox's data"):
        fox.read_truth(tmp_path)


@given(TEXTS)
def test_the_truth_itself_is_perfect(text):
    scores = fox.score(page(text), text)
    assert scores.corrected == scores.as_published
    assert scores.corrected.precision == scores.corrected.recall == scores.corrected.f_measure == 1.0
    assert scores.corrected.bleu == pytest.approx(1.0)
    assert scores.corrected.edit_distance == 0.0
    # METEOR's own penalty for the one run in which all n words stand.
    assert scores.corrected.meteor_without_synonyms == pytest.approx(1 - 0.5 / len(text.split()) ** 3)
