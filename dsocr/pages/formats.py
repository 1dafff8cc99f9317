"""The first bytes of a file tell its format, and the format who opens it; names and suffixes are not trusted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from dsocr.errors import InputError
from dsocr.pages.page import Page
from dsocr.pages.pdf import PdfFile
from dsocr.pages.pictures import PictureFile

_SIGNATURES = {
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "JPEG": rb"\xff\xd8\xff",
    "WebP": rb"RIFF....WEBP",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "BMP": rb"BM",
    "GIF": rb"GIF8[79]a",
    "PDF": rb".{0,1019}%PDF-",
    "HEIC": rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)",
}
# An archive is asked for first: one whose files are not compressed begins, further on, as a file in it does.
_ARCHIVES = {"zip": rb"PK(?:\x03\x04|\x05\x06)", "gzip": rb"\x1f\x8b\x08", "bzip2": rb"BZh[1-9]", "xz": rb"\xfd7zXZ\0"}
_ARCHIVES["tar"] = rb".{257}ustar"
_HEAD_BYTES = 1024


@dataclass(frozen=True)
class Wish:
    """How pages are to be drawn: dpi (dots per inch) and password are for PDFs, max_pixels is the limit of a page."""

    dpi: float
    password: str | None
    max_pixels: int


class PagedFile(Protocol):
    """An open file of pages; close it after use."""

    def __len__(self) -> int:
        """How many pages there are."""

    def read(self, number: int) -> Page:
        """The page, counted from 1; InputError if it cannot be shown."""

    def measure(self, number: int) -> tuple[int, int]:
        """(width, height) in pixels of the page, upright, without drawing it; InputError if it is damaged."""

    def close(self) -> None:
        """Gives back what the file took."""


def open_paged(file: BinaryIO, source: str, wish: Wish) -> PagedFile:
    """A file from its first byte on, opened by what its content says; InputError if no page can come of it."""
    format = recognise(file)
    if format == "PDF":
        return PdfFile(file, source, password=wish.password, dpi=wish.dpi, max_pixels=wish.max_pixels)
    return PictureFile(file, source, format, max_pixels=wish.max_pixels)


def recognise(file: BinaryIO) -> str:
    """The name of the file's format; InputError if it is empty, an archive or nothing that has pages."""
    if recognise_archive(file):
        raise InputError("an archive is read only as a file of its own; save it, or unpack it first")
    head = _head(file)
    if not head:
        raise InputError("the file is empty")
    for format, signature in _SIGNATURES.items():
        if re.match(signature, head, re.DOTALL):
            return format
    raise InputError(f"its content is in none of the known formats: {', '.join(_SIGNATURES)}")


def recognise_archive(file: BinaryIO) -> str | None:
    """zip, tar, or how a tar is compressed: gzip, bzip2, xz; None if it is no archive."""
    head = _head(file)
    return next((kind for kind, signature in _ARCHIVES.items() if re.match(signature, head, re.DOTALL)), None)


def _head(file: BinaryIO) -> bytes:
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    return head
