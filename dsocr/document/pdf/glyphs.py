"""A font without shapes: invisible letters of known widths that a viewer can select, search and copy."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from dsocr.document.words import TextLine, em_width, runs_right_to_left

EM = 1000  # font units, and the unit of widths in a PDF
ASCENT, DESCENT = 800, -200  # what lies above and below the line that letters stand on; together one em
NAME = b"DsocrInvisible"

_MOST = 0xFFFF  # glyph numbers are two bytes
_UNKNOWN = "\ufffd"


class Glyphs:
    """The letters of one PDF, numbered as they come; written at its end, as its one font."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def show(self, line: TextLine, page_height: float) -> bytes:
        """Operators that write a line with a font of size 1 where it stands on a page of that height, in pixels."""
        frame, text = line.frame, "".join(_from_left(line))
        stretch = frame.width / sum(map(em_width, text))
        base = page_height - frame.bottom - frame.height * DESCENT / EM
        codes = "".join(f"{self._number(char):04x}" for char in text)
        return f"{stretch:.4f} 0 0 {frame.height:.4f} {frame.left:.4f} {base:.4f} Tm <{codes}> Tj\n".encode()

    def to_unicode(self) -> bytes:
        """The table that turns glyph numbers back into text."""
        pairs = [b"<%04x> <%s>" % (number, _utf16(char)) for char, number in self._numbers.items()]
        groups = [pairs[start : start + 100] for start in range(0, len(pairs), 100)]  # the most that one may hold
        tables = b"".join(b"%d beginbfchar\n%s\nendbfchar\n" % (len(group), b"\n".join(group)) for group in groups)
        return (
            b"/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n"
            b"/CIDSystemInfo <</Registry (Adobe) /Ordering (UCS) /Supplement 0>> def\n"
            b"/CMapName /Adobe-Identity-UCS def\n/CMapType 2 def\n"
            b"1 begincodespacerange\n<0000> <ffff>\nendcodespacerange\n"
            + tables
            + b"endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n"
        )

    def widths(self) -> bytes:
        """The width of each glyph from number 1 on."""
        return b" ".join(b"%d" % (em_width(char) * EM) for char in self._numbers)

    def to_shapes(self) -> bytes:
        """Which glyph of `invisible_font` stands for each number, from 0 on."""
        return b"\0\0" + b"".join(b"\0\2" if em_width(char) == 1 else b"\0\1" for char in self._numbers)

    def _number(self, char: str) -> int:
        if char not in self._numbers and len(self._numbers) >= _MOST - 1:
            char = _UNKNOWN
        return self._numbers.setdefault(char, len(self._numbers) + 1)


def invisible_font() -> bytes:
    """A TrueType font with a glyph half an em wide and one an em wide: strokes of no thickness from corner to corner.

    Viewers measure letters by their outlines, and let go of those that have none.
    """
    narrow, wide = _stroke(EM // 2), _stroke(EM)
    size = len(narrow) // 2
    # The fields of each table in the order of the TrueType specification; glyph 0 is for what a font does not have.
    tables = {
        b"glyf": narrow + wide,
        b"head": struct.pack(
            ">IIIIHHqqhhhhHHhhh", 0x10000, 0x10000, 0, 0x5F0F3CF5, 0, EM, 0, 0, 0, DESCENT, EM, ASCENT, 0, 8, 2, 0, 0
        ),
        b"hhea": struct.pack(">IhhhH11hH", 0x10000, ASCENT, DESCENT, 0, EM, *[0] * 3, 1, *[0] * 7, 3),
        b"hmtx": struct.pack(">HhHhHh", EM, 0, EM // 2, 0, EM, 0),
        b"loca": struct.pack(">4H", 0, 0, size, 2 * size),
        b"maxp": struct.pack(">IH13H", 0x10000, 3, 2, 1, 0, 0, 2, *[0] * 8),
    }
    directory, body, place = b"", b"", 12 + 16 * len(tables)
    for name, table in tables.items():
        padded = table + b"\0" * (-len(table) % 4)
        directory += name + struct.pack(">III", _checksum(padded), place + len(body), len(table))
        body += padded
    font = struct.pack(">IHHHH", 0x10000, len(tables), 64, 2, 32) + directory + body
    adjustment = (0xB1B0AFBA - _checksum(font)) & 0xFFFFFFFF
    head = font.index(struct.pack(">I", 0x5F0F3CF5)) - 4
    return font[:head] + struct.pack(">I", adjustment) + font[head + 4 :]


def _stroke(width: int) -> bytes:
    """A contour of two points."""
    return struct.pack(">5hHH2B4h", 1, 0, DESCENT, width, ASCENT, 1, 0, 1, 1, 0, width, DESCENT, EM)


def _from_left(line: TextLine) -> Iterator[str]:
    """Its words and spaces as they are seen from left to right, Arabic and the like with their last letter first."""
    words = sorted(line.words, key=lambda word: word.frame.left)
    for number, word in enumerate(words):
        yield " " if number else ""
        yield word.text[::-1] if runs_right_to_left(word.text) else word.text


def _utf16(char: str) -> bytes:
    return char.encode("utf-16-be").hex().encode()


def _checksum(table: bytes) -> int:
    words: tuple[int, ...] = struct.unpack(f">{len(table) // 4}I", table)
    return sum(words) & 0xFFFFFFFF
