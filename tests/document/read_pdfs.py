"""What a viewer finds in a PDF: its text, and where on the page as it is seen."""

from __future__ import annotations

import ctypes

import pypdfium2 as pdfium
from PIL import Image
from pypdfium2.raw import FPDF_PageToDevice


def text_of(pdf: bytes, page: int = 1, password: str | None = None) -> str:
    """The words of a page, numbered from 1, with single spaces."""
    return " ".join(pdfium.PdfDocument(pdf, password)[page - 1].get_textpage().get_text_bounded().split())


def lines_of(pdf: bytes, page: int = 1) -> list[str]:
    return pdfium.PdfDocument(pdf)[page - 1].get_textpage().get_text_bounded().splitlines()


def place_of(pdf: bytes, text: str, page: int = 1) -> tuple[float, float, float, float] | None:
    """(left, top, right, bottom) of a text on the upright page, in thousandths of its sides."""
    shown = pdfium.PdfDocument(pdf)[page - 1]
    words = shown.get_textpage()
    found = words.search(text).get_next()
    if found is None:
        return None
    assert words.count_rects(*found) == 1
    left, bottom, right, top = words.get_rect(0)
    xs, ys = zip(_seen_at(shown, left, bottom), _seen_at(shown, right, top), strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def _seen_at(page: pdfium.PdfPage, x: float, y: float) -> tuple[int, int]:
    across, down = ctypes.c_int(), ctypes.c_int()
    FPDF_PageToDevice(page, 0, 0, 1000, 1000, 0, x, y, across, down)
    return across.value, down.value


def picture_of(pdf: bytes, page: int = 1, scale: float = 1) -> Image.Image:
    return pdfium.PdfDocument(pdf)[page - 1].render(scale=scale).to_pil().convert("RGB")


def sizes_of(pdf: bytes) -> list[tuple[float, float]]:
    """Width and height of each page in points."""
    return [page.get_size() for page in pdfium.PdfDocument(pdf)]
