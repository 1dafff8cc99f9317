"""Tables as GFM writes them, and left alone where it cannot."""

from __future__ import annotations

from hypothesis import given
from markdown_it import MarkdownIt
from test_tables import table_texts

from dsocr.document import to_gfm
from dsocr.document.tables import read_table

READER = MarkdownIt("commonmark").enable("table")


def gfm(source: str) -> str | None:
    return to_gfm(read_table(source))


def test_the_first_row_is_the_head_and_spans_leave_empty_cells():
    source = "<table><tr><td colspan=2>a</td><td>b</td></tr><tr><td rowspan=2>c<td>d<td>e<tr><td>f</table>"
    assert gfm(source).splitlines() == ["| a |  | b |", "| --- | --- | --- |", "| c | d | e |", "|  | f |"]


def test_a_short_head_is_as_wide_as_the_table():
    assert gfm("<table><tr><td>a<tr><td>b<td>c</table>").splitlines()[:2] == ["| a |  |", "| --- | --- |"]


def test_bars_and_line_ends_do_not_break_a_row():
    assert gfm("<table><td>a|b\n\nc<br>d</td><td>\\(\\|x\\|\\)</table>").splitlines()[0] == (
        r"| a\|b c<br>d | \(\Vert x\Vert \) |"
    )


def test_what_the_model_wrote_in_a_cell_stays_as_it_is():
    assert gfm("<table><td>-6 &lt; 0<td><b>x</b></table>").startswith("| -6 &lt; 0 | <b>x</b> |\n")


def test_a_caption_stands_above():
    assert gfm("<table><caption>Table 1</caption><td>a</table>").splitlines()[:3] == ["Table 1", "", "| a |"]


def test_a_table_in_a_cell_and_one_without_cells_are_not_for_gfm():
    assert gfm("<table><td><table><td>a</table></table>") is None
    assert gfm("<table>words</table>") is None


@given(table_texts)
def test_a_reader_of_gfm_sees_as_many_rows_and_columns(text):
    table = read_table(f"<table>{text}")
    lines = to_gfm(table)
    if lines and not table.caption:
        kinds = [token.type for token in READER.parse(lines)]
        assert kinds.count("tr_open") == len(table.rows)
        assert kinds.count("th_open") == table.width
