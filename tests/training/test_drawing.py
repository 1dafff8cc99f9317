"""Drawn pages show the text they claim, where they claim it."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsocr.errors import InputError
from dsocr.training.drawing import Drawn, draw_dense, draw_note, find_fonts, open_face, wrap
from dsocr.training.text import ALPHABET, clean_sentences, collect_text

try:
    FONTS = find_fonts()
except InputError as error:
    pytest.skip(str(error), allow_module_level=True)
seeds = st.integers(0, 2**32)


def note(seed: int, **options: float) -> Drawn:
    return draw_note(random.Random(seed), collect_text(), FONTS, width=400, height=320, size=_size(seed), **options)


def _size(seed: int) -> int:
    return random.Random(seed).randint(12, 40)


@settings(deadline=None, max_examples=40)
@given(seeds)
def test_every_character_of_a_note_stands_on_the_page(seed: int) -> None:
    drawn = note(seed, heading=0.5, paragraphs=0.5)
    assert drawn.image.shape == (320, 400)
    assert drawn.image.dtype == np.uint8
    assert drawn.centres.shape == (len(drawn.text), 2)
    assert drawn.centres.dtype == np.float32
    assert (drawn.centres >= 0).all()
    assert (drawn.centres < (400, 320)).all()
    assert drawn.text == drawn.text.strip()
    assert set(drawn.text) <= set(ALPHABET + "\n")


@settings(deadline=None, max_examples=20)
@given(seeds)
def test_a_dense_canvas_has_text_in_every_corner(seed: int) -> None:
    drawn = draw_dense(random.Random(seed), collect_text(), FONTS, width=160, height=120, size=16)
    assert drawn.centres.shape == (len(drawn.text), 2)
    assert "\n" not in drawn.text
    assert drawn.centres.min(axis=0).max() < 30
    assert (drawn.centres.max(axis=0) > (130, 90)).all()


@settings(deadline=None, max_examples=20)
@given(seeds)
def test_ink_lies_around_the_centre_of_every_letter(seed: int) -> None:
    drawn = note(seed, noise=0.0, inverted=0.0)
    # The middle of a large Q is as empty as the paper.
    width, height = max(6, _size(seed) // 3), max(8, _size(seed) // 2)
    for character, (x, y) in zip(drawn.text, drawn.centres.astype(int), strict=True):
        if character.isalnum():
            assert drawn.image[max(0, y - height) : y + height, max(0, x - width) : x + width].min() < 200


def test_the_same_seed_draws_the_same_page() -> None:
    first, second = note(7, noise=1.0), note(7, noise=1.0)
    assert first.text == second.text
    assert (first.image == second.image).all()
    assert (first.centres == second.centres).all()


@pytest.mark.parametrize("name", list(FONTS))
def test_every_line_fits_the_width_and_edges_are_those_of_the_font(name: str) -> None:
    face = open_face(FONTS[name], 21)
    for line in wrap(collect_text().mixture(random.Random(3), 300) + " " + "wide" * 40, face, 200):
        assert face.font.getlength(line) <= 202
        # Kerning moves a character only once another follows, and a ligature is narrower than its letters.
        exact = [face.font.getlength(line[:end]) for end in range(len(line) + 1)]
        assert exact[-1] == pytest.approx(face.edges(line)[-1], abs=0.1 * 21)
        assert np.abs(np.subtract(exact, face.edges(line))).max() < 0.3 * 21


def test_code_and_markup_do_not_become_sentences() -> None:
    text = "Use ``repr`` for the *second* value here.\n\n>>> print('This is not a plain sentence.')\n\nTitle\n=====\n"
    assert clean_sentences(text) == ["Use repr for the second value here."]


def test_an_unknown_kind_of_text_is_named() -> None:
    with pytest.raises(InputError, match="poems"):
        collect_text().mixture(random.Random(0), 20, {"poems": 1.0})
