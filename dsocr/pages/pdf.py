"""The pages of a PDF, drawn one at a time."""

from __future__ import annotations

import math
import threading
from contextlib import suppress
from typing import BinaryIO

import pypdfium2 as pdfium
from PIL import Image
from pypdfium2.raw import (
    FPDF_ERR_FILE,
    FPDF_ERR_PASSWORD,
    FPDF_ERR_SECURITY,
    FPDF_PAGEOBJ_IMAGE,
    FPDF_LoadDocument,
)

from dsocr.errors import EncryptedError, InputError
from dsocr.pages.page import Page, check_size

POINTS_PER_INCH = 72
_PAGES_AN_OPENING = 32
_MOST_LETTERS = 1_000_000  # of a text layer; a page full of print has ten thousand

# The PDF library keeps state for the whole process: two threads inside it at once would crash Python itself.
# The same thread may enter twice, as the garbage collector can close a forgotten document at any moment.
_ONE_AT_A_TIME = threading.RLock()


class PdfFile:
    """An open PDF; close it after use."""

    def __init__(self, file: BinaryIO, source: str, *, password: str | None, dpi: float, max_pixels: int) -> None:
        """Opens the PDF: EncryptedError without the right password, InputError if it is damaged or has no pages."""
        self._source, self._dpi, self._max_pixels = source, dpi, max_pixels
        self._file, self._password, self._drawn = file, password, 0
        with _ONE_AT_A_TIME:
            self._document = _open(file, password)

    def __len__(self) -> int:
        """How many pages there are."""
        with _ONE_AT_A_TIME:
            return len(self._document)

    def read(self, number: int) -> Page:
        """Draws the page, counted from 1, without alpha on white; InputError if it is damaged or too large."""
        with _ONE_AT_A_TIME:
            self._start_afresh()
            try:
                page = self._document[number - 1]
            except pdfium.PdfiumError as error:
                raise InputError("the page is damaged or missing in the PDF") from error
            try:
                return Page(self._source, number, self._draw(page), self._dpi, _text_layer(page))
            finally:
                page.close()

    def measure(self, number: int) -> tuple[int, int]:
        """(width, height) in pixels that the page, counted from 1, would be drawn with; InputError if it is damaged."""
        scale = self._dpi / POINTS_PER_INCH
        with _ONE_AT_A_TIME:
            try:
                width, height = self._document.get_page_size(number - 1)
            except pdfium.PdfiumError as error:
                raise InputError("the page is damaged or missing in the PDF") from error
        return math.ceil(width * scale), math.ceil(height * scale)

    def close(self) -> None:
        """Gives back the PDF library's memory."""
        with _ONE_AT_A_TIME:
            self._document.close()

    def _start_afresh(self) -> None:
        """Opens the file anew every few pages: the library holds on to all that it has read of an open one."""
        self._drawn += 1
        if self._drawn % _PAGES_AN_OPENING == 0:
            with suppress(InputError):  # Whatever has become of the file, it may yet give its other pages.
                fresh = _open(self._file, self._password)
                self._document.close()
                self._document = fresh

    def _draw(self, page: pdfium.PdfPage) -> Image.Image:
        scale = self._dpi / POINTS_PER_INCH
        width, height = page.get_size()
        remedy = f"drawn at {self._dpi:g} dpi: lower --dpi, or raise --max-pixels"
        check_size(width * scale, height * scale, self._max_pixels, remedy)
        try:
            bitmap = page.render(scale=scale, rev_byteorder=True)
        except (pdfium.PdfiumError, MemoryError) as error:
            raise InputError("the page cannot be drawn; try a lower --dpi") from error
        image: Image.Image = bitmap.to_pil().convert("RGB")
        bitmap.close()
        # What cannot be drawn is left out in silence: a damaged scan would pass for an empty page.
        if image.getcolors(1) and not all(map(_is_sound, page.get_objects(filter=[FPDF_PAGEOBJ_IMAGE]))):
            raise InputError("a picture that makes up the page is damaged in the PDF; get a fresh copy of it")
        return image


def _open(file: BinaryIO, password: str | None) -> pdfium.PdfDocument:
    # A PDF without pages leaves the last error as it was, which may be an earlier file's. A file without a name gives
    # an error that no open file can have.
    FPDF_LoadDocument(b"\0", None)
    try:
        document = pdfium.PdfDocument(file, password)
    except pdfium.PdfiumError as error:
        raise _refusal(error.err_code, password) from error
    except UnicodeEncodeError as error:
        raise _refusal(FPDF_ERR_PASSWORD, password) from error
    with suppress(pdfium.PdfiumError):  # A form that cannot be filled in can still be read.
        document.init_forms()  # What people typed into a form is drawn only after this.
    return document


def _refusal(code: int | None, password: str | None) -> InputError:
    """The PDF library's error code in words."""
    if code == FPDF_ERR_PASSWORD and not password:
        return EncryptedError("the PDF is locked; give its password with --password")
    if code == FPDF_ERR_PASSWORD:
        return EncryptedError("the password is wrong for this PDF; passwords tell capitals from small letters")
    if code == FPDF_ERR_SECURITY:
        return EncryptedError("the PDF is locked in a way that is not supported; save an unlocked copy of it")
    if code == FPDF_ERR_FILE:
        return InputError("the PDF has no pages")
    return InputError("the PDF is damaged or cut short; get a fresh copy of it")


def _is_sound(picture: pdfium.PdfImage) -> bool:
    """Whether a picture on a page can be decoded."""
    try:
        picture.get_bitmap()
    except pdfium.PdfiumError:
        return False
    return True


def _text_layer(page: pdfium.PdfPage) -> str | None:
    """The text that lies in the page, lines ended by a newline; None if there is none, or too much to be true."""
    try:
        textpage = page.get_textpage()
    except pdfium.PdfiumError:
        return None
    try:
        text: str = textpage.get_text_bounded() if textpage.count_chars() <= _MOST_LETTERS else ""
    finally:
        textpage.close()
    return "\n".join(text.split("\r\n")).strip() or None
