"""Tables as spreadsheets read them, and nothing in them that a spreadsheet would run."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from test_tables import table_texts
from written_pages import transcript_of

from dsocr.document import Document, csv_files, to_csv
from dsocr.document.tables import read_table


def rows_of(source: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(to_csv(read_table(source)), newline="")))


def test_a_table_is_read_back():
    source = '<table><tr><td colspan=2>a "b", c</td><td>d<br>e</td></tr><tr><td>1<td>2 &lt; 3</table>'
    assert rows_of(source) == [['a "b", c', "", "d\ne"], ["1", "2 < 3"]]


def test_a_short_first_row_is_as_wide_as_the_table():
    assert rows_of("<table><tr><td>a<tr><td>b<td>c</table>") == [["a", ""], ["b", "c"]]


@pytest.mark.parametrize("text", ["=1+1", "@SUM(A1)", "-2+3", "+cmd|' /C calc'!A0", "&#9;=1", "-a", "+ x"])
def test_a_formula_is_a_text(text):
    ((value,),) = rows_of(f"<table><td>{text}</table>")
    assert value.startswith("'")


@pytest.mark.parametrize("text", ["-6", "+1.5", "-1,234.5 %", "-", "--", "-$5.00", "a=b", "3-4"])
def test_numbers_and_words_stay_as_they_are(text):
    assert rows_of(f"<table><td>{text}</table>") == [[text]]


@given(table_texts)
def test_every_table_has_as_many_lines_as_rows(text):
    table = read_table(f"<table>{text}")
    assert len(rows_of(f"<table>{text}")) == len(table.rows)


def test_each_table_of_each_page_has_a_file():
    pages = (
        transcript_of("<table><td>1</table> and <table><td>漢</table>", 2),
        transcript_of("none", 3),
        transcript_of("<|ref|>table<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|><table><td>3", 4),
    )
    files = list(csv_files(Document("a.pdf", pages), "a"))
    assert [file.name for file in files] == ["a_table_2_0.csv", "a_table_2_1.csv", "a_table_4_0.csv"]
    assert files[1].content.decode("utf-8-sig") == "漢\r\n"
