"""Boxes on the page, whatever the labels are."""

from __future__ import annotations

import pytest
from PIL import Image
from written_pages import PUBLISHED_PAGE, published_page, read_golden, transcript_of

from dsocr.document import Block, Box, Document, Transcript, to_picture
from dsocr.document.to_picture import label_colour


def white_page(*blocks: Block) -> Transcript:
    return Transcript(1, 200, 200, "", blocks, image=Image.new("RGB", (200, 200), "white"))


def test_the_picture_has_the_size_of_the_page_and_leaves_the_page_alone():
    image = published_page()
    before = image.tobytes()
    picture = to_picture(transcript_of(read_golden("refs", "in.txt"), image=image))
    assert (picture.size, picture.mode) == (PUBLISHED_PAGE, "RGB")
    assert image.tobytes() == before != picture.tobytes()


@pytest.mark.parametrize(("label", "width"), [("text", 2), ("title", 4)])
def test_a_title_has_a_wider_line(label, width):
    picture = to_picture(white_page(Block(label, (Box(250, 500, 999, 999),), "")))
    row = [picture.getpixel((x, 150)) for x in range(50, 60)]
    dark = [sum(colour) < 500 for colour in row]
    assert dark == [True] * width + [False] * (10 - width)


def test_the_inside_is_tinted():
    picture = to_picture(white_page(Block("text", (Box(0, 0, 999, 999),), "")))
    assert picture.getpixel((100, 100)) == tuple(
        255 + round((channel - 255) * 20 / 255) for channel in label_colour("text")
    )


def test_a_label_has_one_colour_and_labels_differ():
    assert label_colour("text") == label_colour("text") != label_colour("title")


@pytest.mark.parametrize("label", ["", "漢字", "العربية", "🙂", "\ud800", "\x00", "a\nb", "x" * 100_000, "   "])
def test_no_label_is_too_strange_to_draw(label):
    assert to_picture(white_page(Block(label, (Box(0, 0, 500, 500), Box(500, 500, 400, 400)), ""))).size == (200, 200)


def test_the_pages_of_a_document_stand_one_below_the_other():
    sizes, colours = [(40, 30), (60, 20), (10, 10)], [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    pages = [
        Transcript(number, *size, "", (), image=Image.new("RGB", size, colour))
        for number, (size, colour) in enumerate(zip(sizes, colours, strict=True), start=1)
    ]
    sheet = to_picture(Document("a.pdf", tuple(pages)))
    assert sheet.size == (60, 60)
    assert [sheet.getpixel((5, y)) for y in (0, 29, 30, 49, 50, 59)] == [c for c in colours for _ in range(2)]
    assert sheet.getpixel((50, 5)) == (255, 255, 255)


def test_a_page_of_a_document_has_its_boxes():
    page = white_page(Block("text", (Box(0, 0, 500, 500),), ""))
    sheet = to_picture(Document("a.pdf", (page, page)))
    assert sheet.crop((0, 200, 200, 400)).tobytes() == to_picture(page).tobytes()


def test_a_document_without_pages_is_a_dot():
    assert to_picture(Document("a.pdf", ())).size == (1, 1)


def test_a_page_that_was_not_kept_is_drawn_on_white():
    assert to_picture(Transcript(1, 0, 0, "", (), "failed")).size == (1, 1)
    assert to_picture(transcript_of("x")).size == PUBLISHED_PAGE
