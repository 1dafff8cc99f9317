"""A PDF file, written page by page while the pages come: a picture, invisible text, or both."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable
from typing import BinaryIO

from dsocr.document.pdf.glyphs import ASCENT, DESCENT, EM, NAME, Glyphs, invisible_font
from dsocr.document.pdf.pictures import Picture
from dsocr.document.words import TextLine
from dsocr.errors import InputError

POINTS_PER_INCH = 72
_PAGE_DPI = 144.0  # of pictures that do not say how large they are; what PDFs are drawn at for reading
_BLANK_PX = (1190, 1684)  # a page that nobody saw is A4 then
_LARGEST, _SMALLEST = 14_400.0, 3.0  # points; the sides that every viewer can show

_CATALOG, _PAGES, FONT = 1, 2, 3  # objects that are named before they are written


class PdfFile:
    """A PDF that grows in a file open for writing; in memory there is one page, the letters used and a few numbers."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._offsets = dict.fromkeys((_CATALOG, _PAGES, FONT), 0)
        self._length = 0
        self._pages: list[int] = []
        self.glyphs = Glyphs()
        self._write(b"%PDF-1.5\n%\xe2\xe3\xcf\xd3\n")

    def add_page(
        self,
        size: tuple[int, int],
        dpi: float | None = None,
        picture: Picture | None = None,
        lines: Iterable[TextLine] = (),
    ) -> None:
        """A page of that size in pixels, of which dpi make an inch; the picture covers it, the lines are not seen.

        InputError for a dpi that is no resolution.
        """
        width, height = size if min(size) > 0 else _BLANK_PX
        scale = _scale(width, height, _PAGE_DPI if dpi is None else dpi)
        text = b"".join(self.glyphs.show(line, height) for line in lines)
        drawing, resources = b"", b""
        if picture is not None:
            number = self._add_stream(b"/Type/XObject/Subtype/Image" + picture.entries, picture.data, pack=False)
            drawing = b"q %s cm /Picture Do Q\n" % _matrix(picture.turn, width, height)
            resources += b"/XObject<</Picture %d 0 R>>" % number
        if text:
            # The name by which OCRmyPDF looks for the font of a text layer.
            drawing += b"BT 3 Tr /F1 1 Tf\n%sET\n" % text
            resources += b"/Font<</F1 %d 0 R>>" % FONT
        content = self._add_stream(b"", b"%.6f 0 0 %.6f 0 0 cm\n%s" % (scale, scale, drawing))
        page = b"<</Type/Page/Parent %d 0 R/MediaBox[0 0 %.4f %.4f]/Resources<<%s>>/Contents %d 0 R>>"
        self._pages.append(self._add(page % (_PAGES, width * scale, height * scale, resources, content)))

    def close(self) -> None:
        """Write the font and the tables; a PDF without a page gets a blank one. The file itself stays open."""
        if not self._pages:
            self.add_page((0, 0))
        self._add_font()
        kids = b" ".join(b"%d 0 R" % page for page in self._pages)
        self._add(b"<</Type/Pages/Count %d/Kids[%s]>>" % (len(self._pages), kids), _PAGES)
        self._add(b"<</Type/Catalog/Pages %d 0 R>>" % _PAGES, _CATALOG)
        start, count = self._length, len(self._offsets) + 1
        rows = b"".join(b"%010d 00000 n \n" % self._offsets[number] for number in range(1, count))
        self._write(b"xref\n0 %d\n0000000000 65535 f \n%s" % (count, rows))
        self._write(b"trailer\n<</Size %d/Root %d 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (count, _CATALOG, start))

    def _add_font(self) -> None:
        glyphs = self.glyphs
        font = invisible_font()
        file = self._add_stream(b"/Length1 %d" % len(font), font)
        box = b"[0 %d %d %d]" % (DESCENT, EM, ASCENT)
        descriptor = self._add(
            b"<</Type/FontDescriptor/FontName/%s/Flags 4/FontBBox%s/ItalicAngle 0/Ascent %d/Descent %d/CapHeight %d"
            b"/StemV 80/FontFile2 %d 0 R>>" % (NAME, box, ASCENT, DESCENT, ASCENT, file)
        )
        shapes, unicode = self._add_stream(b"", glyphs.to_shapes()), self._add_stream(b"", glyphs.to_unicode())
        letters = self._add(
            b"<</Type/Font/Subtype/CIDFontType2/BaseFont/%s/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)"
            b"/Supplement 0>>/FontDescriptor %d 0 R/DW %d/W[1[%s]]/CIDToGIDMap %d 0 R>>"
            % (NAME, descriptor, EM, glyphs.widths(), shapes)
        )
        font_entries = b"/Encoding/Identity-H/DescendantFonts[%d 0 R]/ToUnicode %d 0 R" % (letters, unicode)
        self._add(b"<</Type/Font/Subtype/Type0/BaseFont/%s%s>>" % (NAME, font_entries), FONT)

    def _add_stream(self, entries: bytes, data: bytes, *, pack: bool = True) -> int:
        if pack:
            data, entries = zlib.compress(data), entries + b"/Filter/FlateDecode"
        return self._add(b"<<%s/Length %d>>\nstream\n%s\nendstream" % (entries, len(data), data))

    def _add(self, content: bytes, number: int | None = None) -> int:
        number = number or len(self._offsets) + 1
        self._offsets[number] = self._length
        self._write(b"%d 0 obj\n%s\nendobj\n" % (number, content))
        return number

    def _write(self, content: bytes) -> None:
        self._file.write(content)
        self._length += len(content)


def _scale(width: int, height: int, dpi: float) -> float:
    """Points to a pixel: as dpi has it, where viewers can show that."""
    if not 0 < dpi < math.inf:
        raise InputError(f"dpi {dpi:g} is not a resolution; the usual one is {_PAGE_DPI:g}")
    longest, shortest = max(width, height), min(width, height)
    return min(max(POINTS_PER_INCH / dpi, _SMALLEST / shortest), _LARGEST / longest)


def _matrix(turn: tuple[int, ...], width: int, height: int) -> bytes:
    sides = (width, height) * 3
    return b" ".join(b"%d" % (share * side) for share, side in zip(turn, sides, strict=True))
