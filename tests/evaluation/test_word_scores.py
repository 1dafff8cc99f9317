"""Words and what is measured on them, against figures worked out by hand."""

from __future__ import annotations

import importlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsocr.evaluation import words
from dsocr.evaluation.words import Overlap, bleu, counted_overlap, distinct_overlap, meteor, split_both

TRUTH = ["the", "cat", "sat", "on", "the", "mat"]
WRITTEN = ["the", "cat", "sat", "on", "a", "hat", "twice"]
SOME_WORDS = st.lists(st.sampled_from(["a", "b", "c", "d", "e", "the", "cat", "sat"]), max_size=12)


def test_precision_is_of_what_was_written_and_recall_is_of_the_truth():
    # 4 distinct words in common; 7 were written, the truth has 5.
    overlap = distinct_overlap(TRUTH, WRITTEN)
    assert overlap == Overlap(precision=4 / 7, recall=4 / 5)
    assert overlap.f_measure == pytest.approx(8 / 12)  # 2 · 4 / (7 + 5)
    assert overlap.swapped == Overlap(precision=4 / 5, recall=4 / 7)


def test_a_loop_costs_no_precision_of_distinct_words_but_of_counted_ones():
    looped = TRUTH + ["cat"] * 94
    assert distinct_overlap(TRUTH, looped) == Overlap(1.0, 1.0)
    assert counted_overlap(TRUTH, looped) == Overlap(precision=6 / 100, recall=1.0)


def test_half_of_the_words_has_half_the_recall():
    assert distinct_overlap(["a", "b", "c", "d"], ["a", "b"]) == Overlap(precision=1.0, recall=0.5)


def test_nothing_written_is_found_in_nothing():
    assert distinct_overlap(TRUTH, []) == Overlap(0.0, 0.0)
    assert distinct_overlap([], []) == Overlap(1.0, 1.0)
    assert Overlap(0.0, 0.0).f_measure == 0.0


def test_bleu_takes_the_truth_for_the_reference():
    truth, written = ["a", "b", "c", "d", "e"], ["a", "b", "c", "d"]
    # All n-grams of what was written are in the truth; it is shorter: e^(1 - 5/4).
    assert bleu(truth, written) == pytest.approx(0.778801, abs=1e-6)
    # The other way round: (4/5 · 3/4 · 2/3 · 1/2)^(1/4) = 0.2^(1/4), and it is not shorter.
    assert bleu(written, truth) == pytest.approx(0.668740, abs=1e-6)


def test_bleu_of_no_four_words_in_a_row_is_almost_nothing_and_warns_of_nothing():
    assert bleu(["a", "b", "c", "d"], ["d", "c", "b", "a"]) < 1e-50
    assert bleu(TRUTH, []) == 0.0


def test_meteor_weighs_recall_nine_times():
    truth, written = ["a", "b", "c", "d", "e"], ["a", "b", "c", "d"]
    # P = 1, R = 4/5: F = 0.8 / (0.9 · 1 + 0.1 · 0.8); one run of 4 words: 1 - 0.5 / 4³.
    assert meteor(truth, written, synonyms=False) == pytest.approx(0.809949, abs=1e-6)
    # P = 4/5, R = 1: F = 0.8 / (0.9 · 0.8 + 0.1 · 1).
    assert meteor(written, truth, synonyms=False) == pytest.approx(0.967988, abs=1e-6)


def test_meteor_knows_stems():
    assert meteor(["cats"], ["cat"], synonyms=False) == 0.5  # F = 1, one run of one word: 1 - 0.5


def test_meteor_knows_synonyms():
    if words._wordnet() is None:
        pytest.skip("WordNet is not on this machine")
    truth, written = split_both("the doctor bought a car today", "the physician bought an automobile today")
    # A doctor is a physician; but automobile has become the stem automobil, which WordNet does not know. 4 of 6 words
    # agree in two runs: F = 4/6, 1 - 0.5 · (2/4)³.
    assert meteor(truth, written, synonyms=True) == pytest.approx(0.625)
    # Without: 3 of 6 in three runs.
    assert meteor(truth, written, synonyms=False) == pytest.approx(0.25)


@pytest.fixture
def wordnet_from(monkeypatch):
    """`wordnet_from(folders)`: WordNet is looked for in those folders and nowhere else."""
    nltk, corpora = importlib.import_module("nltk"), importlib.import_module("nltk.corpus")

    def look_anew() -> None:
        importlib.reload(corpora)  # which had found it, or not
        words._wordnet.cache_clear()

    def look_in(folders: list[str]) -> None:
        monkeypatch.setattr(nltk.data, "path", folders)
        look_anew()

    yield look_in
    monkeypatch.undo()
    look_anew()


def test_without_wordnet_or_with_a_part_of_it_there_is_no_meteor_with_synonyms(tmp_path, wordnet_from):
    (tmp_path / "corpora" / "wordnet").mkdir(parents=True)
    (tmp_path / "corpora" / "wordnet" / "lexnames").write_text("00\tadj.all\t3\n")
    (tmp_path / "other" / "corpora" / "wordnet").mkdir(parents=True)
    (tmp_path / "other" / "corpora" / "wordnet" / "lexnames").write_text("00\tadj.all\n")
    for folders in ([], [str(tmp_path)], [str(tmp_path / "other")]):
        wordnet_from(folders)
        assert meteor(["a", "b"], ["a"], synonyms=True) is None


def test_chinese_words_are_told_by_their_dictionary():
    truth, written = split_both("深度学习模型", "深度学习 model")
    assert truth == ["深度", "学习", "模型"]
    assert written == ["深度", "学习", " ", "model"]
    assert split_both("no Chinese here", "a  b")[1] == ["a", "b"]


@given(SOME_WORDS)
def test_the_truth_itself_is_perfect(text):
    assert distinct_overlap(text, text) == counted_overlap(text, text) == Overlap(1.0, 1.0)


@given(SOME_WORDS, SOME_WORDS)
def test_the_other_way_round_precision_is_recall(first, second):
    assert counted_overlap(first, second) == counted_overlap(second, first).swapped
