"""The curve is drawn from pages of known length, each read in each mode and compared with its own text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsocr.errors import InputError
from dsocr.evaluation.compression import LARGEST_PRINT, draw_sheets, read_sheets, report
from dsocr.evaluation.drawn.letters import LETTERS
from dsocr.evaluation.report.table import to_rows
from dsocr.evaluation.trial import TokenCounter
from dsocr.ocr import Options, load

COUNTER = TokenCounter("its characters", len)
WORDS = TokenCounter("its words", lambda text: len(text.split()))


def quiet(_: str) -> None:
    pass


@settings(max_examples=20)
@given(st.integers(20, 900), st.integers(0, 2**32))
def test_a_page_has_as_many_tokens_as_were_asked_for_or_a_word_less(tokens, seed):
    (sheet,) = draw_sheets(LETTERS, COUNTER, [tokens], each=1, seed=seed)
    assert tokens - 20 < sheet.tokens <= tokens
    assert COUNTER.count(sheet.text) == sheet.tokens


def test_print_is_as_large_as_fits():
    few, many = draw_sheets(LETTERS, COUNTER, [100, 1200], each=1)
    assert few.print_px == LARGEST_PRINT
    assert many.print_px < LARGEST_PRINT
    assert few.image.size == many.image.size


def test_tokens_are_those_of_the_model():
    (sheet,) = draw_sheets(LETTERS, WORDS, [40], each=1)
    assert len(sheet.text.split()) == 40


def test_a_text_that_does_not_fit_is_one_clear_line():
    with pytest.raises(InputError, match=r"1200 text tokens do not fit on a page of 100x100 .* larger --size"):
        draw_sheets(LETTERS, COUNTER, [1200], size=(100, 100))


def test_prose_that_is_too_short_is_one_clear_line():
    with pytest.raises(InputError, match="fewer than 50 tokens"):
        draw_sheets("A short text.", COUNTER, [50])


def test_what_is_read_right_scores_everything_and_what_is_not_nothing(checkpoint, dictate):
    sheets = draw_sheets(LETTERS, COUNTER, [50, 100], each=1)
    dictate("\n".join(sheets[0].text.split()), "~")
    pages = read_sheets(load(checkpoint), sheets, [Options("tiny", "free")], quiet)
    assert pages[0].values == (1.0, 1.0, 1.0)
    assert max(pages[1].values) < 0.02
    assert [page.ratio for page in pages] == [sheet.tokens / 64 for sheet in sheets]


def test_the_report_has_a_row_for_each_length_and_mode(checkpoint, dictate):
    sheets = draw_sheets(LETTERS, COUNTER, [100, 50], each=2)
    dictate("text")
    pages = read_sheets(load(checkpoint), sheets, [Options("tiny", "free"), Options("small", "free")], quiet)
    table = report(pages, sheets, COUNTER, ()).sections[0].tables[0]
    rows = [(row["asked tokens"], row["mode"], row["pages"]) for row in to_rows(table)]
    assert rows == [("50", "tiny", 2), ("50", "small", 2), ("100", "tiny", 2), ("100", "small", 2)]
