"""The published scripts' own files, byte for byte where those scripts are right."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import pypdfium2
import pytest
from hypothesis import given
from PIL import Image
from written_pages import GOLDEN, PUBLISHED_PAGE, model_texts, published_page, read_golden, transcript_of

from dsocr.document import Document, Transcript, to_official
from dsocr.document.grounding import END_OF_TEXT
from dsocr.document.to_official import PAGE_END

SCRIPTS = GOLDEN / "scripts"


def files_of(source: str, *pages: Transcript) -> dict[str, bytes]:
    return {file.name: file.content for file in to_official(Document(source, pages), "in")}


def picture_files(case: str) -> dict[str, bytes]:
    raw = read_golden(case, "in.txt").removesuffix(END_OF_TEXT)
    return files_of("in.png", transcript_of(raw, image=published_page()))


def published_pages() -> list[Transcript]:
    texts = json.loads((SCRIPTS / "pdf_run.json").read_text(encoding="utf-8"))["out"]
    return [transcript_of(text.removesuffix(END_OF_TEXT), number) for number, text in enumerate(texts, 1)]


@pytest.mark.parametrize("case", ["refs", "eval_expr", "geometry", "plain", "unterminated"])
def test_the_text_of_a_picture_is_the_published_one(case):
    assert picture_files(case)["result.mmd"] == read_golden(case, "result.mmd").encode()


@pytest.mark.parametrize("case", ["multi_box", "dup_identical", "malformed_det", "out_of_range"])
def test_every_link_has_its_file_where_the_published_ones_disagree(case):
    files = picture_files(case)
    links = re.findall(rb"!\[\]\((.*?)\)", files["result.mmd"])
    assert [link.decode() for link in links] == [name for name in files if name.startswith("images/")]
    without = re.sub(r"!\[\]\(.*?\)\n", "", read_golden(case, "result.mmd")).encode()
    assert re.sub(rb"!\[\]\(.*?\)\n", b"", files["result.mmd"]) == without


def test_a_picture_has_the_files_of_the_image_script():
    files = picture_files("multi_box")
    names = ["result_ori.mmd", "result.mmd", "result_with_boxes.jpg", "images/0.jpg", "images/1.jpg", "images/2.jpg"]
    assert list(files) == names
    assert files["result_ori.mmd"] == read_golden("multi_box", "in.txt").encode()
    assert Image.open(io.BytesIO(files["result_with_boxes.jpg"])).size == PUBLISHED_PAGE
    for name in names[3:]:
        assert Image.open(io.BytesIO(files[name])).size == Image.open(GOLDEN / "post" / "multi_box" / name).size


def test_the_texts_of_a_pdf_are_the_published_ones_but_no_page_is_dropped():
    files = files_of("in.pdf", *published_pages())
    lost = f"no eos here: this page will vanish{PAGE_END}".encode()
    assert lost in files["in_det.mmd"]
    assert files["in_det.mmd"].replace(lost, b"") == (SCRIPTS / "pdf" / "in_det.mmd").read_bytes()
    ours = files["in.mmd"].replace(lost, b"").decode().split(PAGE_END)
    first, second, third, nothing = (SCRIPTS / "pdf" / "in.mmd").read_text(encoding="utf-8").split(PAGE_END)
    assert (ours[0], ours[2], ours[3]) == (first, third, nothing)
    # There the page has the number of the one that was dropped, and the links of two boxes are one.
    renumbered = second.replace("1_1.jpg)", "2_2.jpg)").replace("1_0.jpg)", "2_0.jpg)\n![](images/2_1.jpg)")
    assert ours[1] == renumbered


def test_a_pdf_has_the_files_of_the_pdf_script():
    pages = [replace(page, image=published_page()) for page in published_pages()]
    files = files_of("in.pdf", *pages)
    figures = ["images/0_0.jpg", "images/2_0.jpg", "images/2_1.jpg", "images/2_2.jpg"]
    assert list(files) == ["in_det.mmd", "in.mmd", "in_layouts.pdf", *figures]
    layouts = pypdfium2.PdfDocument(files["in_layouts.pdf"])
    assert [page.get_size() for page in layouts] == [PUBLISHED_PAGE] * 4


def test_several_pictures_in_one_file_are_pages():
    assert "in.mmd" in files_of("in.tif", transcript_of("one"), transcript_of("two", 2))
    assert "in.mmd" in files_of("in.PDF", transcript_of("one"))


def test_a_page_that_did_not_end_well_says_so_and_keeps_its_place():
    failed = Transcript(2, 0, 0, "", (), "failed", "damaged")
    files = files_of("in.pdf", transcript_of("one", status="truncated"), failed)
    assert files["in.mmd"].decode().split(PAGE_END) == [
        "one\n\n<!-- page 1: truncated -->",
        "<!-- page 2: failed: damaged -->",
        "",
    ]
    assert files["in_det.mmd"].decode() == f"one{PAGE_END}{PAGE_END}"
    assert len(pypdfium2.PdfDocument(files["in_layouts.pdf"])) == 2
    assert list(files_of("in.png", failed)) == ["result_ori.mmd", "result.mmd"]


def test_words_with_boxes_are_words():
    page = transcript_of("<|ref|>Hello<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|>\n", labels_are_text=True)
    assert files_of("in.png", page)["result.mmd"] == b"Hello"


@given(model_texts)
def test_no_text_raises_and_every_link_has_its_file(text):
    files = files_of("in.pdf", transcript_of(text, 3, size=(200, 280), image=Image.new("RGB", (200, 280))))
    links = re.findall(r"!\[\]\((images/2_\d+\.jpg)\)", files["in.mmd"].decode())
    assert links == [name for name in files if name.startswith("images/")]
