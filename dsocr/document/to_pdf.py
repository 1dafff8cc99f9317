"""A document as a searchable PDF: its pages as they were, with invisible text that can be found and copied."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import BinaryIO

from dsocr.document.blocks import Document, Transcript
from dsocr.document.pdf.file import PdfFile
from dsocr.document.pdf.pictures import keep_jpeg, keep_pixels
from dsocr.document.words import lay_out
from dsocr.errors import InputError

SKIP, REPLACE, ADD = "skip", "replace", "add"

_PDF = re.compile(rb".{0,1019}%PDF-", re.DOTALL)


def to_pdf(
    document: Document,
    original: bytes | None = None,
    *,
    existing_text: str = SKIP,
    password: str | None = None,
    dpi: float | None = None,
) -> bytes:
    """The document's pages with their text laid invisibly over them, where `lay_out` has it.

    original: the file that was read. The pages of a PDF stay as they are, those that were not read too; this needs
    pikepdf. A JPEG is kept as it is. All other pages are their pictures, without loss, or white where those were not
    kept; dpi is theirs, None for what their files say.
    existing_text, for pages of a PDF that hold text already: `skip` leaves them alone, `replace` takes invisible text,
    the work of an earlier reading, away first and leaves pages alone that have visible text only, `add` doubles it.
    password: of a locked PDF, which stays locked in the same way.
    Raises InputError for a PDF that cannot be added to, EncryptedError for one without its password.
    """
    buffer = io.BytesIO()
    pdf = SearchablePdf(buffer, original, existing_text=existing_text, password=password, dpi=dpi)
    for page in document.transcripts:
        pdf.add(page)
    pdf.close()
    return buffer.getvalue()


class SearchablePdf:
    """The same, written to a file while the pages come: a page's picture is needed only when the page is added."""

    def __init__(
        self,
        file: BinaryIO,
        original: bytes | None = None,
        *,
        existing_text: str = SKIP,
        password: str | None = None,
        dpi: float | None = None,
    ) -> None:
        """All as for `to_pdf`."""
        if existing_text not in (SKIP, REPLACE, ADD):
            raise InputError(f"existing text {existing_text!r} is unknown; known: {SKIP}, {REPLACE}, {ADD}")
        self._file, self._original, self._dpi = file, original, dpi
        self._existing_text, self._password = existing_text, password
        is_pdf = original is not None and _PDF.match(original)
        self._pictures = None if is_pdf else PdfFile(file)
        self._read: list[Transcript] = []

    def add(self, page: Transcript) -> None:
        """The next page."""
        if self._pictures is None:
            self._read.append(replace(page, image=None))
            return
        picture = keep_jpeg(self._original) if self._original is not None else None
        if picture is None or page.rotated or picture.size != (page.width, page.height):
            picture = keep_pixels(page.image) if page.image is not None else None
        lines = (line for block in lay_out(page) for line in block.lines)
        self._pictures.add_page((page.width, page.height), self._dpi or page.dpi, picture, lines)

    def close(self) -> None:
        """Write the rest; the file itself stays open. What is wrong with an original PDF is said here."""
        if self._pictures is None:
            self._file.write(self._with_text())
        else:
            self._pictures.close()

    def _with_text(self) -> bytes:
        assert self._original is not None
        try:
            from dsocr.document.pdf.layer import add_text_layer
        except ImportError:
            raise InputError("to add text to a PDF, pikepdf is needed: pip install 'dsocr[pdf]'") from None
        skip, clear = self._existing_text == SKIP, self._existing_text == REPLACE
        return add_text_layer(self._original, self._read, self._password, skip=skip, replace=clear)
