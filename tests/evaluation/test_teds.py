"""Likeness of tables, against figures worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsocr.evaluation.omnidocbench.normal_forms import table
from dsocr.evaluation.omnidocbench.teds import teds, teds_structure

CELLS = st.lists(st.lists(st.text("abc 1", max_size=4), min_size=1, max_size=3), min_size=1, max_size=3)


def written(rows: list[list[str]]) -> str:
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return table(f"<table>{lines}</table>")


def test_a_wrong_cell_costs_what_is_wrong_in_it():
    # tr, td, td: three tags; "bc" for "bd" is half a cell.
    assert teds(written([["a", "bc"]]), written([["a", "bd"]])) == pytest.approx(1 - 0.5 / 3)
    assert teds_structure(written([["a", "bc"]]), written([["a", "bd"]])) == 1.0


def test_a_missing_cell_is_one_edit_of_the_larger_table():
    # The truth has 2 tr and 4 td, six tags; one td is inserted.
    assert teds(written([["a", "b"], ["c", "d"]]), written([["a", "b"], ["c"]])) == pytest.approx(1 - 1 / 6)


def test_another_span_is_another_cell():
    wide = table('<table><tr><td colspan="2">a</td></tr></table>')
    assert teds(wide, written([["a"]])) == pytest.approx(1 - 1 / 2)
    assert teds_structure(wide, written([["a"]])) == pytest.approx(1 - 1 / 2)


def test_tags_in_a_cell_are_signs_of_it():
    # <b>, a, </b> against a: two of three; and the b is a third tag of the table.
    bold = table("<table><tr><td><b>a</b></td></tr></table>")
    assert teds(bold, written([["a"]])) == pytest.approx(1 - (2 / 3) / 3)


def test_what_is_no_table_scores_nothing():
    assert teds(written([["a"]]), "") == 0.0
    assert teds(written([["a"]]), "<p>a</p>") == 0.0
    assert teds(written([["a"]]), "<!-- -->") == 0.0


def test_tables_with_nothing_in_common_can_come_out_below_nothing():
    # Six tags against four. One row and one cell kept, the cell renamed, two of each deleted, two cells inserted: seven.
    tall, wide = written([["a"], ["b"], ["c"]]), written([["x", "y", "z"]])
    assert teds(tall, wide) == pytest.approx(1 - 7 / 6)


@given(CELLS)
def test_a_table_is_like_itself(rows):
    assert teds(written(rows), written(rows)) == teds_structure(written(rows), written(rows)) == 1.0


@given(CELLS, CELLS)
def test_it_is_the_same_both_ways_and_never_above_one(first, second):
    likeness = teds(written(first), written(second))
    assert likeness == pytest.approx(teds(written(second), written(first)))
    assert likeness <= 1.0
