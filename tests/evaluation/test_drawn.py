"""Drawn pages show what they claim, where they claim it, and come again from their seed."""

from __future__ import annotations

import random

import numpy as np
import pytest
from drawn_sets import small_set
from hypothesis import given, settings
from hypothesis import strategies as st

from dsocr.evaluation.drawn.letters import LETTERS
from dsocr.evaluation.drawn.pages import FORMULA, KINDS, TABLE, Run, Words, draw_page, draw_text, latex, table_html

seeds = st.integers(0, 2**32)
kinds = st.sampled_from(list(KINDS))


@settings(max_examples=25)
@given(kinds, seeds)
def test_every_piece_has_ink_and_lies_on_the_page(kind, seed):
    page = draw_page(random.Random(seed), Words(LETTERS), kind)
    grey = np.asarray(page.image.convert("L"))
    for piece in page.pieces:
        left, top, right, bottom = piece.box
        assert 0 <= left < right <= page.image.width
        assert 0 <= top < bottom <= page.image.height
        assert grey[top:bottom, left:right].min() < 100


@settings(max_examples=25)
@given(kinds, seeds)
def test_there_is_no_ink_outside_the_pieces(kind, seed):
    page = draw_page(random.Random(seed), Words(LETTERS), kind)
    grey = np.array(page.image.convert("L"))
    for left, top, right, bottom in (piece.box for piece in page.pieces):
        grey[max(0, top - 4) : bottom + 8, max(0, left - 4) : right + 8] = 255  # tails of letters, ends of rules
    assert grey.min() > 200


def test_the_same_seed_draws_the_same_pages():
    first, second = small_set(seed=5), small_set(seed=5)
    assert [page.text for page in first] == [page.text for page in second]
    assert all(a.image.tobytes() == b.image.tobytes() for a, b in zip(first, second, strict=True))


def test_the_kinds_come_in_turn():
    assert [page.kind for page in small_set(len(KINDS) + 1)] == [*KINDS, next(iter(KINDS))]


def test_there_are_tables_and_formulas_among_them():
    found = {piece.kind for page in small_set() for piece in page.pieces}
    assert {TABLE, FORMULA} <= found


def test_raised_and_lowered_letters_are_written_as_latex():
    assert latex((Run("E = mc"), Run("2", 1), Run(" + x"), Run("i", -1))) == "E = mc^{2} + x_{i}"


def test_cells_are_escaped_in_a_table():
    assert table_html([["a<b", "&"]]) == "<table><tr><td>a&lt;b</td><td>&amp;</td></tr></table>"


@pytest.mark.parametrize(("count", "fits"), [(3, True), (3000, False)])
def test_a_text_is_drawn_only_where_it_fits(count, fits):
    assert (draw_text("word " * count, (320, 320), 20) is not None) == fits


@given(seeds, st.integers(1, 3000))
def test_words_come_in_the_order_of_the_prose_from_a_sentence_on(seed, count):
    words = Words("One two. Three four five! Six.")
    found = words.from_sentence(random.Random(seed), count)
    ring = ["One", "two.", "Three", "four", "five!", "Six."]
    start = ring.index(found[0])
    assert found[0] in ("One", "Three", "Six.")
    assert found == [ring[(start + index) % len(ring)] for index in range(count)]
