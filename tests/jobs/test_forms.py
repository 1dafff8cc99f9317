"""Every form has its name, its files, and a trace by which it is known to be there."""

from __future__ import annotations

import json
from fnmatch import fnmatch

import pytest
from PIL import Image

from dsocr.document import (
    FURNITURE,
    Document,
    MarkdownStyle,
    OutputFile,
    Transcript,
    join_pages,
    parse,
    to_html,
    to_markdown,
    to_text,
)
from dsocr.jobs.forms import ENDINGS, KINDS, TEXTS, Beside, Wishes

FIGURE = "<|ref|>image<|/ref|><|det|>[[0, 0, 499, 499]]<|/det|>\n"
GEOMETRY = "{'Circle': {'circle_center': ['O: (0, 0)'], 'radius': [3]}}"
TAG = "<|ref|>text<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|>\n"


def document_of(*raws: str) -> Document:
    image = Image.new("RGB", (200, 100), "white")
    pages = (Transcript(number, 200, 100, raw, parse(raw), image=image) for number, raw in enumerate(raws, 1))
    return Document("a.pdf", tuple(pages))


def files_of(kind: str, document: Document, wishes: Wishes = Wishes()) -> list[OutputFile]:  # noqa: B008
    form = KINDS[kind].begin("a", wishes, document.source)
    files = [file for page in document.transcripts for file in form.add(page)]
    return [*files, *form.end(document)]


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("csv", ["a_table_2_0.csv"]),
        ("svg", ["a_figure_3.svg"]),
        ("picture", ["a_layout_1.jpg", "a_layout_2.jpg", "a_layout_3.jpg"]),
        ("layout", ["a_layout.pdf"]),
        ("pdf", ["a_text.pdf"]),
        ("official", ["a/a_det.mmd", "a/a.mmd", "a/a_layouts.pdf", "a/images/0_0.jpg"]),
    ],
)
def test_every_form_of_several_files_has_its_files_and_its_trace(kind, names):
    found = [file.name for file in files_of(kind, document_of(FIGURE, "<table><td>1</table>", GEOMETRY))]
    assert found == names
    assert any(fnmatch(name, KINDS[kind].trace.format("a")) for name in found)


def test_no_text_has_the_ending_of_another():
    assert len({*ENDINGS.values()}) == len(TEXTS) == len(ENDINGS)


@pytest.mark.parametrize("name", TEXTS)
def test_every_text_is_one_of_the_whole_document(name):
    text = TEXTS[name](document_of("one", "two"), Wishes(), Beside())
    assert text.index("one") < text.index("two")


def test_texts_are_written_as_wished_and_forms_that_tell_of_pages_are_not_joined():
    document = document_of(f"{TAG}it goes", f"<|ref|>header<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|>\nHead\n{TAG}on")
    style = MarkdownStyle("gfm", "dollar", page_marks=False, drop=FURNITURE)
    wishes, whole = Wishes(style, join=True), join_pages(document)
    assert TEXTS["md"](document, wishes, Beside("figures")) == to_markdown(whole, "figures", style=style)
    assert TEXTS["txt"](document, wishes, Beside()) == to_text(whole, style=style) == "it goes on\n\f"
    assert TEXTS["html"](document, wishes, Beside()) == to_html(whole, drop=FURNITURE)
    assert json.loads(TEXTS["json"](document, wishes, Beside()))["pages"][1]["blocks"][1]["text"] == "\non"


def test_a_table_that_goes_on_is_one_file():
    document = document_of("<table><td>1<td>2</table>", "<table><td>3<td>4</table>")
    (file,) = files_of("csv", document, Wishes(join=True))
    assert file.content.decode("utf-8-sig") == "1,2\r\n3,4\r\n"
