"""hOCR that any parser reads: pages, blocks, lines and words with their boxes."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from written_pages import any_transcript, model_texts, transcript_of

import dsocr
from dsocr.document import Block, Box, Document, Transcript
from dsocr.document.to_hocr import to_hocr

XHTML = "{http://www.w3.org/1999/xhtml}"
TEXT = Block("text", (Box(0, 0, 999, 500),), 'Fish & <chips>\nfor "two"')
PAGE = Transcript(4, 200, 100, "", (TEXT, Block("image", (Box(0, 500, 999, 999),), "")))


def parse_hocr(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text.encode())


def of_class(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [element for element in root.iter() if element.get("class") == name]


def bbox(element: ElementTree.Element) -> list[int]:
    return [int(number) for number in re.search(r"\bbbox (\d+) (\d+) (\d+) (\d+)", element.get("title")).groups()]


def test_words_are_in_lines_lines_in_paragraphs_and_paragraphs_in_areas_of_the_page():
    root = parse_hocr(to_hocr(PAGE))
    (page,) = of_class(root, "ocr_page")
    (area,) = of_class(page, "ocr_carea")
    (paragraph,) = of_class(area, "ocr_par")
    lines = of_class(paragraph, "ocr_line")
    assert [[word.text for word in of_class(line, "ocrx_word")] for line in lines] == [
        ["Fish", "&", "<chips>"],
        ["for", '"two"'],
    ]
    assert [bbox(element) for element in (page, area, *lines)][:2] == [[0, 0, 200, 100], [0, 0, 200, 50]]


def test_it_is_xhtml_and_says_who_wrote_it():
    text = to_hocr(PAGE)
    root = parse_hocr(text)
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML')
    assert root.tag == XHTML + "html"
    meta = {element.get("name"): element.get("content") for element in root.iter(XHTML + "meta")}
    assert meta["ocr-system"] == f"dsocr {dsocr.__version__}"
    assert {element.get("class") for element in root.iter() if element.get("class")} <= set(
        meta["ocr-capabilities"].split()
    )


def test_a_page_says_its_number_its_source_and_how_it_ended():
    pages = (PAGE, Transcript(5, 0, 0, "", (), "failed", "the page is damaged"))
    one, other = of_class(parse_hocr(to_hocr(Document('a "b"; <c>.pdf', pages))), "ocr_page")
    assert one.get("title") == "bbox 0 0 200 100; ppageno 3; image \"a 'b'; <c>.pdf\""
    assert other.get("title").endswith("; x_status failed")


def test_a_figure_is_a_photo():
    (photo,) = of_class(parse_hocr(to_hocr(PAGE)), "ocr_photo")
    assert bbox(photo) == [0, 50, 200, 100]


def test_hebrew_is_marked_as_running_from_the_right():
    raw = "<|ref|>text<|/ref|><|det|>[[0, 0, 999, 100]]<|/det|>\n" + "שלום עולם"
    (paragraph,) = of_class(parse_hocr(to_hocr(transcript_of(raw))), "ocr_par")
    assert paragraph.get("dir") == "rtl"


def test_the_ids_are_all_different():
    ids = [
        element.get("id") for element in parse_hocr(to_hocr(Document("a", (PAGE, PAGE)))).iter() if element.get("id")
    ]
    assert len(ids) == len(set(ids)) > 20


@given(any_transcript)
def test_whatever_was_written_it_can_be_parsed(transcript):
    root = parse_hocr(to_hocr(Document("name\ud800\x00", (transcript, transcript))))
    assert len(of_class(root, "ocr_page")) == 2
    for word in of_class(root, "ocrx_word"):
        assert word.text.strip()
        left, top, right, bottom = bbox(word)
        assert left < right
        assert top < bottom


@given(model_texts)
def test_whatever_a_model_writes_can_be_parsed(text):
    assert len(of_class(parse_hocr(to_hocr(transcript_of(text))), "ocr_page")) == 1


def test_ocrmypdf_reads_the_same_words(tmp_path):
    hocrtransform = pytest.importorskip("ocrmypdf.hocrtransform")
    file = tmp_path / "page.hocr"
    file.write_text(to_hocr(PAGE), encoding="utf-8")
    page = hocrtransform.HocrParser(file).parse()
    assert [word.text for word in page.words] == ["Fish", "&", "<chips>", "for", '"two"']
    assert (page.bbox.width, page.bbox.height) == (200, 100)
