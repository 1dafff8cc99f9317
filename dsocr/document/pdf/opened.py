"""A PDF opened to be added to: unlocked, not signed, and each page under the number that readers give it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pikepdf
from pikepdf import Array, Dictionary, Name, Object, Page, Pdf

from dsocr.errors import EncryptedError, InputError

_DAMAGED = "the PDF is damaged or cut short, and no text can be added to it; get a fresh copy of it"
_LOCK = re.compile(rb"/Encrypt\s+\d+\s+\d+\s+R")
# What pikepdf raises where an object is not of the kind that it must be.
_BROKEN = (pikepdf.PdfError, RuntimeError, TypeError, ValueError)


@contextmanager
def open_pdf(original: bytes, password: str | None) -> Iterator[tuple[Pdf, dict[int, Page]]]:
    """The PDF and its pages by their numbers from 1; a number whose page is missing in the file is left out.

    InputError, there or in what is done with it, where it is damaged or signed; EncryptedError without its password.
    """
    try:
        with _unlock(original, password, inherit=False) as pdf:
            places = [number for number, there in enumerate(_places(pdf), 1) if there]
        with _unlock(original, password, inherit=True) as pdf:
            _refuse_signed(pdf)
            numbers = places if len(places) == len(pdf.pages) else range(1, len(pdf.pages) + 1)
            yield pdf, dict(zip(numbers, pdf.pages, strict=True))
    except InputError:
        raise
    except pikepdf.PasswordError:
        raise EncryptedError("the PDF is locked; to add text to it, its password is needed") from None
    except _BROKEN as error:
        raise InputError(_DAMAGED) from error


def _unlock(original: bytes, password: str | None, *, inherit: bool) -> Pdf:
    """Open it; inherit: each page is given what it has from its group of pages."""
    try:
        pdf = pikepdf.open(io.BytesIO(original), inherit_page_attributes=inherit)
    except pikepdf.PasswordError:
        pdf = pikepdf.open(io.BytesIO(original), password=password or "", inherit_page_attributes=inherit)
    if not pdf.is_encrypted and _LOCK.search(original):
        raise InputError(_DAMAGED)  # What says how it is locked was lost: its pages could not be read any more.
    return pdf


def _places(pdf: Pdf) -> Iterator[bool]:
    """For each place in the tree of pages, whether there is a page."""
    waiting, seen = [pdf.Root.get("/Pages")], set[tuple[int, int]]()
    while waiting:
        node = waiting.pop()
        if not isinstance(node, Dictionary):
            yield False
        elif "/Kids" not in node:
            yield True
        elif node.objgen not in seen:
            seen.add(node.objgen)
            waiting += reversed(_list(node, "/Kids"))


def _refuse_signed(pdf: Pdf) -> None:
    form = pdf.Root.get("/AcroForm")
    waiting, seen = _list(form, "/Fields"), set[tuple[int, int]]()
    while waiting:
        field = waiting.pop()
        if not isinstance(field, Dictionary) or field.objgen in seen:
            continue
        if field.is_indirect:
            seen.add(field.objgen)
        if field.get("/FT") == Name.Sig and "/V" in field:
            raise InputError("the PDF is signed, and text added to it would break the signature; use an unsigned copy")
        waiting += _list(field, "/Kids")


def _list(holder: Object | None, key: str) -> list[Object]:
    found = holder.get(key) if isinstance(holder, Dictionary) else None
    return list(found) if isinstance(found, Array) else []
