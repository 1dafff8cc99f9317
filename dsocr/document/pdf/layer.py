"""Invisible text beneath the pages of a PDF that is there already; nothing else in it changes."""

from __future__ import annotations

import io
from collections.abc import Iterable
from itertools import count

import pikepdf
from pikepdf import Array, Dictionary, Name, Object, Page, Pdf

from dsocr.document.blocks import Transcript
from dsocr.document.pdf.file import FONT, PdfFile
from dsocr.document.pdf.opened import open_pdf
from dsocr.document.pdf.texts import TooMuch, read_contents, resources_of
from dsocr.document.words import lay_out

_LETTER = (0.0, 0.0, 612.0, 792.0)  # what viewers take where a page does not say how large it is


def add_text_layer(
    original: bytes, transcripts: Iterable[Transcript], password: str | None, *, skip: bool, replace: bool
) -> bytes:
    """The PDF with each transcript's text on the page of its number, where it stands on the page as it is seen.

    skip: pages that hold text already are left alone; replace: invisible text is taken away first, and pages that
    hold visible text only are left alone. A locked PDF stays locked in the same way. Raises InputError for a PDF that
    is damaged or signed, EncryptedError for one without its password.
    """
    with open_pdf(original, password) as (pdf, pages):
        if not _add_layers(pdf, pages, transcripts, skip, replace):
            return original
        buffer = io.BytesIO()
        # The same pages give the same file, except that no two locked files are alike.
        pdf.save(buffer, encryption=pdf.is_encrypted, deterministic_id=not pdf.is_encrypted)
        return buffer.getvalue()


def _add_layers(pdf: Pdf, pages: dict[int, Page], transcripts: Iterable[Transcript], skip: bool, replace: bool) -> bool:
    """Whether any page was given text."""
    carrier = io.BytesIO()
    letters = PdfFile(carrier)
    font, name, added = pdf.make_indirect(Dictionary()), _free_name(pdf), False
    for transcript in transcripts:
        lines = [line for block in lay_out(transcript) for line in block.lines]
        page = pages.get(transcript.page)
        if not lines or page is None or ((skip or replace) and not _make_room(pdf, page, replace)):
            continue
        width, height = max(1, transcript.width), max(1, transcript.height)
        shown = b"".join(letters.glyphs.show(line, height) for line in lines)
        # Before all else on the page: nothing that the page does can move it there.
        matrix = _matrix(page, width, height, transcript.rotated)
        layer = b"q %s cm BT 3 Tr %s 1 Tf\n%sET Q\n" % (matrix, name.encode(), shown)
        page.contents_add(layer, prepend=True)
        page.add_resource(font, Name.Font, Name(name))
        added = True
    letters.close()
    with pikepdf.open(carrier) as source:
        for key, value in pdf.copy_foreign(source.get_object(FONT, 0)).items():
            font[key] = value
    return added


def _free_name(pdf: Pdf) -> str:
    """A name for the font that no page has given away."""
    fonts = (resources_of(page).get("/Font") for page in pdf.pages)
    taken = {name for found in fonts if isinstance(found, Dictionary) for name in found.keys()}  # noqa: SIM118
    return next(name for number in count() if (name := f"/Dsocr{number}") not in taken)


def _make_room(pdf: Pdf, page: Page, replace: bool) -> bool:
    """Whether the page holds no text; it loses what is invisible first where that is to be replaced.

    A page that cannot be looked through within limits counts as one that holds text, and stays as it is.
    """
    try:
        contents = list(read_contents(page))
    except TooMuch:
        return False
    hidden = [content for content in contents if content.invisible]
    if not replace or not hidden:
        return not hidden and not any(content.visible for content in contents)
    for content in hidden:
        if content.holder is page:
            page.obj[Name.Contents] = pdf.make_stream(content.rest)
        else:
            content.holder.obj.write(content.rest)
    return True


def _matrix(page: Page, width: int, height: int, rotated: int) -> bytes:
    """From pixels of the page as it was read, counted from its lower left corner, to the page's own space.

    rotated: degrees, clockwise, by which it was turned from what a viewer shows.
    """
    left, bottom, right, top = _seen_part(page)
    rotation = page.obj.get("/Rotate", 0)
    quarters = (rotated + (int(rotation) if isinstance(rotation, int) else 0)) // 90 % 4
    across, up = (top - bottom, right - left) if quarters % 2 else (right - left, top - bottom)
    x, y = across / width, up / height
    turned = (
        (x, 0, 0, y, left, bottom),
        (0, x, -y, 0, right, bottom),
        (-x, 0, 0, -y, right, top),
        (0, -x, y, 0, left, top),
    )[quarters]
    return b" ".join(b"%.6f" % number for number in turned)


def _seen_part(page: Page) -> tuple[float, float, float, float]:
    """The part of the page that viewers show."""
    media = _box(page.obj.get("/MediaBox")) or _LETTER
    crop = _box(page.obj.get("/CropBox")) or media
    left, bottom, right, top = *map(max, media[:2], crop[:2]), *map(min, media[2:], crop[2:])
    return (left, bottom, right, top) if left < right and bottom < top else media


def _box(array: Object | None) -> tuple[float, float, float, float] | None:
    """Left, bottom, right and top of a PDF rectangle; None where it is none or has no area."""
    if not isinstance(array, Array) or len(array) != 4:
        return None
    try:
        x, y, other_x, other_y = (float(number) for number in array)
    except (TypeError, ValueError):
        return None
    box = min(x, other_x), min(y, other_y), max(x, other_x), max(y, other_y)
    return box if box[0] < box[2] and box[1] < box[3] else None
