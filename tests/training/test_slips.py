"""What was written may be wrong; what comes next on the page is always right."""

from __future__ import annotations

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dsocr.training.slips import slip, truthful

TEXT = [ord(letter) for letter in "the tide table of the harbour office, from May to June"]
WORDS = [[ord(letter) for letter in word] for word in ("quay", "lighthouse")]
SPACE = ord(" ")


def written(seed: int, corrupted: float = 0.0, slips: float = 0.0, text=TEXT):
    return slip(random.Random(seed), text, WORDS, SPACE, corrupted, slips)


def test_without_slips_it_is_the_text():
    assert written(0) == truthful(TEXT)
    assert truthful(TEXT).following == list(range(1, len(TEXT) + 1))


@given(st.integers(0, 10**6), st.floats(0, 0.2), st.floats(0, 0.05))
def test_each_id_is_followed_by_a_place_in_the_text_and_the_last_by_its_end(seed, corrupted, slips):
    page = written(seed, corrupted, slips)
    assert len(page.ids) == len(page.following)
    assert all(place is None or 0 <= place <= len(TEXT) for place in page.following)
    assert page.following[-1] == len(TEXT)


def test_wrong_characters_keep_their_places():
    page = written(1, corrupted=0.5)
    assert page.following == truthful(TEXT).following
    assert 5 < sum(read != true for read, true in zip(page.ids, TEXT, strict=True)) < 40


def test_whoever_slips_goes_on_from_where_it_is():
    """Where an id is the one that stands before the next place, it was read there; else it was put in or is no word."""
    text = TEXT * 40
    page = written(2, slips=0.02, text=text)
    read = [
        place is not None and place and text[place - 1] == id
        for id, place in zip(page.ids, page.following, strict=True)
    ]
    assert 0.8 < sum(read) / len(read) < 0.99
    steps = {after - before for before, after in pairwise(page.following) if None not in (before, after)}
    assert {0, 1, 2} <= steps
    assert max(steps) > 2
    assert min(steps) < 0


def test_within_a_word_that_is_not_there_nothing_comes_next():
    text = TEXT * 40
    page = written(3, slips=0.05, text=text)
    unknown = [index for index, place in enumerate(page.following) if place is None]
    assert unknown
    end = next(index for index in range(unknown[0], len(text)) if page.following[index] is not None)
    assert page.ids[unknown[0] : end + 1] in WORDS
    assert text[page.following[end]] == SPACE
