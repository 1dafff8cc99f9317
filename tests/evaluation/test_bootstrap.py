"""Intervals of means: the same for the same seed, and about as wide as theory has them."""

from __future__ import annotations

import math

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsocr.evaluation.report import bootstrap
from dsocr.evaluation.report.table import Estimate


def test_equal_values_have_no_width():
    assert bootstrap.mean([0.5] * 8) == Estimate(0.5, 0.5, 0.5)


def test_of_nothing_there_is_no_mean():
    assert bootstrap.mean([]) is None
    assert bootstrap.macro_mean([[], []]) is None


def test_the_same_seed_gives_the_same_interval():
    values = list(numpy.random.default_rng(1).random(50))
    assert bootstrap.mean(values, seed=3) == bootstrap.mean(values, seed=3)
    assert bootstrap.mean(values, seed=3) != bootstrap.mean(values, seed=4)


def test_the_interval_is_about_two_standard_errors_to_each_side():
    values = numpy.random.default_rng(0).normal(size=400)
    estimate = bootstrap.mean(list(values))
    assert estimate is not None
    error = values.std() / math.sqrt(len(values))
    assert estimate.value - estimate.low == pytest.approx(1.96 * error, rel=0.15)
    assert estimate.high - estimate.value == pytest.approx(1.96 * error, rel=0.15)


def test_every_group_counts_alike():
    estimate = bootstrap.macro_mean([[1.0] * 99, [0.0]])
    assert estimate is not None
    assert estimate.value == 0.5


def test_parts_count_alike_and_each_is_a_mean_over_the_pages_that_have_it():
    estimate = bootstrap.mean_of_parts([(1.0, None), (0.0, None), (None, 0.0)])
    assert estimate is not None
    assert estimate.value == 0.25


def test_a_part_that_no_page_has_leaves_no_mean():
    assert bootstrap.mean_of_parts([(1.0, None), (0.5, None)]) is None
    assert bootstrap.mean_of_parts([]) is None


def test_pages_are_drawn_again_with_all_their_parts():
    # The parts of a page cancel out: drawn apart, their mean would not always be the same.
    values = numpy.random.default_rng(0).random(30)
    estimate = bootstrap.mean_of_parts([(value, 1 - value) for value in values])
    assert estimate is not None
    assert (estimate.low, estimate.high) == pytest.approx((0.5, 0.5))


def test_one_part_has_the_interval_of_a_mean():
    values = list(numpy.random.default_rng(0).random(60))
    alone, part = bootstrap.mean(values), bootstrap.mean_of_parts([(value,) for value in values])
    assert alone is not None
    assert part is not None
    assert (part.value, part.low, part.high) == pytest.approx((alone.value, alone.low, alone.high), abs=0.01)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_the_mean_lies_in_its_interval_and_that_among_the_values(values):
    estimate = bootstrap.mean(values)
    assert estimate is not None
    assert min(values) - 1e-9 <= estimate.low <= estimate.high <= max(values) + 1e-9
    assert estimate.value == pytest.approx(sum(values) / len(values))
