"""Edit distance, against figures worked out by hand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dsocr.evaluation.edit import distance, normalised


def test_the_fewest_edits():
    assert distance("kitten", "sitting") == 3  # k-s, e-i, +g
    assert normalised("kitten", "sitting") == 3 / 7
    assert distance([1, 2, 3], [1, 3, 2]) == 2


def test_nothing_is_as_far_as_can_be():
    assert normalised("", "abc") == 1.0
    assert normalised("", "") == 0.0


@given(st.text(max_size=20), st.text(max_size=20))
def test_it_is_the_same_both_ways_and_nothing_only_for_equals(first, second):
    assert normalised(first, second) == normalised(second, first)
    assert (distance(first, second) == 0) == (first == second)
