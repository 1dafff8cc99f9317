"""A word processor's file has the words, tables and figures of every page, and opens whatever the model wrote."""

from __future__ import annotations

import io
import sys

import docx
import pytest
from docx.shared import Inches
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from written_pages import any_transcript, model_texts, published_page, read_golden, transcript_of

from dsocr.document import Document, figure_files
from dsocr.document.to_docx import to_docx
from dsocr.errors import InputError


def opened(*raws: str, **fields):
    pages = tuple(transcript_of(raw, number, **fields) for number, raw in enumerate(raws, start=1))
    return docx.Document(io.BytesIO(to_docx(Document("a.pdf", pages))))


def styled(*raws: str, **fields) -> list[tuple[str, str]]:
    return [(each.style.name, each.text) for each in opened(*raws, **fields).paragraphs if each.text.strip()]


def test_headings_lists_and_paragraphs_have_their_styles():
    text = "# One\n\nFirst line\nsecond line\n\n- a\n- b\n\n1. c\n\n> said\n\n## Two"
    assert styled(text) == [
        *(("Heading 1", "One"), ("Normal", "First line\nsecond line"), ("List Bullet", "a"), ("List Bullet", "b")),
        *(("List Number", "c"), ("Quote", "said"), ("Heading 2", "Two")),
    ]


def test_words_look_as_they_were_marked():
    (paragraph,) = opened("plain **bold** *italic* H<sub>2</sub>O").paragraphs
    assert [(run.text, run.bold, run.italic, run.font.subscript) for run in paragraph.runs] == [
        *(("plain ", None, None, None), ("bold", True, None, None), (" ", None, None, None)),
        *(("italic", None, True, None), (" H", None, None, None), ("2", None, None, True), ("O", None, None, None)),
    ]


def test_a_table_keeps_its_spans():
    raw = "<table><tr><th colspan=2>both</th></tr><tr><td rowspan=2>tall</td><td>x</td></tr><tr><td>y</td></tr></table>"
    (table,) = opened(raw).tables
    cells = [[cell.text for cell in row.cells] for row in table.rows]
    assert cells == [["both", "both"], ["tall", "x"], ["tall", "y"]]


@settings(deadline=None, max_examples=25)
@given(st.lists(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), max_size=3), min_size=1, max_size=3))
def test_no_cell_is_lost_however_spans_lie(rows):
    raw, number = "<table>", 0
    for row in rows:
        raw += "<tr>"
        for columns, height in row:
            raw += f"<td colspan={columns} rowspan={height}>cell{number}.</td>"
            number += 1
        raw += "</tr>"
    document = opened(raw + "</table>")
    words = " ".join(t.text or "" for t in document.element.body.iter() if t.tag.endswith("}t"))
    assert [index for index in range(number) if words.count(f"cell{index}.") != 1] == []


def test_a_table_that_no_program_could_open_is_lines():
    raw = "<table><tr>" + "".join(f"<td>c{number}</td>" for number in range(70)) + "</tr></table>"
    document = opened(raw)
    assert document.tables == []
    assert document.paragraphs[0].text.split() == [f"c{number}" for number in range(70)]


def test_formulas_are_their_latex():
    assert styled(r"The sum \(a+b\) is" + "\n\n" + r"\[ c^2 \]") == [("Normal", "The sum a+b is"), ("Normal", "c^2")]


def test_figures_are_in_it_and_not_wider_than_the_page():
    page = transcript_of("<|ref|>image<|/ref|><|det|>[[0, 0, 999, 500]]<|/det|>\n", image=Image.new("RGB", (600, 840)))
    (shape,) = docx.Document(io.BytesIO(to_docx(page))).inline_shapes
    assert Inches(5) < shape.width <= Inches(6)
    assert shape.width / shape.height == pytest.approx(600 / 420, rel=0.02)


def test_figures_may_be_given_where_pictures_were_not_kept():
    page = transcript_of(read_golden("refs", "in.txt"), image=published_page())
    figures = list(figure_files(page))
    without = to_docx(Document("a", (transcript_of(page.raw),)), figures)
    assert len(docx.Document(io.BytesIO(without)).inline_shapes) == len(figures) > 0


def test_every_page_begins_anew_and_says_how_it_ended():
    pages = (transcript_of("one"), transcript_of("", 2, status="failed", reason="it is damaged"), transcript_of("x", 3))
    document = docx.Document(io.BytesIO(to_docx(Document("a.pdf", pages))))
    texts = [each.text.strip() for each in document.paragraphs]
    assert [text for text in texts if text] == ["one", "[page 2: failed: it is damaged]", "x"]
    assert document.element.xml.count('w:br w:type="page"') == 2


def test_labels_that_nobody_wants_are_left_out():
    raw = "<|ref|>header<|/ref|><|det|>[[1, 1, 9, 9]]<|/det|>\nTop\n<|ref|>text<|/ref|><|det|>[[1, 1, 9, 9]]<|/det|>\nBody"
    content = to_docx(transcript_of(raw), drop={"header"})
    assert [each.text for each in docx.Document(io.BytesIO(content)).paragraphs] == ["Body"]


@settings(deadline=None, max_examples=20)
@given(any_transcript | model_texts.map(transcript_of))
def test_whatever_the_model_wrote_the_file_opens(page):
    docx.Document(io.BytesIO(to_docx(page)))


def test_without_python_docx_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "docx", None)
    with pytest.raises(InputError, match=r"pip install 'dsocr\[docx\]'"):
        to_docx(transcript_of("x"))
