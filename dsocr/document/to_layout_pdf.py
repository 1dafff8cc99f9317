"""A document as one PDF of its pages with their boxes drawn on them."""

from __future__ import annotations

import io

from dsocr.document.blocks import Document, Transcript
from dsocr.document.files import jpeg
from dsocr.document.pdf.file import PdfFile
from dsocr.document.pdf.pictures import keep_jpeg
from dsocr.document.to_picture import to_picture


def to_layout_pdf(pages: Document | Transcript, dpi: float | None = None) -> bytes:
    """The layout picture of every page, on a page of its size; dpi is that of the page pictures, None for their own."""
    buffer = io.BytesIO()
    pdf = PdfFile(buffer)
    for page in pages.transcripts if isinstance(pages, Document) else (pages,):
        add_layout_page(pdf, page, dpi)
    pdf.close()
    return buffer.getvalue()


def add_layout_page(pdf: PdfFile, page: Transcript, dpi: float | None = None) -> None:
    """One more page, drawn as `to_picture` draws it; blank where there is neither a picture nor a size."""
    size = (page.width, page.height) if page.image is None else page.image.size
    pdf.add_page(size, dpi or page.dpi, keep_jpeg(jpeg(to_picture(page))) if min(size) > 0 else None)
