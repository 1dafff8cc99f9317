"""DoclingDocuments, read by docling's own model of them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from written_pages import any_transcript, model_texts, published_page, read_golden, transcript_of

from dsocr.document import Document, figure_files, to_docling

docling = pytest.importorskip("docling_core.types.doc.document", reason="needs docling-core")


def opened(*raws: str, figures=(), **fields):
    pages = tuple(transcript_of(raw, number, **fields) for number, raw in enumerate(raws, start=1))
    return docling.DoclingDocument.model_validate_json(to_docling(Document("some/a.b.pdf", pages), figures))


def told(*raws: str, **fields) -> list[tuple[str, str]]:
    return [(str(text.label), text.text) for text in opened(*raws, **fields).texts]


def tagged(label: str, text: str = "", box: str = "[[100, 200, 300, 400]]") -> str:
    return f"<|ref|>{label}<|/ref|><|det|>{box}<|/det|>\n{text}\n\n"


class TestTexts:
    def test_headings_paragraphs_lists_formulas_and_code_are_of_their_kinds(self):
        text = "# One\n\nFirst **line**\n\n## Two\n\n- a\n- b\n\nwith \\(x < 1\\) in it\n\n\\[ y = 2 \\]\n\n```\nif a:\n  b\n```"
        assert told(text) == [
            *(("title", "One"), ("text", "First line"), ("section_header", "Two"), ("list_item", "a")),
            *(("list_item", "b"), ("text", "with $x < 1$ in it"), ("formula", "y = 2"), ("code", "if a:\n  b")),
        ]

    def test_lists_in_lists_stand_below_their_item_and_numbers_go_on(self):
        document = opened("3. one\n   - in\n   - also\n4. two")
        (outer, inner) = document.groups
        three, _, _, four = document.texts
        assert [(item.marker, item.enumerated) for item in document.texts] == [
            *(("3.", True), ("-", False), ("-", False), ("4.", True)),
        ]
        assert [child.cref for child in outer.children] == [three.self_ref, four.self_ref]
        assert inner.parent.cref == three.self_ref

    def test_the_models_labels_are_doclings(self):
        page = "".join(map(tagged, ("header", "image_caption", "equation", "page_number"), ("a", "b", "\\[c\\]", "4")))
        document = opened(page)
        assert [(str(text.label), text.text, text.content_layer.value) for text in document.texts] == [
            *(("page_header", "a", "furniture"), ("caption", "b", "body")),
            *(("formula", "c", "body"), ("page_footer", "4", "furniture")),
        ]
        assert document.export_to_markdown() == "b\n\n$$c$$"

    def test_words_with_boxes_are_texts_whatever_they_are_called(self):
        assert told(tagged("image") + tagged("equation"), labels_are_text=True) == [
            ("text", "image"),
            ("text", "equation"),
        ]


class TestPlaces:
    def test_boxes_are_in_pixels_of_the_page_and_pages_keep_their_numbers(self):
        document = opened("first", tagged("text", "second", "[[0, 0, 999, 333]]"))
        assert [(page.page_no, page.size.width, page.size.height) for page in document.pages.values()] == [
            *((1, 600, 840), (2, 600, 840)),
        ]
        (whole,), (place,) = (text.prov for text in document.texts)
        assert (whole.page_no, whole.bbox.as_tuple()) == (1, (0, 0, 600, 840))
        assert (place.page_no, place.bbox.as_tuple(), place.charspan) == (2, (0, 0, 600, 280), (0, 6))

    def test_a_block_with_two_boxes_has_two_places(self):
        document = opened(tagged("text", "runs on", "[[0, 0, 100, 100], [500, 0, 600, 100]]"))
        assert len(document.texts[0].prov) == 2


class TestTables:
    def test_cells_keep_their_spans_and_headings(self):
        raw = "<table><tr><th colspan=2>both</th></tr><tr><td rowspan=9>tall</td><td>x</td></tr><tr><td>y</td></tr></table>"
        (table,) = opened(raw).tables
        grid = [[cell.text for cell in row] for row in table.data.grid]
        assert grid == [["both", "both"], ["tall", "x"], ["tall", "y"]]
        assert [cell.column_header for cell in table.data.table_cells] == [True, False, False, False]

    def test_a_caption_stands_before_its_table(self):
        assert told("<table><caption>Sums</caption><tr><td>1</td></tr></table>") == [("caption", "Sums")]


class TestFigures:
    def test_a_figure_has_its_place_and_where_it_is_given_its_picture(self):
        raw = tagged("image")
        figures = list(figure_files(transcript_of(raw, image=published_page())))
        (picture,) = opened(raw, figures=figures).pictures
        assert picture.image.pil_image.size == (120, 168)
        assert picture.prov[0].bbox.as_tuple() == (60, 168, 180, 336)
        assert opened(raw).pictures[0].image is None


def test_its_own_tools_take_the_published_page():
    document = opened(read_golden("refs", "in.txt"))
    assert document.name == "a.b"
    assert document.export_to_markdown()
    assert len(document.export_to_dict()["texts"]) == len(document.texts)


@given(st.one_of(model_texts, st.text()))
def test_whatever_the_model_wrote_docling_can_open_it(text):
    document = opened(text)
    document.export_to_markdown()


@given(any_transcript)
def test_any_transcript_is_a_document(transcript):
    text = to_docling(Document("a", (transcript,)))
    docling.DoclingDocument.model_validate(json.loads(text))
