"""One PDF of the pages with their boxes drawn on them."""

from __future__ import annotations

import io
import tracemalloc

import numpy as np
from hypothesis import given, settings
from PIL import Image
from read_pdfs import picture_of, sizes_of, text_of
from written_pages import any_transcript, published_page, read_golden, transcript_of

from dsocr.document import Document, Transcript, to_picture
from dsocr.document.pdf.file import PdfFile
from dsocr.document.to_layout_pdf import add_layout_page, to_layout_pdf


def test_each_page_shows_its_layout_picture():
    page = transcript_of(read_golden("refs", "in.txt"), image=published_page())
    pdf = to_layout_pdf(Document("a.pdf", (page, page)), dpi=72)
    assert len(sizes_of(pdf)) == 2
    for number in (1, 2):
        shown, drawn = picture_of(pdf, number), to_picture(page)
        assert shown.size == drawn.size
        assert np.abs(np.asarray(shown, int) - np.asarray(drawn, int)).mean() < 5


def test_a_page_is_as_large_as_its_dpi_says():
    page = Transcript(1, 300, 150, "", (), dpi=300)
    assert sizes_of(to_layout_pdf(page)) == [(72, 36)]
    assert sizes_of(to_layout_pdf(page, dpi=150)) == [(144, 72)]


def test_a_failed_page_is_there_and_blank():
    pages = (Transcript(1, 0, 0, "", (), "failed", "damaged"), Transcript(2, 40, 30, "", ()))
    pdf = to_layout_pdf(Document("a", pages), dpi=72)
    assert picture_of(pdf, 1).getextrema() == ((255, 255),) * 3
    assert sizes_of(pdf)[1] == (40, 30)


def test_a_document_without_pages_is_one_blank_page():
    assert len(sizes_of(to_layout_pdf(Document("a", ())))) == 1


@settings(max_examples=40)
@given(any_transcript)
def test_whatever_was_written_the_pdf_opens(transcript):
    assert text_of(to_layout_pdf(transcript)) == ""


def test_memory_stays_flat_however_many_pages_come():
    class Sink(io.RawIOBase):
        def write(self, content):
            return len(content)

    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8)
    page = Transcript(1, 300, 300, "", (), image=Image.fromarray(noise))
    pdf = PdfFile(Sink())
    add_layout_page(pdf, page)
    tracemalloc.start()
    for _ in range(50):
        add_layout_page(pdf, page)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    pdf.close()
    assert grown < 100_000  # one page's JPEG alone has more
