"""The model's tables are read whatever is left out, nothing written is lost, and no span costs anything."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from written_pages import cut_text, model_texts

from dsocr.document import Cell, Table, split_tables
from dsocr.document.tables import MAX_PLACES, TableParser, read_table, write_table

TAGS = ["<table>", "</table>", "<tr>", "</tr>", "<td>", "</td>", "<th>", "<thead>", "</thead>", "<tbody>", "<caption>"]
SPANS = ["<td colspan=2>", '<td rowspan="3">', "<td rowspan=999999999 colspan=999999999>", "<td colspan=0>", "<TD>"]
OTHERS = ["<br>", "<b>", "a < b", "&lt;", "words", " ", "\n", "<tablex>", "<ta", "<td", "漢", "\ud800"]
table_texts = st.lists(st.sampled_from(TAGS + SPANS + OTHERS), max_size=30).map("".join)


def rows_of(source: str) -> list[list[str]]:
    return [[cell.text for cell in row] for row in read_table(source).rows]


def sources(pieces: list[Table | str]) -> str:
    return "".join(piece if isinstance(piece, str) else piece.source for piece in pieces)


def joined(pieces: list[Table | str]) -> list[Table | str]:
    """Neighbouring texts as one."""
    whole: list[Table | str] = []
    for piece in pieces:
        if whole and isinstance(piece, str) and isinstance(whole[-1], str):
            whole[-1] += piece
        else:
            whole.append(piece)
    return whole


def test_a_table_is_found_between_the_words_around_it():
    before, table, after = split_tables("see <table><tr><td>1</td><td>2</td></tr></table> below")
    assert (before, after) == ("see ", " below")
    assert table.rows == ((Cell("1"), Cell("2")),)


@pytest.mark.parametrize(
    "source",
    [
        "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>",
        "<table><tr><td>a<td>b<tr><td>c",
        "<table><td>a</td><td>b</td></tr><td>c</td></table>",
        "<TABLE border=1><TBODY><TR><TD>a</TD>\n<TD>b</TD></TR>\n<TR><TD>c</TD></TR></TBODY></TABLE>",
    ],
)
def test_tags_that_are_left_out_change_nothing(source):
    assert rows_of(source) == [["a", "b"], ["c"]]


def test_spans_and_heads_are_read():
    ((head, other),) = read_table('<table><thead><tr><td colspan=\\"2\\">a</td><th rowspan=1>b</th></tr></thead>').rows
    assert head == Cell("a", columns=2, header=True)
    assert other == Cell("b", header=True)


def test_a_cell_says_its_words_as_a_reader_sees_them():
    assert rows_of("<table><td>x &lt; y &amp;\n  z<br>second <b>line</b></td>") == [["x < y & z\nsecond <b>line</b>"]]


def test_a_table_in_a_cell_is_text_of_that_cell_line_by_line():
    table = read_table("<table><td>a<table><tr><td>b</td><td>c</td></tr><tr><td>d</td></tr></table>e</td><td>f</table>")
    assert table.nested
    assert [cell.text for cell in table.rows[0]] == ["a\nb c\nd\ne", "f"]


def test_words_outside_of_all_cells_are_the_caption():
    table = read_table("<table><caption>Table 1</caption> of <tr>two<td>a</td></tr></table>")
    assert (table.caption, len(table.rows)) == ("Table 1 of two", 1)


def test_every_cell_stands_in_its_column():
    table = read_table("<table><tr><td rowspan=2>a<td colspan=2>b<tr><td>c<td rowspan=5>d<tr><td>e<td>f<td>g</table>")
    grid = [[cell.text if cell else None for cell in row] for row in table.grid()]
    assert grid == [["a", "b", None], [None, "c", "d"], ["e", "f", None, "g"]]
    assert table.width == 4


@given(table_texts)
def test_every_character_of_a_text_is_in_its_pieces(text):
    assert sources(split_tables(text)) == text


@given(st.one_of(table_texts, model_texts), st.lists(st.integers(0, 300)))
def test_tables_that_arrive_in_pieces_are_the_same(text, cuts):
    parser = TableParser()
    pieces = [piece for delta in cut_text(text, cuts) for piece in parser.feed(delta)] + parser.close()
    assert joined(pieces) == joined(split_tables(text))


@given(table_texts)
def test_all_words_of_a_table_are_in_its_cells_or_its_caption(text):
    table = read_table(f"<table>{text}")
    markup = table.caption + "".join(cell.markup for row in table.rows for cell in row)
    for word in ("words", "漢", "a < b", "&lt;", "<tablex>"):
        assert markup.count(word) == text.count(word)


@given(table_texts)
def test_a_table_that_is_written_reads_the_same(text):
    table = read_table(f"<table>{text}")
    if not table.nested and not table.caption:
        assert read_table(write_table(table)) == table


@given(table_texts)
def test_no_grid_is_larger_than_its_cells_and_believed_spans(text):
    table = read_table(text)
    assert sum(map(len, table.grid())) <= MAX_PLACES


def test_a_table_is_held_back_until_it_ends():
    parser = TableParser()
    assert parser.feed("a <tab") == ["a "]
    assert parser.feed("le><td>b</td>") == []
    assert [type(piece) for piece in parser.feed("</table> c")] == [Table, str]


@pytest.mark.parametrize(
    "text",
    [
        "<table>" * 20_000,
        "<table><tr><td colspan=999999999 rowspan=999999999>" * 1000,
        "<table>" + "<td>" * 10_000 + "<tr><td>" * 10_000,
        "<table>" + "<td rowspan=1000>" * 90 + "<tr><td>a" * 5_000,
        "<table " + "a" * 100_000,
        "<" * 100_000,
        "<td colspan=" * 20_000,
        "<table><td" + " " * 100_000,
        "<table><td>" + "<br" * 40_000,
    ],
    ids=lambda text: text[:30],
)
def test_hostile_tables_are_quick(text):
    start = time.process_time()
    tables = [piece for piece in split_tables(text) if isinstance(piece, Table)]
    places = sum(len(row) for table in tables for row in table.grid())
    words = sum(len(cell.text) for table in tables for row in table.rows for cell in row)
    assert places + words <= MAX_PLACES + len(text)
    parser = TableParser()
    for letter in text[:100_000]:
        parser.feed(letter)
    assert time.process_time() - start < 3
