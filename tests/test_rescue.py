"""A page that repeated itself: what is tried, in which order, and what it comes to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from dsocr.document.blocks import GRID
from dsocr.document.grounding import parse
from dsocr.engine.request import Sampling
from dsocr.pages import MODES, Page, get_mode
from dsocr.rescue import TEXT_LAYER, UNSURE, Said, Surest, climb, emptiest_row, follow, look_again, place

PAGE = Page("scan.png", 1, Image.new("RGB", (400, 600), "white"))
LOOP = Said("again and again", whole=False)


def rescued(answers, page=PAGE, mode="gundam", sampling=None):
    """What the page comes to when the attempts are answered so, and what was asked; loops after the last answer."""
    asked, left = [], iter(answers)

    def ask(attempt):
        asked.append(attempt)
        return next(left, LOOP)

    return follow(climb(page, "Good. ", get_mode(mode), sampling or Sampling()), ask), asked


def test_the_first_attempt_goes_on_from_the_good_text_with_a_stricter_rule():
    result, asked = rescued([Said("The end.", whole=True)])
    assert (result.text, result.attempts) == ("Good. The end.", 2)
    assert asked[0].begun == "Good. "
    assert asked[0].sampling.ngram_size < Sampling().ngram_size
    assert asked[0].sampling.ngram_window > Sampling().ngram_window


def test_then_another_mode_is_tried_from_the_beginning():
    result, asked = rescued([LOOP, Said("All of it.", whole=True)])
    assert result.text == "All of it."
    assert result.how == "read again in mode base"
    assert asked[1].begun == ""


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_has_another(mode):
    _, asked = rescued([], mode=mode)
    assert asked[1].mode.name != mode


def test_then_halves_whose_boxes_are_those_of_the_page():
    half = "<|ref|>text<|/ref|><|det|>[[0, 0, 999, 999]]<|/det|>\nHalf."
    result, asked = rescued([LOOP, LOOP, Said(half, whole=True), Said(half, whole=True)])
    assert [attempt.image.size for attempt in asked[2:]] == [(400, 300), (400, 300)]
    top, bottom = (block.boxes[0] for block in parse(result.text))
    assert (top.top, top.bottom, bottom.top, bottom.bottom) == (0, 500, 500, 999)
    assert result.attempts == 5


def test_a_half_that_loops_too_costs_no_second_half():
    _, asked = rescued([LOOP, LOOP, LOOP, Said("By chance.", whole=True)])
    assert asked[3].sampling.temperature > 0


def test_the_text_layer_comes_last_and_is_marked():
    page = Page("paper.pdf", 1, PAGE.image, text="The layer.")
    result, asked = rescued([], page)
    assert (result.text, result.how) == ("The layer.", TEXT_LAYER)
    assert len(asked) == result.attempts - 1


def test_what_cannot_be_rescued_keeps_the_good_text():
    result, _ = rescued([])
    assert (result.text, result.how) == ("Good. ", None)


def test_who_asked_for_chance_gets_no_more_of_it():
    _, asked = rescued([], sampling=Sampling(temperature=0.7))
    assert {attempt.sampling.temperature for attempt in asked} == {0.7}


def test_a_page_is_cut_between_its_lines():
    page = Image.new("RGB", (400, 600), "white")
    draw = ImageDraw.Draw(page)
    for line in range(20):
        draw.text((20, 10 + 29 * line), "a line of print " * 4, fill="black", font_size=18)
    row = np.asarray(page.convert("L"))[emptiest_row(page)]
    assert row.min() == row.max()


@given(st.floats(0, 0.9), st.integers(0, GRID), st.integers(0, GRID))
def test_boxes_of_a_part_stay_inside_it(top, first, last):
    [block] = parse(place(f"<|ref|>text<|/ref|><|det|>[[1, {first}, 2, {last}]]<|/det|>x", top, top + 0.1))
    assert round(GRID * top) - 1 <= block.boxes[0].top <= round(GRID * (top + 0.1)) + 1
    assert (block.boxes[0].left, block.boxes[0].right) == (1, 2)


def looked_at_again(*came, first=0.5):
    """What a page comes to whose further attempts bring these, and the sizes it was shown in."""
    ladder, sizes = look_again(PAGE, "first", first, MODES["base"], Sampling()), []

    def ask(attempt):
        sizes.append(attempt.image.size)
        assert (attempt.mode, attempt.begun) == (MODES["base"], "")
        return came[len(sizes) - 1]

    return follow(ladder, ask), sizes


def test_of_a_page_that_is_read_with_little_confidence_the_surest_text_is_taken():
    best, sizes = looked_at_again(Said("second", True, 0.6), Said("third", True, 0.4), Said("fourth", True, 0.55))
    assert best == Surest("second", 0.6, 4)
    wide, high = PAGE.size
    assert sizes == [(wide, round(0.94 * high)), (round(0.94 * wide), high), (wide, round(0.9 * high))]


def test_the_first_text_that_is_sure_enough_ends_it():
    best, sizes = looked_at_again(Said("second", True, 0.7), Said("third", True, UNSURE), Said("fourth", True, 0.99))
    assert (best, len(sizes)) == (Surest("third", UNSURE, 3), 2)


def test_what_is_no_whole_text_is_never_the_surest():
    best, _ = looked_at_again(Said("whole", False, 0.8), Said("whole", True, None), Said("fi", True, 0.95))
    assert best == Surest("first", 0.5, 4)
